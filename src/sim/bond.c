/* Bonds, several interfaces of a host as one, and tunnels between hosts. */
#include "sim/inner.h"
#include "sim/pif.h"

#include <string.h>

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

/* --- Bonds --- */

static bool member_check(const Obj *pif, const Obj *host, GError **error)
{
    if (obj_follow(pif, "bond_slave_of") != NULL)
        refuse(error, "PIF_ALREADY_BONDED", pif);
    else if (obj_int(pif, "VLAN") >= 0)
        refuse(error, "PIF_VLAN_EXISTS", pif);
    else if (obj_set_size(pif, "tunnel_access_PIF_of") > 0)
        refuse(error, "IS_TUNNEL_ACCESS_PIF", pif);
    else if (obj_follow(pif, "host") != host)
        refuse(error, "PIF_CANNOT_BOND_CROSS_HOST", NULL);
    else if (obj_bool(pif, "management") && obj_bool(sim_pool(obj_sim(pif)), "ha_enabled"))
        refuse(error, "HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE", NULL);
    else
        return true;
    return false;
}

/* The interfaces of the list; NULL with an error. */
static GPtrArray *members_of(Call *call, json_t *refs, GError **error)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    if (json_array_size(refs) < 2) {
        refuse(error, "PIF_BOND_NEEDS_MORE_MEMBERS", NULL);
        return NULL;
    }
    size_t i;
    json_t *ref;
    json_array_foreach (refs, i, ref) {
        Obj *pif = obj_get(call_sim(call), "PIF", json_string_value(ref), error);
        if (pif == NULL)
            return NULL;
        g_ptr_array_add(members, pif);
        if (!member_check(pif, obj_follow(members->pdata[0], "host"), error))
            return NULL;
    }
    return g_steal_pointer(&members);
}

static char *bond_device(const Obj *host)
{
    for (guint n = 0;; n++) {
        g_autofree char *name = g_strdup_printf("bond%u", n);
        bool taken = false;
        for (guint i = 0; i < obj_set_size(host, "PIFs"); i++)
            taken |= strcmp(obj_str(obj_follow_nth(host, "PIFs", i), "device"), name) == 0;
        if (!taken)
            return g_steal_pointer(&name);
    }
}

/* VLANs and tunnels go where their interface goes. */
static void move_layers(Obj *from, Obj *to)
{
    while (obj_set_size(from, "VLAN_slave_of") > 0) {
        Obj *vlan = obj_follow_nth(from, "VLAN_slave_of", 0);
        obj_put_ref(vlan, "tagged_PIF", to);
        obj_copy_field(obj_follow(vlan, "untagged_PIF"), to, "device");
    }
    while (obj_set_size(from, "tunnel_transport_PIF_of") > 0)
        obj_put_ref(obj_follow_nth(from, "tunnel_transport_PIF_of", 0), "transport_PIF", to);
}

/* The member whose addresses the bond takes: the one with the management, else the first that has
 * an address, else the first. */
static Obj *primary_of(const GPtrArray *members)
{
    Obj *best = members->pdata[0];
    for (guint i = 0; i < members->len; i++) {
        Obj *pif = members->pdata[i];
        if (obj_bool(pif, "management"))
            return pif;
        if (strcmp(obj_str(best, "ip_configuration_mode"), "None") == 0)
            best = pif;
    }
    return best;
}

static void enslave(Obj *pif, Obj *bond, Obj *master)
{
    obj_put_ref(pif, "bond_slave_of", bond);
    obj_put_bool(pif, "currently_attached", true);
    move_layers(pif, master);
}

static Obj *bond_new(const GPtrArray *members, Obj *network)
{
    Obj *primary = primary_of(members);
    g_autofree char *device = bond_device(obj_follow(primary, "host"));
    Obj *master = pif_on(primary, network, device), *bond = obj_new(obj_sim(network), "Bond");
    obj_put_int(master, "MTU", obj_int(network, "MTU"));
    obj_put_bool(master, "currently_attached", true);
    obj_put_ref(bond, "master", master);
    obj_put_ref(bond, "primary_slave", primary);
    obj_put_int(bond, "links_up", members->len);
    pif_move_addresses(primary, master);
    for (guint i = 0; i < members->len; i++)
        enslave(members->pdata[i], bond, master);
    return bond;
}

static json_t *bond_create(Call *call, GError **error)
{
    Obj *network = call_obj(call, 0, "network", error);
    g_autoptr(GPtrArray) members = network == NULL ? NULL
                                                   : members_of(call, call_param(call, 1), error);
    if (members == NULL || !pif_check_free(network, obj_follow(members->pdata[0], "host"), error))
        return NULL;
    Obj *bond = bond_new(members, network);
    if (*call_str(call, 2) != '\0')
        obj_put_str(obj_follow(bond, "master"), "MAC", call_str(call, 2));
    if (*call_str(call, 3) != '\0')
        obj_put_str(bond, "mode", call_str(call, 3));
    if (call_param(call, 4) != NULL)
        obj_put_json(bond, "properties", call_param(call, 4), NULL);
    return json_string(obj_ref(bond));
}

static json_t *bond_destroy(Call *call, GError **error)
{
    Obj *bond = call_obj(call, 0, "Bond", error);
    if (bond == NULL)
        return NULL;
    Obj *master = obj_follow(bond, "master"), *primary = obj_follow(bond, "primary_slave");
    if (obj_bool(master, "management") && obj_bool(sim_pool(call_sim(call)), "ha_enabled"))
        return refuse(error, "HA_CANNOT_CHANGE_BOND_STATUS_OF_MGMT_IFACE", NULL);
    if (!obj_bool(master, "management") && !pif_check_idle(master, error))
        return NULL;
    pif_move_addresses(master, primary);
    move_layers(master, primary);
    while (obj_set_size(bond, "slaves") > 0)
        obj_put_ref(obj_follow_nth(bond, "slaves", 0), "bond_slave_of", NULL);
    obj_drop(bond);
    pif_drop(master);
    return call_void();
}

/* --- Tunnels --- */

static json_t *tunnel_create(Call *call, GError **error)
{
    Obj *transport = call_obj(call, 0, "PIF", error);
    Obj *network = transport == NULL ? NULL : call_obj(call, 1, "network", error);
    if (network == NULL)
        return NULL;
    if (obj_set_size(transport, "tunnel_access_PIF_of") > 0)
        return refuse(error, "IS_TUNNEL_ACCESS_PIF", transport);
    if (obj_follow(transport, "bond_slave_of") != NULL)
        return refuse(error, "CANNOT_ADD_TUNNEL_TO_BOND_SLAVE", transport);
    if (strcmp(obj_str(transport, "ip_configuration_mode"), "None") == 0)
        return refuse(error, "TRANSPORT_PIF_NOT_CONFIGURED", transport);
    if (!pif_check_free(network, obj_follow(transport, "host"), error))
        return NULL;
    Obj *access = pif_on(transport, network, "tunnel0"),
        *tunnel = obj_new(call_sim(call), "tunnel");
    obj_put_ref(tunnel, "access_PIF", access);
    obj_put_ref(tunnel, "transport_PIF", transport);
    obj_map_put(tunnel, "status", "active", "true");
    if (*call_str(call, 2) != '\0')
        obj_put_str(tunnel, "protocol", call_str(call, 2));
    return json_string(obj_ref(tunnel));
}

static json_t *tunnel_destroy(Call *call, GError **error)
{
    Obj *tunnel = call_obj(call, 0, "tunnel", error);
    Obj *access = tunnel == NULL ? NULL : obj_follow(tunnel, "access_PIF");
    if (tunnel == NULL || (access != NULL && !pif_check_idle(access, error)))
        return NULL;
    obj_drop(tunnel);
    if (access != NULL)
        pif_drop(access);
    return call_void();
}

const Method bond_methods[] = {
    { "Bond.create", bond_create },
    { "Bond.destroy", bond_destroy },
    { "tunnel.create", tunnel_create },
    { "tunnel.destroy", tunnel_destroy },
    { NULL, NULL },
};
