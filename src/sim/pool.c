/* The pool as a whole: its master, its licence. */
#include "sim/host_power.h"
#include "sim/inner.h"

#include <string.h>

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

static json_t *pool_get_license_state(Call *call, GError **error)
{
    return json_pack("{ssss}", "edition", "xcp-ng", "expiry", "never");
}

/* other_config "sim:secureboot-readiness": "ready_no_dbx", "not_ready". */
static json_t *pool_secureboot_readiness(Call *call, GError **error)
{
    const Obj *pool = call_obj(call, 0, "pool", error);
    const char *said = pool == NULL ? NULL
                                    : obj_map_get(pool, "other_config", "sim:secureboot-readiness");
    return pool == NULL ? NULL : json_string(said == NULL ? "ready" : said);
}

/* --- The master --- */

enum { HANDOVER_MS = 100 };

/* All sessions were the old master's. */
static void handed_over(Sim *sim, const char *ref)
{
    g_autofree char *now = g_strdup_printf("%.3f", (double) g_get_real_time() / G_USEC_PER_SEC);
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host))
        obj_map_put(host, "other_config", "agent_start_time", now);
    sessions_drop_all(sim);
}

static json_t *pool_designate_new_master(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    if (!obj_bool(host, "enabled"))
        return refuse(error, "HOST_DISABLED", host);
    if (host == sim_master(sim))
        return call_void();
    obj_put_ref(sim_pool(sim), "master", host);
    clock_after(sim_clock(sim), HANDOVER_MS, handed_over, obj_ref(host));
    return call_void();
}

/* --- The management interface --- */

static bool manageable(const Obj *pif, GError **error)
{
    if (obj_bool(sim_pool(obj_sim(pif)), "ha_enabled"))
        refuse(error, "HA_IS_ENABLED", NULL);
    else if (obj_follow(pif, "bond_slave_of") != NULL)
        refuse(error, "CANNOT_PLUG_BOND_SLAVE", pif);
    else if (strcmp(obj_str(pif, "ip_configuration_mode"), "None") == 0)
        refuse(error, "PIF_HAS_NO_NETWORK_CONFIGURATION", pif);
    else
        return true;
    return false;
}

/* The host's address stays: a simulated host listens at one only. */
static void manage_by(Obj *pif)
{
    const Obj *host = obj_follow(pif, "host");
    for (guint i = 0; i < obj_set_size(host, "PIFs"); i++)
        obj_put_bool(obj_follow_nth(host, "PIFs", i), "management", false);
    obj_put_bool(pif, "management", true);
}

static json_t *host_management_reconfigure(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    if (pif == NULL || !manageable(pif, error))
        return NULL;
    manage_by(pif);
    return call_void();
}

static Obj *pif_on_network(const Obj *network, const Obj *host)
{
    for (guint i = 0; i < obj_set_size(network, "PIFs"); i++) {
        Obj *pif = obj_follow_nth(network, "PIFs", i);
        if (obj_follow(pif, "host") == host)
            return pif;
    }
    return NULL;
}

static json_t *pool_management_reconfigure(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *network = call_obj(call, 0, "network", error);
    if (network == NULL)
        return NULL;
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host)) {
        const Obj *pif = pif_on_network(network, host);
        if (pif == NULL) {
            sim_error(error, "PIF_NOT_PRESENT", obj_ref(host), obj_ref(network), NULL);
            return NULL;
        }
        if (!manageable(pif, error))
            return NULL;
    }
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host))
        manage_by(pif_on_network(network, host));
    return call_void();
}

const Method pool_methods[] = {
    { "pool.get_license_state", pool_get_license_state },
    { "pool.get_guest_secureboot_readiness", pool_secureboot_readiness },
    { "pool.designate_new_master", pool_designate_new_master },
    { "host.management_reconfigure", host_management_reconfigure },
    { "pool.management_reconfigure", pool_management_reconfigure },
    { NULL, NULL },
};
