/* What is asked of hosts, and messages. Up and down is host_power.c's, the pool pool.c's. */
#include "sim/guest.h"
#include "sim/inner.h"

#include <string.h>

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

static json_t *date_json(gint64 unix_s)
{
    g_autofree char *text = sim_format_date(unix_s);
    return json_string(text);
}

static json_t *host_get_servertime(Call *call, GError **error)
{
    return call_obj(call, 0, "host", error) == NULL ? NULL : date_json(sim_now(call_sim(call)));
}

/* --- Small questions --- */

static json_t *host_compute_free_memory(Call *call, GError **error)
{
    const Obj *host = call_obj(call, 0, "host", error);
    return host == NULL ? NULL : json_integer(obj_int(obj_follow(host, "metrics"), "memory_free"));
}

static json_t *host_get_management_interface(Call *call, GError **error)
{
    const Obj *host = call_obj(call, 0, "host", error);
    for (guint i = 0; host != NULL && i < obj_set_size(host, "PIFs"); i++) {
        const Obj *pif = obj_follow_nth(host, "PIFs", i);
        if (obj_bool(pif, "management"))
            return json_string(obj_ref(pif));
    }
    return host == NULL ? NULL : refuse(error, "HOST_HAS_NO_MANAGEMENT_IP", NULL);
}

static json_t *host_set_hostname_live(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    obj_put_str(host, "hostname", call_str(call, 1));
    return call_void();
}

static json_t *host_get_server_certificate(Call *call, GError **error)
{
    const char *file = sim_options(call_sim(call))->cert_file;
    const Obj *host = call_obj(call, 0, "host", error);
    g_autofree char *pem = NULL;
    if (host == NULL)
        return NULL;
    if (obj_map_get(host, "other_config", "sim:server-certificate") != NULL)
        return json_string(obj_map_get(host, "other_config", "sim:server-certificate"));
    if (file != NULL)
        g_file_get_contents(file, &pem, NULL, NULL);
    return json_string(pem == NULL ? "" : pem);
}

/* --- Settings --- */

/* Two places say so, one for older clients. */
static json_t *host_set_multipathing(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    for (guint i = 0; i < obj_set_size(host, "PBDs"); i++)
        if (obj_bool(obj_follow_nth(host, "PBDs", i), "currently_attached")) {
            sim_error(error, "OPERATION_NOT_ALLOWED", "The host has storages attached", NULL);
            return NULL;
        }
    obj_put_bool(host, "multipathing", call_bool(call, 1));
    obj_map_put(host, "other_config", "multipathing", call_bool(call, 1) ? "true" : "false");
    return call_void();
}

static json_t *host_set_sched_gran(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    obj_map_put(host, "other_config", "sim:sched-gran", call_str(call, 1));
    return call_void();
}

static json_t *host_get_sched_gran(Call *call, GError **error)
{
    const Obj *host = call_obj(call, 0, "host", error);
    const char *set = host == NULL ? NULL : obj_map_get(host, "other_config", "sim:sched-gran");
    return host == NULL ? NULL : json_string(set == NULL ? "cpu" : set);
}

/* --- The certificate --- */

/* SHA-256 of what stands between the lines, "AA:BB…"; NULL when it is no PEM of that kind. */
static char *pem_fingerprint(const char *pem, const char *kind)
{
    g_autofree char *begin = g_strdup_printf("-----BEGIN %s-----", kind);
    const char *start = strstr(pem, begin), *end = start == NULL ? NULL : strstr(start, "-----END");
    if (end == NULL)
        return NULL;
    start += strlen(begin);
    g_autofree char *text = g_strndup(start, (gsize) (end - start));
    gsize n;
    g_autofree guchar *der = g_base64_decode(text, &n);
    g_autofree char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, der, n);
    GString *out = g_string_new(NULL);
    for (guint i = 0; n > 0 && sum[i] != '\0'; i++) {
        if (i > 0 && i % 2 == 0)
            g_string_append_c(out, ':');
        g_string_append_c(out, g_ascii_toupper(sum[i]));
    }
    return n > 0 ? g_string_free(out, FALSE) : (g_string_free(out, TRUE), NULL);
}

static json_t *host_install_server_certificate(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    g_autofree char *print = pem_fingerprint(call_str(call, 1), "CERTIFICATE");
    g_autofree char *key = pem_fingerprint(call_str(call, 2), "PRIVATE KEY");
    if (host == NULL)
        return NULL;
    if (print == NULL)
        return refuse(error, "SERVER_CERTIFICATE_INVALID", NULL);
    if (key == NULL)
        return refuse(error, "SERVER_CERTIFICATE_KEY_INVALID", NULL);
    for (guint i = 0; i < obj_set_size(host, "certificates"); i++)
        obj_put_str(obj_follow_nth(host, "certificates", i), "fingerprint", print);
    return call_void();
}

static json_t *host_nothing(Call *call, GError **error)
{
    return call_obj(call, 0, "host", error) == NULL ? NULL : call_void();
}

static json_t *host_false(Call *call, GError **error)
{
    return call_obj(call, 0, "host", error) == NULL ? NULL : json_false();
}

static json_t *empty_list(Call *call, GError **error)
{
    return json_array();
}

static json_t *empty_text(Call *call, GError **error)
{
    return json_string("");
}

/* --- Messages --- */

/* The classes that a message may be about; their names differ from the classes' in case. */
static Obj *message_subject(Call *call, const char *cls, const char *uuid, GError **error)
{
    Sim *sim = call_sim(call);
    const char *table = strcmp(cls, "Host") == 0 ? "host" : strcmp(cls, "Pool") == 0 ? "pool" : cls;
    Obj *obj = obj_find_uuid(sim, table, uuid);
    if (obj == NULL)
        sim_error(error, "UUID_INVALID", cls, uuid, NULL);
    return obj;
}

static json_t *message_create(Call *call, GError **error)
{
    Obj *about = message_subject(call, call_str(call, 2), call_str(call, 3), error);
    if (about == NULL)
        return NULL;
    message_about(about, call_str(call, 0), call_int(call, 1), call_str(call, 4));
    Obj *last = NULL;
    for (Obj *at = obj_first(call_sim(call), "message"); at != NULL; at = obj_next(at))
        last = at;
    return json_string(obj_ref(last));
}

static json_t *message_destroy(Call *call, GError **error)
{
    Obj *message = call_obj(call, 0, "message", error);
    if (message == NULL)
        return NULL;
    obj_drop(message);
    return call_void();
}

static json_t *message_destroy_many(Call *call, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (call_param(call, 0), i, ref) {
        Obj *message = obj_find(call_sim(call), "message", json_string_value(ref));
        if (message != NULL)
            obj_drop(message);
    }
    return call_void();
}

static json_t *message_destroy_all(Call *call, GError **error)
{
    while (obj_first(call_sim(call), "message") != NULL)
        obj_drop(obj_first(call_sim(call), "message"));
    return call_void();
}

static json_t *messages_since(Sim *sim, gint64 since, const char *cls, const char *uuid)
{
    json_t *all = json_object();
    for (Obj *at = obj_first(sim, "message"); at != NULL; at = obj_next(at))
        if (obj_int(at, "timestamp") >= since &&
            (cls == NULL ||
             (strcmp(obj_str(at, "cls"), cls) == 0 && strcmp(obj_str(at, "obj_uuid"), uuid) == 0)))
            json_object_set_new(all, obj_ref(at), obj_json(at));
    return all;
}

static json_t *message_get(Call *call, GError **error)
{
    return messages_since(call_sim(call), sim_parse_date(call_str(call, 2)), call_str(call, 0),
                          call_str(call, 1));
}

static json_t *message_get_since(Call *call, GError **error)
{
    return messages_since(call_sim(call), sim_parse_date(call_str(call, 0)), NULL, NULL);
}

const Method host_methods[] = {
    { "host.get_servertime", host_get_servertime },
    { "host.get_server_localtime", host_get_servertime },
    { "host.compute_free_memory", host_compute_free_memory },
    { "host.get_management_interface", host_get_management_interface },
    { "host.set_hostname_live", host_set_hostname_live },
    { "host.get_server_certificate", host_get_server_certificate },
    { "host.install_server_certificate", host_install_server_certificate },
    { "host.set_multipathing", host_set_multipathing },
    { "host.set_sched_gran", host_set_sched_gran },
    { "host.get_sched_gran", host_get_sched_gran },
    { "host.syslog_reconfigure", host_nothing },
    { "host.sync_data", host_nothing },
    { "host.has_extension", host_false },
    { "host.get_data_sources", empty_list },
    { "host.dmesg", empty_text },
    { "host.get_log", empty_text },
    { "pool.sync_database", empty_text },
    { "pool.certificate_list", empty_list },
    { "pool.crl_list", empty_list },
    { "message.create", message_create },
    { "message.destroy", message_destroy },
    { "message.destroy_many", message_destroy_many },
    { "message.destroy_all", message_destroy_all },
    { "message.get", message_get },
    { "message.get_since", message_get_since },
    { NULL, NULL },
};
