/* The control API: what a test does to the pool that no client of a pool could. JSON over HTTP on
 * its own listener; docs/simulator.md describes each request. */
#include "sim/inner.h"
#include "base/json_text.h"

#include "sim/guest.h"

#include <string.h>

typedef struct {
    const char *method, *path;
    /* The answer, a new reference, or NULL with an error. Without the lock. */
    json_t *(*run)(Sim *sim, json_t *body, GError **error);
} Request;

/* The object that body[key] names by ref, uuid or, for VMs, name. With the lock. */
static Obj *object_of(Sim *sim, json_t *body, const char *key, const char *cls, GError **error)
{
    const char *name = json_text(body, key);
    Obj *obj = obj_find_any(sim, cls, name);
    for (Obj *at = obj == NULL ? obj_first(sim, cls) : NULL; at != NULL && obj == NULL;
         at = obj_next(at))
        if ((strcmp(cls, "VM") == 0 || strcmp(cls, "SR") == 0 || strcmp(cls, "host") == 0) &&
            strcmp(obj_str(at, "name_label"), name) == 0)
            obj = at;
    if (obj == NULL)
        err_set(error, ERR_NOT_FOUND, "%s: there is no %s \"%s\"", key, cls, name);
    return obj;
}

static json_t *state(Sim *sim, json_t *body, GError **error)
{
    const Datamodel *model = rows_datamodel(sim_rows(sim));
    json_t *counts = json_object();
    for (guint i = 0; i < datamodel_n_classes(model); i++) {
        const Class *cls = datamodel_nth_class(model, i);
        guint n = rows_count(sim_rows(sim), cls);
        if (n > 0)
            json_object_set_new(counts, cls->name, json_integer(n));
    }
    g_autofree char *text = sim_addresses(sim);
    json_t *answer = json_loads(text, 0, NULL);
    json_object_set_new(answer, "objects", counts);
    json_object_set_new(answer, "generation",
                        json_integer((json_int_t) rows_generation(sim_rows(sim))));
    json_object_set_new(answer, "seed", json_integer((json_int_t) sim_seed(sim)));
    json_object_set_new(answer, "faults", fault_list(sim));
    return answer;
}

static json_t *state_locked(Sim *sim, json_t *body, GError **error)
{
    sim_lock(sim);
    json_t *answer = state(sim, body, error);
    sim_unlock(sim);
    return answer;
}

/* --- Guests --- */

/* The refs of the disks that body names: one VDI, or all of a VM. With the lock. */
static GPtrArray *disks_of(Sim *sim, json_t *body, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(g_free);
    if (json_object_get(body, "vdi") != NULL) {
        Obj *vdi = object_of(sim, body, "vdi", "VDI", error);
        if (vdi == NULL)
            return NULL;
        g_ptr_array_add(list, g_strdup(obj_ref(vdi)));
        return g_steal_pointer(&list);
    }
    Obj *vm = object_of(sim, body, "vm", "VM", error);
    if (vm == NULL)
        return NULL;
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        Obj *vbd = obj_follow_nth(vm, "VBDs", i);
        if (strcmp(obj_str(vbd, "type"), "Disk") == 0)
            g_ptr_array_add(list, g_strdup(obj_str(vbd, "VDI")));
    }
    return g_steal_pointer(&list);
}

static GArray *blocks_of(json_t *body)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(guint32));
    json_t *list = json_object_get(body, "blocks");
    for (size_t i = 0; i < json_array_size(list); i++) {
        guint32 block = (guint32) json_integer_value(json_array_get(list, i));
        g_array_append_val(blocks, block);
    }
    return blocks;
}

static json_t *guest_write(Sim *sim, json_t *body, GError **error)
{
    g_autoptr(GArray) blocks = blocks_of(body);
    json_int_t bytes = json_integer_value(json_object_get(body, "bytes"));
    json_int_t seed = json_integer_value(json_object_get(body, "seed"));
    if (bytes < 0 || (bytes == 0 && blocks->len == 0)) {
        err_set(error, ERR_INVALID, "write: give \"bytes\", or \"blocks\" of 2 MiB");
        return NULL;
    }
    sim_lock(sim);
    g_autoptr(GPtrArray) disks = disks_of(sim, body, error);
    bool ok = disks != NULL;
    for (guint i = 0; ok && i < disks->len; i++)
        ok = storage_guest_write(sim, disks->pdata[i], (guint64) bytes,
                                 (const guint32 *) (void *) blocks->data, blocks->len,
                                 (guint64) seed + i, error);
    sim_unlock(sim);
    return ok ? json_pack("{si}", "disks", (int) disks->len) : NULL;
}

static json_t *digest(Sim *sim, json_t *body, GError **error)
{
    sim_lock(sim);
    Obj *vdi = object_of(sim, body, "vdi", "VDI", error);
    g_autofree char *ref = vdi == NULL ? NULL : g_strdup(obj_ref(vdi));
    g_autofree char *sum = ref == NULL ? NULL : storage_vdi_digest(sim, ref, error);
    sim_unlock(sim);
    return sum == NULL ? NULL : json_pack("{ss}", "sha256", sum);
}

static json_t *crash(Sim *sim, json_t *body, GError **error)
{
    sim_lock(sim);
    Obj *vm = object_of(sim, body, "vm", "VM", error);
    if (vm != NULL && strcmp(obj_str(vm, "power_state"), "Running") == 0) {
        guest_stop(vm, "Halted");
        message_about(vm, "VM_CRASHED", 2, "The guest crashed");
    }
    sim_unlock(sim);
    return vm == NULL ? NULL : json_object();
}

/* --- Faults --- */

static json_t *fault_post(Sim *sim, json_t *body, GError **error)
{
    guint id = fault_add(sim, body, error);
    return id == 0 ? NULL : json_pack("{si}", "id", (int) id);
}

static json_t *fault_get(Sim *sim, json_t *body, GError **error)
{
    return fault_list(sim);
}

static json_t *fault_delete(Sim *sim, json_t *body, GError **error)
{
    fault_clear(sim);
    return json_object();
}

static json_t *expire_sessions(Sim *sim, json_t *body, GError **error)
{
    sim_lock(sim);
    sessions_drop_all(sim);
    sim_unlock(sim);
    return json_object();
}

static json_t *restart_toolstack(Sim *sim, json_t *body, GError **error)
{
    guint n = sim_options(sim)->n_hosts;
    sim_lock(sim);
    sessions_drop_all(sim);
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT ".", sim_now(sim));
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host))
        obj_map_put(host, "other_config", "agent_start_time", now);
    sim_unlock(sim);
    for (guint i = 0; i < n; i++)
        listeners_pause(sim_listeners(sim), i);
    for (guint i = 0; i < n; i++)
        if (!listeners_resume(sim_listeners(sim), i, error))
            return NULL;
    return json_object();
}

/* Sets what the pool knows of a host that is lost, or found again. */
static bool host_mark(Sim *sim, json_t *body, bool live, guint *number, GError **error)
{
    sim_lock(sim);
    Obj *host = object_of(sim, body, "host", "host", error);
    *number = 0;
    if (host != NULL) {
        *number = (guint) listeners_number(sim_listeners(sim), obj_str(host, "address"));
        obj_put_bool(obj_follow(host, "metrics"), "live", live);
    }
    sim_unlock(sim);
    return host != NULL;
}

static json_t *host_lose(Sim *sim, json_t *body, GError **error)
{
    guint number;
    if (!host_mark(sim, body, false, &number, error))
        return NULL;
    listeners_pause(sim_listeners(sim), number);
    return json_object();
}

static json_t *host_find(Sim *sim, json_t *body, GError **error)
{
    guint number;
    if (!host_mark(sim, body, true, &number, error) ||
        !listeners_resume(sim_listeners(sim), number, error))
        return NULL;
    return json_object();
}

/* {class, uuid, fields}: what no client may write, in an object that is there, or (without a uuid)
 * in a new one. */
static json_t *object_put(Sim *sim, json_t *body, GError **error)
{
    const char *cls = json_string_value(json_object_get(body, "class"));
    const char *uuid = json_string_value(json_object_get(body, "uuid")), *field;
    json_t *fields = json_object_get(body, "fields"), *value;
    bool ok = true;
    sim_lock(sim);
    Obj *obj = uuid == NULL ? obj_new(sim, cls) : obj_find_uuid(sim, cls, uuid);
    if (obj == NULL)
        sim_error(error, "UUID_INVALID", cls, uuid, NULL);
    json_object_foreach (fields, field, value)
        ok = ok && obj != NULL && obj_put_json(obj, field, value, error);
    json_t *made = ok && obj != NULL
                       ? json_pack("{s:s, s:s}", "ref", obj_ref(obj), "uuid", obj_uuid(obj))
                       : NULL;
    sim_unlock(sim);
    return made;
}

static json_t *sr_fill(Sim *sim, json_t *body, GError **error)
{
    json_t *left = json_object_get(body, "left_bytes");
    sim_lock(sim);
    Obj *sr = object_of(sim, body, "sr", "SR", error);
    bool ok = sr != NULL && storage_sr_fill(sim, obj_ref(sr), json_integer_value(left), error);
    sim_unlock(sim);
    return ok ? json_object() : NULL;
}

static json_t *cbt_break(Sim *sim, json_t *body, GError **error)
{
    sim_lock(sim);
    g_autoptr(GPtrArray) disks = disks_of(sim, body, error);
    bool ok = disks != NULL;
    for (guint i = 0; ok && i < disks->len; i++)
        ok = storage_cbt_break(sim, disks->pdata[i], error);
    sim_unlock(sim);
    return ok ? json_pack("{si}", "disks", (int) disks->len) : NULL;
}

static json_t *coalesce_delay(Sim *sim, json_t *body, GError **error)
{
    json_t *seconds = json_object_get(body, "seconds");
    if (!json_is_number(seconds) || json_number_value(seconds) < 0) {
        err_set(error, ERR_INVALID, "coalesce: give \"seconds\"");
        return NULL;
    }
    fault_set_coalesce_delay(sim, json_number_value(seconds));
    return json_object();
}

static const Request requests[] = {
    { "GET", "/sim/state", state_locked },
    { "GET", "/sim/digest", digest },
    { "POST", "/sim/write", guest_write },
    { "POST", "/sim/crash", crash },
    { "GET", "/sim/faults", fault_get },
    { "POST", "/sim/faults", fault_post },
    { "POST", "/sim/faults/clear", fault_delete },
    { "POST", "/sim/sessions/expire", expire_sessions },
    { "POST", "/sim/toolstack/restart", restart_toolstack },
    { "POST", "/sim/hosts/lose", host_lose },
    { "POST", "/sim/hosts/find", host_find },
    { "POST", "/sim/objects", object_put },
    { "POST", "/sim/srs/fill", sr_fill },
    { "POST", "/sim/coalesce", coalesce_delay },
    { "POST", "/sim/cbt/break", cbt_break },
};

static void answer(HttpRequest *request, int status, json_t *value)
{
    g_autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    http_reply_text(request, status, "application/json", text);
    json_decref(value);
}

enum { MAX_BODY = 1 << 20 };

/* The JSON of the request, or what its query says; NULL when it is not JSON. */
static json_t *body_read(HttpRequest *request)
{
    if (strcmp(http_method(request), "GET") == 0) {
        const char *vdi = http_query(request, "vdi");
        return vdi == NULL ? json_object() : json_pack("{ss}", "vdi", vdi);
    }
    g_autoptr(GBytes) body = http_read_all(request, MAX_BODY, NULL);
    if (body == NULL)
        return NULL;
    if (g_bytes_get_size(body) == 0)
        return json_object();
    return json_loadb(g_bytes_get_data(body, NULL), g_bytes_get_size(body), 0, NULL);
}

void control_serve(HttpRequest *request, Sim *sim)
{
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(requests); i++) {
        if (strcmp(requests[i].method, http_method(request)) != 0 ||
            strcmp(requests[i].path, http_path(request)) != 0)
            continue;
        json_t *body = body_read(request), *result = NULL;
        if (body == NULL)
            err_set(&error, ERR_INVALID, "the body is not JSON");
        else
            result = requests[i].run(sim, body, &error);
        json_decref(body);
        answer(request, result == NULL ? 400 : 200,
               result != NULL
                   ? result
                   : json_pack("{ss}", "error", error == NULL ? "failed" : error->message));
        return;
    }
    answer(request, 404, json_pack("{ss}", "error", "no such request; see docs/simulator.md"));
}
