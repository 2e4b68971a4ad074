/* pool.*: settings of a pool, its master, its high availability, its licence. */
#include "api/method.h"
#include "api/methods/host_return.h"
#include "api/objects.h"

#include <string.h>

static json_t *seen(const ApiObject *object)
{
    api_object_barrier(object);
    return NULL;
}

/* --- pool.set --- */

static bool set_field(ApiCall *call, const char *param, const char *method, GError **error)
{
    json_t *value = call_get(call, param);
    return !value || api_object_do(call_object(call, "id"), method, json_pack("[O]", value), error);
}

/* An entry of other_config: a text, or gone. */
static bool put_entry(const ApiObject *pool, const char *key, const char *text, GError **error)
{
    return api_object_do(pool, "pool.remove_from_other_config", json_pack("[s]", key), error) &&
           (!text ||
            api_object_do(pool, "pool.add_to_other_config", json_pack("[s, s]", key, text), error));
}

/* null takes it away. */
static bool set_network(ApiCall *call, const char *param, const char *key, GError **error)
{
    const char *id = call_string(call, param);
    const ApiObject *network = id ? call_find(call, id, "network", NULL, error) : NULL;
    if (!call_get(call, param))
        return true;
    return (!id || network) &&
           put_entry(call_object(call, "id"), key, network ? network->id : NULL, error);
}

static bool set_sr(ApiCall *call, const char *param, const char *method, GError **error)
{
    const char *id = call_string(call, param);
    const ApiObject *sr = id ? call_find(call, id, "SR", NULL, error) : NULL;
    if (!call_get(call, param))
        return true;
    return (!id || sr) && api_object_do(call_object(call, "id"), method,
                                        json_pack("[s]", sr ? sr->ref : "OpaqueRef:NULL"), error);
}

static bool set_auto_poweron(ApiCall *call, GError **error)
{
    return !call_get(call, "auto_poweron") ||
           put_entry(call_object(call, "id"), "auto_poweron",
                     call_bool(call, "auto_poweron") ? "true" : NULL, error);
}

static json_t *set(ApiCall *call, GError **error)
{
    if (set_field(call, "name_label", "pool.set_name_label", error) &&
        set_field(call, "name_description", "pool.set_name_description", error) &&
        set_field(call, "migrationCompression", "pool.set_migration_compression", error) &&
        set_auto_poweron(call, error) &&
        set_network(call, "backupNetwork", "xo:backupNetwork", error) &&
        set_network(call, "migrationNetwork", "xo:migrationNetwork", error) &&
        set_sr(call, "suspendSr", "pool.set_suspend_image_SR", error))
        set_sr(call, "crashDumpSr", "pool.set_crash_dump_SR", error);
    return seen(call_object(call, "id"));
}

/* The pool that an object belongs to. */
static const ApiObject *pool_of(ApiCall *call, const ApiObject *object, GError **error)
{
    return call_find(call, api_object_text(object, "$pool"), "pool", NULL, error);
}

static json_t *set_default_sr(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "sr"), *pool = pool_of(call, sr, error);
    if (pool && api_object_do(pool, "pool.set_default_SR", json_pack("[s]", sr->ref), error))
        api_object_barrier(pool);
    return NULL;
}

/* --- The master --- */

/* The new master may take a while to answer for the pool. */
static bool wait_master(ApiCall *call, const ApiObject *host, const ApiObject *pool, GError **error)
{
    gint64 patience_ms = host_patience_ms(call, HOST_AGENT_MS);
    gint64 until_us = g_get_monotonic_time() + patience_ms * 1000;
    for (;;) {
        g_autoptr(GError) failure = NULL;
        g_autofree char *master = xapi_call_string(api_object_xapi(host), "pool.get_master",
                                                   json_pack("[s]", pool->ref), &failure);
        if (g_strcmp0(master, host->ref) == 0)
            return true;
        if (err_is(failure, ERR_CANCELLED) || g_get_monotonic_time() >= until_us) {
            if (failure)
                g_propagate_error(error, g_steal_pointer(&failure));
            else
                err_set(error, ERR_TIMEOUT,
                        "host %s has not become the master within %" G_GINT64_FORMAT " s",
                        api_object_text(host, "name_label"), patience_ms / 1000);
            return false;
        }
        g_usleep(HOST_POLL_MS * 1000);
    }
}

static json_t *set_master(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host"), *pool = pool_of(call, host, error);
    if (pool && api_object_do(host, "pool.designate_new_master", NULL, error) &&
        wait_master(call, host, pool, error))
        host_settle(host);
    return NULL;
}

static json_t *reconfigure_management(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool"), *network = call_object(call, "network");
    if (network->link != pool->link)
        api_error_invalid(error, "network: %s is not a network of pool %s", network->id, pool->id);
    else if (api_object_do(network, "pool.management_reconfigure", NULL, error))
        api_object_barrier(network);
    return NULL;
}

/* --- High availability --- */

static json_t *enable_ha(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    json_t *refs = json_array(), *id;
    size_t i;
    bool ok = true;
    json_array_foreach (call_get(call, "heartbeatSrs"), i, id) {
        const ApiObject *sr =
            ok ? call_find(call, json_string_value(id), "SR", "administrate", error) : NULL;
        ok = sr != NULL;
        if (ok)
            json_array_append_new(refs, json_string(sr->ref));
    }
    if (ok && xapi_do(api_object_xapi(pool), "pool.enable_ha",
                      json_pack("[O, O]", refs, call_get(call, "configuration")), error))
        api_object_barrier(pool);
    json_decref(refs);
    return NULL;
}

/* It is off afterwards, whatever it was. */
static json_t *disable_ha(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    g_autoptr(GError) failure = NULL;
    xapi_do(api_object_xapi(pool), "pool.disable_ha", NULL, &failure);
    if (failure && !g_str_equal(err_xapi_code(failure), "HA_NOT_ENABLED"))
        g_propagate_error(error, g_steal_pointer(&failure));
    return seen(pool);
}

static json_t *license_state(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    return xapi_call(api_object_xapi(pool), "pool.get_license_state", json_pack("[s]", pool->ref),
                     error);
}

#define POOL             REQ(ID("pool", "pool", "administrate"))
#define SR_OR_NULL(name) OPT(TYPED(name, P_STRING | P_NULL), .words = "null: none")

const Method methods_pool[] = {
    { "pool.set", set,
      PARAMS(REQ(ID("id", "pool", "administrate")), OPT(STR("name_label")),
             OPT(STR0("name_description")), OPT(BOOL("auto_poweron")), SR_OR_NULL("backupNetwork"),
             SR_OR_NULL("migrationNetwork"), OPT(BOOL("migrationCompression")),
             SR_OR_NULL("suspendSr"), SR_OR_NULL("crashDumpSr")),
      .access = ACCESS_USER, .example = "id=$POOL name_description='of the office'",
      .summary = "Change a pool." },
    { "pool.setDefaultSr", set_default_sr, PARAMS(REQ(ID("sr", "SR", "administrate"))),
      .access = ACCESS_USER, .example = "sr=$BLOCK_SR",
      .summary = "Make a storage its pool's first choice." },
    { "pool.setPoolMaster", set_master, PARAMS(REQ(ID("host", "host", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "host=$MASTER",
      .summary = "Make a host the master of its pool." },
    { "pool.managementReconfigure", reconfigure_management,
      PARAMS(POOL, REQ(ID("network", "network", "administrate"))), .access = ACCESS_USER,
      .long_running = true, .example = "pool=$CALM_POOL network=$NETWORK",
      .summary = "Manage all hosts of a pool by their interfaces on a network." },
    { "pool.enableHa", enable_ha,
      PARAMS(POOL, REQ(ARR("heartbeatSrs", P_STRING), .words = "shared storages for the heartbeat"),
             DEF("{}", OBJ("configuration"))),
      .access = ACCESS_USER, .long_running = true,
      .example = "pool=$CALM_POOL heartbeatSrs=json:\"[\\\"$SR\\\"]\"",
      .summary = "Switch high availability on." },
    { "pool.disableHa", disable_ha, PARAMS(POOL), .access = ACCESS_USER, .long_running = true,
      .example = "pool=$HA_POOL", .summary = "Switch high availability off." },
    { "pool.getLicenseState", license_state, PARAMS(POOL), .access = ACCESS_USER,
      .example = "pool=$POOL", .summary = "The edition of a pool and when it ends." },
    { NULL },
};
