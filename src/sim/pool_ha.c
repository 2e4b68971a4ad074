/* High availability: a pool that watches its hosts through files on shared storages. Only what is
 * seen of it is simulated: nothing is restarted after a host is lost. */
#include "sim/inner.h"

#include <string.h>

enum { STATE_FILE_BYTES = 4 << 20 };

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

static bool heartbeat_check(Sim *sim, json_t *refs, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (refs, i, ref) {
        const Obj *sr = obj_get(sim, "SR", json_string_value(ref), error);
        if (sr == NULL)
            return false;
        if (!obj_bool(sr, "shared")) {
            refuse(error, "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", sr);
            return false;
        }
    }
    return true;
}

static void drop_state_files(Call *call, Obj *pool)
{
    for (guint i = obj_set_size(pool, "ha_statefiles"); i-- > 0;) {
        g_autofree char *ref = g_strdup(obj_set_nth(pool, "ha_statefiles", i));
        storage_vdi_destroy(call, ref, NULL);
    }
    obj_set_clear(sim_pool(call_sim(call)), "ha_statefiles");
}

/* A small disk on each of the storages. */
static bool make_state_files(Call *call, json_t *refs, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (refs, i, ref) {
        g_autofree char *vdi = storage_vdi_create(call, json_string_value(ref), "Statefile for HA",
                                                  "ha_statefile", STATE_FILE_BYTES, NULL);
        if (vdi == NULL) {
            drop_state_files(call, sim_pool(call_sim(call)));
            refuse(error, "CANNOT_CREATE_STATE_FILE", NULL);
            return false;
        }
        obj_set_add(sim_pool(call_sim(call)), "ha_statefiles", vdi);
    }
    return true;
}

static json_t *pool_enable_ha(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    if (obj_bool(sim_pool(sim), "ha_enabled"))
        return refuse(error, "HA_IS_ENABLED", NULL);
    if (obj_count(sim, "host") < 2)
        return refuse(error, "HA_TOO_FEW_HOSTS", NULL);
    if (json_array_size(call_param(call, 0)) == 0)
        return refuse(error, "CANNOT_CREATE_STATE_FILE", NULL);
    if (!heartbeat_check(sim, call_param(call, 0), error) ||
        !make_state_files(call, call_param(call, 0), error))
        return NULL;
    obj_put_json(sim_pool(sim), "ha_configuration", call_param(call, 1), NULL);
    obj_put_bool(sim_pool(sim), "ha_enabled", true);
    return call_void();
}

static json_t *pool_disable_ha(Call *call, GError **error)
{
    Obj *pool = sim_pool(call_sim(call));
    if (!obj_bool(pool, "ha_enabled"))
        return refuse(error, "HA_NOT_ENABLED", NULL);
    obj_put_bool(pool, "ha_enabled", false);
    drop_state_files(call, pool);
    return call_void();
}

/* As many as can be lost while one is left. */
static json_t *pool_ha_compute_max(Call *call, GError **error)
{
    return json_integer((json_int_t) obj_count(call_sim(call), "host") - 1);
}

static json_t *pool_ha_plan_exists(Call *call, GError **error)
{
    return json_boolean(call_int(call, 0) < (gint64) obj_count(call_sim(call), "host"));
}

const Method pool_ha_methods[] = {
    { "pool.enable_ha", pool_enable_ha },
    { "pool.disable_ha", pool_disable_ha },
    { "pool.ha_compute_max_host_failures_to_tolerate", pool_ha_compute_max },
    { "pool.ha_failover_plan_exists", pool_ha_plan_exists },
    { NULL, NULL },
};
