/* Hosts, the pool as a whole, and messages. */
#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"

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

/* --- Up and down --- */

static json_t *host_disable(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    obj_put_bool(host, "enabled", false);
    return call_void();
}

static json_t *host_enable(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    obj_put_bool(host, "enabled", true);
    return call_void();
}

static void times_renew(Obj *host, bool booted)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT ".", sim_now(obj_sim(host)));
    if (booted)
        obj_map_put(host, "other_config", "boot_time", now);
    obj_map_put(host, "other_config", "agent_start_time", now);
}

static void host_back(Sim *sim, const char *ref)
{
    Obj *host = obj_find(sim, "host", ref);
    if (host == NULL)
        return;
    times_renew(host, !obj_bool(obj_follow(host, "metrics"), "live"));
    obj_put_bool(obj_follow(host, "metrics"), "live", true);
    obj_put_bool(host, "enabled", true);
}

static json_t *host_restart_agent(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    obj_put_bool(host, "enabled", false);
    clock_after(sim_clock(call_sim(call)), 1000, host_back, obj_ref(host));
    return call_void();
}

/* A host with guests does not go down; nor one that still takes new ones. */
static Obj *host_idle(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    if (obj_bool(host, "enabled")) {
        refuse(error, "HOST_NOT_DISABLED", NULL);
        return NULL;
    }
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++) {
        const Obj *vm = obj_follow_nth(host, "resident_VMs", i);
        if (!obj_bool(vm, "is_control_domain")) {
            sim_error(error, "HOST_IN_USE", obj_ref(host), "VM", obj_ref(vm), NULL);
            return NULL;
        }
    }
    return host;
}

static json_t *host_reboot(Call *call, GError **error)
{
    Obj *host = host_idle(call, error);
    if (host == NULL)
        return NULL;
    obj_put_bool(obj_follow(host, "metrics"), "live", false);
    clock_after(sim_clock(call_sim(call)), 2000, host_back, obj_ref(host));
    return call_void();
}

static json_t *host_shutdown(Call *call, GError **error)
{
    Obj *host = host_idle(call, error);
    if (host == NULL)
        return NULL;
    obj_put_bool(obj_follow(host, "metrics"), "live", false);
    return call_void();
}

/* --- Evacuation --- */

/* The guests of a host, refs. */
static GPtrArray *guests_of(const Obj *host)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++) {
        const Obj *vm = obj_follow_nth(host, "resident_VMs", i);
        if (!obj_bool(vm, "is_control_domain"))
            g_ptr_array_add(list, g_strdup(obj_ref(vm)));
    }
    return list;
}

static Obj *refuge(Obj *vm, const Obj *from, GError **error)
{
    Obj *best = NULL;
    for (Obj *host = obj_first(obj_sim(vm), "host"); host != NULL && best == NULL;
         host = obj_next(host))
        if (host != from && guest_place(vm, host, NULL) != NULL)
            best = host;
    if (best == NULL)
        sim_error(error, "NO_HOSTS_AVAILABLE", NULL);
    return best;
}

static json_t *host_evacuate(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    g_autoptr(GPtrArray) guests = guests_of(host);
    for (guint i = 0; i < guests->len; i++) {
        Obj *vm = obj_find(sim, "VM", guests->pdata[i]);
        host = obj_find(sim, "host", call_str(call, 0));
        Obj *to = vm == NULL ? NULL : refuge(vm, host, error);
        json_t *moved = to == NULL ? NULL
                                   : call_run(call, "VM.pool_migrate",
                                              json_pack("[ss{}]", obj_ref(vm), obj_ref(to)), error);
        if (moved == NULL)
            return NULL;
        json_decref(moved);
    }
    return call_void();
}

static json_t *host_get_vms_which_prevent_evacuation(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    json_t *all = json_object();
    g_autoptr(GPtrArray) guests = guests_of(host);
    for (guint i = 0; i < guests->len; i++) {
        g_autoptr(GError) reason = NULL;
        Obj *vm = obj_find(sim, "VM", guests->pdata[i]);
        if (refuge(vm, host, &reason) == NULL)
            json_object_set_new(all, guests->pdata[i], call_failure(reason));
    }
    return all;
}

static json_t *host_assert_can_evacuate(Call *call, GError **error)
{
    json_t *all = host_get_vms_which_prevent_evacuation(call, error);
    bool ok = all != NULL && json_object_size(all) == 0;
    if (all != NULL && !ok)
        sim_error(error, "CANNOT_EVACUATE_HOST", "NO_HOSTS_AVAILABLE", NULL);
    json_decref(all);
    return ok ? call_void() : NULL;
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
    g_autofree char *pem = NULL;
    if (call_obj(call, 0, "host", error) == NULL)
        return NULL;
    if (file != NULL)
        g_file_get_contents(file, &pem, NULL, NULL);
    return json_string(pem == NULL ? "" : pem);
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

/* --- Pool --- */

static json_t *pool_get_license_state(Call *call, GError **error)
{
    return json_pack("{ssss}", "edition", "xcp-ng", "expiry", "never");
}

static json_t *pool_disable_ha(Call *call, GError **error)
{
    return refuse(error, "HA_NOT_ENABLED", NULL);
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
    { "host.disable", host_disable },
    { "host.enable", host_enable },
    { "host.restart_agent", host_restart_agent },
    { "host.reboot", host_reboot },
    { "host.shutdown", host_shutdown },
    { "host.evacuate", host_evacuate },
    { "host.get_vms_which_prevent_evacuation", host_get_vms_which_prevent_evacuation },
    { "host.assert_can_evacuate", host_assert_can_evacuate },
    { "host.compute_free_memory", host_compute_free_memory },
    { "host.get_management_interface", host_get_management_interface },
    { "host.set_hostname_live", host_set_hostname_live },
    { "host.get_server_certificate", host_get_server_certificate },
    { "host.syslog_reconfigure", host_nothing },
    { "host.sync_data", host_nothing },
    { "host.has_extension", host_false },
    { "host.get_data_sources", empty_list },
    { "host.dmesg", empty_text },
    { "host.get_log", empty_text },
    { "pool.get_license_state", pool_get_license_state },
    { "pool.disable_ha", pool_disable_ha },
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
