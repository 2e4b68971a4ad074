/* pool.join: the only host of this pool becomes a member of another one, which is a simulator of
 * its own. It takes its storage, its halted machines and their disks along; here it sends everybody
 * to its new master from then on. What is refused is refused before anything is done.
 *
 * pool.admit_host is the other half, which no real pool has by that name: what the newcomer is. */
#include "sim/hardware.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/migrate.h"
#include "sim/other_pool.h"
#include "sim/population.h"

#include <string.h>

enum { LEAVE_MS = 50 };

static json_t *refuse(GError **error, const char *code)
{
    sim_error(error, code, NULL);
    return NULL;
}

/* --- The half of the pool that is joined --- */

static const char *text_of(json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));
    return text ? text : "";
}

static Obj *network_like(Sim *sim, json_t *pif)
{
    for (Obj *at = obj_first(sim, "network"); at; at = obj_next(at))
        if (strcmp(obj_str(at, "bridge"), text_of(pif, "bridge")) == 0)
            return at;
    Obj *network = obj_new(sim, "network");
    obj_put_str(network, "name_label", text_of(pif, "network"));
    obj_put_str(network, "bridge", text_of(pif, "bridge"));
    return network;
}

static void admit_pifs(Obj *host, json_t *pifs)
{
    size_t i;
    json_t *pif;
    json_array_foreach (pifs, i, pif) {
        Obj *made = population_pif(host, network_like(obj_sim(host), pif), text_of(pif, "device"),
                                   json_is_true(json_object_get(pif, "management")));
        obj_put_str(made, "MAC", text_of(pif, "MAC"));
    }
}

/* What all hosts have the new one has, too. */
static void attach_shared(Obj *host)
{
    Sim *sim = obj_sim(host);
    for (Obj *sr = obj_first(sim, "SR"); sr; sr = obj_next(sr)) {
        const Obj *like = obj_bool(sr, "shared") ? obj_follow_nth(sr, "PBDs", 0) : NULL;
        if (!like)
            continue;
        Obj *pbd = obj_new(sim, "PBD");
        obj_copy_field(pbd, like, "device_config");
        obj_put_ref(pbd, "SR", sr);
        obj_put_ref(pbd, "host", host);
        obj_put_bool(pbd, "currently_attached", true);
    }
}

/* {uuid, address, fields, pifs: [{device, MAC, management, bridge, network}]} → the host's ref. */
static json_t *admit_host(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *said = json_loads(call_str(call, 0), 0, NULL), *value;
    const char *field;
    if (!said || obj_find_uuid(sim, "host", text_of(said, "uuid"))) {
        json_decref(said);
        return refuse(error, "JOINING_HOST_SERVICE_FAILED");
    }
    Obj *host = population_host(sim, text_of(said, "uuid"), text_of(said, "name_label"),
                                text_of(said, "address"));
    json_object_foreach (json_object_get(said, "fields"), field, value)
        obj_put_json(host, field, value, NULL);
    hardware_add(host);
    admit_pifs(host, json_object_get(said, "pifs"));
    attach_shared(host);
    json_decref(said);
    return json_string(obj_ref(host));
}

/* --- The host that joins: what it asks --- */

typedef struct {
    Call *call;
    Sim *sim;
    char *url, *session; /* of the other pool */
    char *host;          /* its ref there */
    bool force;
} Join;

static void join_clear(Join *join)
{
    g_free(join->url);
    g_free(join->session);
    g_free(join->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Join, join_clear)

/* With the lock, which is dropped meanwhile. */
static json_t *ask(const Join *join, const char *method, json_t *params, GError **error)
{
    g_autoptr(GError) cause = NULL;
    sim_unlock(join->sim);
    json_t *answer = other_pool_ask(join->url, join->session, method, params, &cause);
    sim_lock(join->sim);
    if (cause && err_is(cause, ERR_XAPI))
        g_propagate_error(error, g_steal_pointer(&cause));
    else if (cause)
        refuse(error, "JOINING_HOST_CONNECTION_FAILED");
    return answer;
}

static char *ask_text(const Join *join, const char *method, json_t *params, GError **error)
{
    json_t *answer = ask(join, method, params, error);
    char *text = g_strdup(json_string_value(answer));
    json_decref(answer);
    return text;
}

/* --- Checks, in XAPI's order --- */

static bool check_machines(Sim *sim, GError **error)
{
    for (Obj *vm = obj_first(sim, "VM"); vm; vm = obj_next(vm)) {
        if (obj_bool(vm, "is_control_domain"))
            continue;
        if (obj_map_size(vm, "current_operations") > 0)
            refuse(error, "JOINING_HOST_CANNOT_HAVE_VMS_WITH_CURRENT_OPERATIONS");
        else if (strcmp(obj_str(vm, "power_state"), "Halted") != 0)
            refuse(error, "JOINING_HOST_CANNOT_HAVE_RUNNING_OR_SUSPENDED_VMS");
        else
            continue;
        return false;
    }
    return true;
}

static bool check_storage(Sim *sim, GError **error)
{
    for (Obj *sr = obj_first(sim, "SR"); sr; sr = obj_next(sr))
        if (obj_bool(sr, "shared") && !obj_bool(sr, "is_tools_sr")) {
            refuse(error, "JOINING_HOST_CANNOT_CONTAIN_SHARED_SRS");
            return false;
        }
    return true;
}

static bool check_here(const Join *join, GError **error)
{
    if (obj_bool(sim_pool(join->sim), "ha_enabled"))
        refuse(error, "HA_IS_ENABLED");
    else if (obj_count(join->sim, "host") > 1)
        refuse(error, "JOINING_HOST_CANNOT_BE_MASTER_OF_OTHER_HOSTS");
    else
        return check_machines(join->sim, error) && check_storage(join->sim, error);
    return false;
}

static bool log_in(Join *join, GError **error)
{
    json_t *params = json_pack("[s, s]", call_str(join->call, 1), call_str(join->call, 2));
    join->url = listeners_url_at(sim_listeners(join->sim), call_str(join->call, 0));
    join->session = ask_text(join, "session.login_with_password", params, error);
    return join->session != NULL;
}

/* The same product, and (unless that is forced) processors of the same maker. */
static bool check_host(const Join *join, json_t *other, GError **error)
{
    const Obj *mine = sim_master(join->sim);
    json_t *version = json_object_get(other, "software_version");
    json_t *cpu = json_object_get(other, "cpu_info");
    const char *own = obj_map_get(mine, "software_version", "product_version");
    const char *maker = obj_map_get(mine, "cpu_info", "vendor");
    if (strcmp(text_of(version, "product_version"), own ? own : "") != 0)
        refuse(error, "HOSTS_NOT_COMPATIBLE");
    else if (!join->force && strcmp(text_of(cpu, "vendor"), maker ? maker : "") != 0)
        sim_error(error, "HOSTS_NOT_HOMOGENEOUS", "CPU vendor", NULL);
    else
        return true;
    return false;
}

static bool check_there(const Join *join, GError **error)
{
    json_t *pools = ask(join, "pool.get_all_records", json_array(), error);
    json_t *pool = json_object_iter_value(json_object_iter(pools));
    bool ha = json_is_true(json_object_get(pool, "ha_enabled"));
    json_t *host = pool ? ask(join, "host.get_record",
                              json_pack("[O]", json_object_get(pool, "master")), error)
                        : NULL;
    if (host && ha)
        refuse(error, "HA_IS_ENABLED");
    bool ok = host && !ha && check_host(join, host, error);
    json_decref(host);
    json_decref(pools);
    return ok;
}

/* --- What goes along --- */

static char *described(const Obj *host)
{
    static const char *const fields[] = {
        "name_description", "hostname",     "iscsi_iqn", "software_version",
        "cpu_info",         "other_config", "tags",      "bios_strings"
    };
    json_t *said = json_pack("{s:s, s:s, s:s, s:{}, s:[]}", "uuid", obj_uuid(host), "name_label",
                             obj_str(host, "name_label"), "address", obj_str(host, "address"),
                             "fields", "pifs");
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        json_object_set_new(json_object_get(said, "fields"), fields[i],
                            obj_field_json(host, fields[i]));
    for (guint i = 0; i < obj_set_size(host, "PIFs"); i++) {
        const Obj *pif = obj_follow_nth(host, "PIFs", i), *network = obj_follow(pif, "network");
        if (obj_bool(pif, "physical") && network)
            json_array_append_new(
                json_object_get(said, "pifs"),
                json_pack("{s:s, s:s, s:b, s:s, s:s}", "device", obj_str(pif, "device"), "MAC",
                          obj_str(pif, "MAC"), "management", obj_bool(pif, "management"), "bridge",
                          obj_str(network, "bridge"), "network", obj_str(network, "name_label")));
    }
    char *text = json_dumps(said, JSON_COMPACT);
    json_decref(said);
    return text;
}

/* An SR of this host alone: its ref there. */
static char *send_storage(const Join *join, const char *ref, GError **error)
{
    const Obj *sr = obj_find(join->sim, "SR", ref);
    json_t *config = obj_set_size(sr, "PBDs") > 0
                         ? obj_field_json(obj_follow_nth(sr, "PBDs", 0), "device_config")
                         : json_object();
    json_t *what = json_pack("[s, s, s, s, s, b, {}]", obj_uuid(sr), obj_str(sr, "name_label"),
                             obj_str(sr, "name_description"), obj_str(sr, "type"),
                             obj_str(sr, "content_type"), 0);
    char *there = ask_text(join, "SR.introduce", what, error);
    g_autofree char *pbd =
        there ? ask_text(join, "PBD.create",
                         json_pack("[{s:s, s:s, s:O, s:{}}]", "SR", there, "host", join->host,
                                   "device_config", config, "other_config"),
                         error)
              : NULL;
    g_autofree char *plugged = pbd ? ask_text(join, "PBD.plug", json_pack("[s]", pbd), error)
                                   : NULL;
    json_decref(config);
    if (!plugged)
        g_clear_pointer(&there, g_free);
    return there;
}

/* {ref here: ref there} */
static json_t *send_storages(const Join *join, GError **error)
{
    g_autoptr(GPtrArray) refs = g_ptr_array_new_with_free_func(g_free);
    for (Obj *sr = obj_first(join->sim, "SR"); sr; sr = obj_next(sr))
        if (!obj_bool(sr, "shared"))
            g_ptr_array_add(refs, g_strdup(obj_ref(sr)));
    json_t *map = json_object();
    for (guint i = 0; i < refs->len; i++) {
        g_autofree char *there = send_storage(join, refs->pdata[i], error);
        if (!there) {
            json_decref(map);
            return NULL;
        }
        json_object_set_new(map, refs->pdata[i], json_string(there));
    }
    return map;
}

/* {ref of a network here: ref there}, by the bridge. */
static json_t *networks_map(const Join *join, GError **error)
{
    json_t *theirs = ask(join, "network.get_all_records", json_array(), error), *record;
    json_t *map = theirs ? json_object() : NULL;
    const char *ref;
    json_object_foreach (theirs, ref, record)
        for (Obj *at = obj_first(join->sim, "network"); at; at = obj_next(at))
            if (strcmp(obj_str(at, "bridge"), text_of(record, "bridge")) == 0)
                json_object_set_new(map, obj_ref(at), json_string(ref));
    json_decref(theirs);
    return map;
}

static json_t *disks_map(const Obj *vm, json_t *storages)
{
    json_t *map = json_object();
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vdi = obj_follow(obj_follow_nth(vm, "VBDs", i), "VDI");
        json_t *to = vdi ? json_object_get(storages, obj_str(vdi, "SR")) : NULL;
        if (to)
            json_object_set(map, obj_ref(vdi), to);
    }
    return map;
}

static json_t *vifs_map(const Obj *vm, json_t *networks)
{
    json_t *map = json_object();
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++) {
        const Obj *vif = obj_follow_nth(vm, "VIFs", i);
        json_t *to = json_object_get(networks, obj_str(vif, "network"));
        if (to)
            json_object_set(map, obj_ref(vif), to);
    }
    return map;
}

static bool send_machine(const Join *join, const char *ref, json_t *storages, json_t *networks,
                         GError **error)
{
    const Obj *vm = obj_find(join->sim, "VM", ref);
    Migration migration = { .call = join->call,
                            .sim = join->sim,
                            .vm = ref,
                            .url = join->url,
                            .session = join->session,
                            .host = join->host,
                            .leaves = true };
    migration.vdi_map = disks_map(vm, storages);
    migration.vif_map = vifs_map(vm, networks);
    g_autofree char *there = migrate_away(&migration, error);
    json_decref(migration.vdi_map);
    json_decref(migration.vif_map);
    return there != NULL;
}

static bool send_machines(const Join *join, json_t *storages, GError **error)
{
    g_autoptr(GPtrArray) refs = g_ptr_array_new_with_free_func(g_free);
    for (Obj *vm = obj_first(join->sim, "VM"); vm; vm = obj_next(vm))
        if (!obj_bool(vm, "is_control_domain") && !obj_bool(vm, "is_default_template") &&
            !obj_bool(vm, "is_a_snapshot"))
            g_ptr_array_add(refs, g_strdup(obj_ref(vm)));
    json_t *networks = networks_map(join, error);
    bool ok = networks != NULL;
    for (guint i = 0; ok && i < refs->len; i++)
        ok = send_machine(join, refs->pdata[i], storages, networks, error);
    json_decref(networks);
    return ok;
}

/* --- The whole --- */

/* The toolstack starts anew, as a member's. */
static void joined(Sim *sim, const char *address)
{
    obj_map_put(sim_pool(sim), "other_config", POOL_JOINED, address);
    sessions_drop_all(sim);
}

static json_t *join_with(Call *call, bool force, GError **error)
{
    g_auto(Join) join = { .call = call, .sim = call_sim(call), .force = force };
    if (!check_here(&join, error) || !log_in(&join, error) || !check_there(&join, error))
        return NULL;
    g_autofree char *said = described(sim_master(join.sim));
    join.host = ask_text(&join, "pool.admit_host", json_pack("[s]", said), error);
    json_t *storages = join.host ? send_storages(&join, error) : NULL;
    if (join.host && !storages)
        json_decref(ask(&join, "pool.eject", json_pack("[s]", join.host), NULL));
    bool ok = storages && send_machines(&join, storages, error);
    json_decref(storages);
    if (!ok)
        return NULL;
    clock_after(sim_clock(join.sim), LEAVE_MS, joined, call_str(call, 0));
    return call_void();
}

static json_t *pool_join(Call *call, GError **error)
{
    return join_with(call, false, error);
}

static json_t *pool_join_force(Call *call, GError **error)
{
    return join_with(call, true, error);
}

const Method pool_join_methods[] = {
    { "pool.admit_host", admit_host },
    { "pool.join", pool_join },
    { "pool.join_force", pool_join_force },
    { NULL, NULL },
};
