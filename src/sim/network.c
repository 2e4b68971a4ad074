/* Networks and VLANs. Interfaces themselves are pif.c's, bonds and tunnels bond.c's. */
#include "sim/inner.h"
#include "sim/pif.h"

#include <string.h>

static json_t *network_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *network = record_create(sim, "network", call_param(call, 0), error);
    if (network == NULL)
        return NULL;
    for (guint i = 0; *obj_str(network, "bridge") == '\0'; i++) {
        g_autofree char *bridge = g_strdup_printf("xapi%u", i);
        bool taken = false;
        for (Obj *at = obj_first(sim, "network"); at != NULL; at = obj_next(at))
            taken |= strcmp(obj_str(at, "bridge"), bridge) == 0;
        if (!taken)
            obj_put_str(network, "bridge", bridge);
    }
    return json_string(obj_ref(network));
}

static json_t *network_destroy(Call *call, GError **error)
{
    Obj *network = call_obj(call, 0, "network", error);
    if (network == NULL)
        return NULL;
    if (obj_set_size(network, "VIFs") > 0)
        sim_error(error, "NETWORK_CONTAINS_VIF", obj_set_nth(network, "VIFs", 0), NULL);
    else if (obj_set_size(network, "PIFs") > 0)
        sim_error(error, "NETWORK_CONTAINS_PIF", obj_set_nth(network, "PIFs", 0), NULL);
    else if (obj_map_get(network, "other_config", "is_guest_installer_network") != NULL)
        sim_error(error, "CANNOT_DESTROY_SYSTEM_NETWORK", obj_ref(network), NULL);
    else {
        obj_drop(network);
        return call_void();
    }
    return NULL;
}

/* nbd and insecure_nbd exclude each other in the whole pool. */
static json_t *network_add_purpose(Call *call, GError **error)
{
    Obj *network = call_obj(call, 0, "network", error);
    const char *purpose = call_str(call, 1);
    const char *other = strcmp(purpose, "nbd") == 0 ? "insecure_nbd" : "nbd";
    if (network == NULL)
        return NULL;
    for (Obj *at = obj_first(call_sim(call), "network"); at != NULL; at = obj_next(at))
        if (obj_set_has(at, "purpose", other)) {
            sim_error(error, "NETWORK_INCOMPATIBLE_PURPOSES", purpose, other, NULL);
            return NULL;
        }
    obj_set_add(network, "purpose", purpose);
    return call_void();
}

static json_t *network_remove_purpose(Call *call, GError **error)
{
    Obj *network = call_obj(call, 0, "network", error);
    if (network == NULL)
        return NULL;
    obj_set_remove(network, "purpose", call_str(call, 1));
    return call_void();
}

/* --- VLANs --- */

static Obj *vlan_pif(Sim *sim, Obj *physical, Obj *network, gint64 tag)
{
    Obj *pif = pif_on(physical, network, obj_str(physical, "device")), *vlan = obj_new(sim, "VLAN");
    obj_put_int(pif, "VLAN", tag);
    obj_put_ref(pif, "VLAN_master_of", vlan);
    obj_put_ref(vlan, "tagged_PIF", physical);
    obj_put_ref(vlan, "untagged_PIF", pif);
    obj_put_int(vlan, "tag", tag);
    return pif;
}

static bool vlan_check(Obj *physical, const Obj *network, gint64 tag, GError **error)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, tag);
    if (tag < 0 || tag > 4094) {
        sim_error(error, "VLAN_TAG_INVALID", text, NULL);
        return false;
    }
    if (obj_follow(physical, "bond_slave_of") != NULL) {
        sim_error(error, "CANNOT_ADD_VLAN_TO_BOND_SLAVE", obj_ref(physical), NULL);
        return false;
    }
    for (guint i = 0; i < obj_set_size(physical, "VLAN_slave_of"); i++)
        if (obj_int(obj_follow_nth(physical, "VLAN_slave_of", i), "tag") == tag) {
            sim_error(error, "PIF_VLAN_EXISTS", obj_ref(physical), NULL);
            return false;
        }
    return pif_check_free(network, obj_follow(physical, "host"), error);
}

/* The VLAN on the same device of every host. */
static json_t *vlans_create(Sim *sim, const char *device, Obj *network, gint64 tag, GError **error)
{
    g_autoptr(GPtrArray) physical = g_ptr_array_new();
    for (Obj *pif = obj_first(sim, "PIF"); pif != NULL; pif = obj_next(pif)) {
        if (obj_int(pif, "VLAN") >= 0 || obj_set_size(pif, "tunnel_access_PIF_of") > 0 ||
            strcmp(obj_str(pif, "device"), device) != 0)
            continue;
        if (!vlan_check(pif, network, tag, error))
            return NULL;
        g_ptr_array_add(physical, pif);
    }
    json_t *list = json_array();
    for (guint i = 0; i < physical->len; i++) {
        Obj *pif = vlan_pif(sim, physical->pdata[i], network, tag);
        json_array_append_new(list, json_string(obj_ref(pif)));
    }
    return list;
}

static json_t *pool_create_VLAN(Call *call, GError **error)
{
    Obj *network = call_obj(call, 1, "network", error);
    return network == NULL
               ? NULL
               : vlans_create(call_sim(call), call_str(call, 0), network, call_int(call, 2), error);
}

static json_t *pool_create_VLAN_from_PIF(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    Obj *network = pif == NULL ? NULL : call_obj(call, 1, "network", error);
    if (network == NULL)
        return NULL;
    return vlans_create(call_sim(call), obj_str(pif, "device"), network, call_int(call, 2), error);
}

static json_t *vlan_create(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    Obj *network = pif == NULL ? NULL : call_obj(call, 2, "network", error);
    if (network == NULL || !vlan_check(pif, network, call_int(call, 1), error))
        return NULL;
    Obj *made = vlan_pif(call_sim(call), pif, network, call_int(call, 1));
    return json_string(obj_str(made, "VLAN_master_of"));
}

static json_t *vlan_destroy(Call *call, GError **error)
{
    Obj *vlan = call_obj(call, 0, "VLAN", error);
    if (vlan == NULL)
        return NULL;
    Obj *pif = obj_follow(vlan, "untagged_PIF");
    if (pif != NULL && !pif_check_idle(pif, error))
        return NULL;
    obj_drop(vlan);
    if (pif != NULL)
        pif_drop(pif);
    return call_void();
}

/* An interface that is no VLAN's is not made by a user's call, so cannot be unmade by one. */
static json_t *pif_destroy(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    Obj *vlan = pif == NULL ? NULL : obj_follow(pif, "VLAN_master_of");
    if (pif != NULL && vlan == NULL)
        sim_error(error, "PIF_IS_PHYSICAL", obj_ref(pif), NULL);
    if (vlan == NULL || !pif_check_idle(pif, error))
        return NULL;
    obj_drop(vlan);
    pif_drop(pif);
    return call_void();
}

const Method network_methods[] = {
    { "network.create", network_create },
    { "network.destroy", network_destroy },
    { "network.add_purpose", network_add_purpose },
    { "network.remove_purpose", network_remove_purpose },
    { "pool.create_VLAN", pool_create_VLAN },
    { "pool.create_VLAN_from_PIF", pool_create_VLAN_from_PIF },
    { "VLAN.create", vlan_create },
    { "VLAN.destroy", vlan_destroy },
    { "PIF.destroy", pif_destroy },
    { NULL, NULL },
};
