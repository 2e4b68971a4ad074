/* Interfaces of hosts: plugged and unplugged, their addresses, found and forgotten. */
#include "sim/pif.h"
#include "sim/inner.h"

#include <gio/gio.h>
#include <string.h>

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj_ref(obj), NULL);
    return NULL;
}

Obj *pif_on(const Obj *like, Obj *network, const char *device)
{
    Sim *sim = obj_sim(like);
    Obj *pif = obj_new(sim, "PIF");
    static const char *const fields[] = {
        "MAC", "MTU", "managed", "IPv6", "currently_attached", "primary_address_type"
    };
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        obj_copy_field(pif, like, fields[i]);
    obj_put_str(pif, "device", device);
    obj_put_int(pif, "VLAN", -1);
    obj_put_ref(pif, "host", obj_follow(like, "host"));
    obj_put_ref(pif, "network", network);
    obj_put_ref(pif, "metrics", obj_new(sim, "PIF_metrics"));
    obj_put_bool(obj_follow(pif, "metrics"), "carrier", true);
    return pif;
}

void pif_drop(Obj *pif)
{
    Obj *metrics = obj_follow(pif, "metrics");
    obj_drop(pif);
    if (metrics != NULL)
        obj_drop(metrics);
}

bool pif_check_free(const Obj *network, const Obj *host, GError **error)
{
    for (guint i = 0; i < obj_set_size(network, "PIFs"); i++) {
        const Obj *pif = obj_follow_nth(network, "PIFs", i);
        if (obj_follow(pif, "host") == host) {
            sim_error(error, "NETWORK_ALREADY_CONNECTED", obj_ref(network), obj_ref(pif), NULL);
            return false;
        }
    }
    return true;
}

/* An interface of a guest that runs on the host and is attached to the network. */
static const Obj *guest_on(const Obj *network, const Obj *host)
{
    for (guint i = 0; i < obj_set_size(network, "VIFs"); i++) {
        const Obj *vif = obj_follow_nth(network, "VIFs", i), *vm = obj_follow(vif, "VM");
        if (obj_bool(vif, "currently_attached") && vm != NULL &&
            obj_follow(vm, "resident_on") == host)
            return vif;
    }
    return NULL;
}

bool pif_check_idle(const Obj *pif, GError **error)
{
    const Obj *network = obj_follow(pif, "network");
    const Obj *vif = network == NULL ? NULL : guest_on(network, obj_follow(pif, "host"));
    if (obj_bool(pif, "disallow_unplug"))
        refuse(error, "PIF_DOES_NOT_ALLOW_UNPLUG", pif);
    else if (obj_bool(pif, "management"))
        refuse(error, "PIF_IS_MANAGEMENT_INTERFACE", pif);
    else if (vif != NULL)
        sim_error(error, "VIF_IN_USE", obj_ref(network), obj_ref(vif), NULL);
    else
        return true;
    return false;
}

void pif_move_addresses(Obj *from, Obj *to)
{
    static const char *const fields[] = { "ip_configuration_mode", "IP", "netmask", "gateway",
                                          "DNS" };
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        obj_copy_field(to, from, fields[i]);
        obj_put_str(from, fields[i], i == 0 ? "None" : "");
    }
    obj_put_bool(to, "management", obj_bool(from, "management"));
    obj_put_bool(from, "management", false);
}

/* --- Up and down --- */

static json_t *pif_plug(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    if (pif == NULL)
        return NULL;
    if (obj_follow(pif, "bond_slave_of") != NULL)
        return refuse(error, "CANNOT_PLUG_BOND_SLAVE", pif);
    obj_put_bool(pif, "currently_attached", true);
    return call_void();
}

static json_t *pif_unplug(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    if (pif == NULL || !pif_check_idle(pif, error))
        return NULL;
    obj_put_bool(pif, "currently_attached", false);
    return call_void();
}

/* --- Addresses --- */

static bool is_address(const char *text, GSocketFamily family)
{
    g_autofree char *plain = g_strndup(text, strcspn(text, "/"));
    g_autoptr(GInetAddress) address = g_inet_address_new_from_string(plain);
    return address != NULL && g_inet_address_get_family(address) == family;
}

/* "" is allowed unless `needed`. */
static bool check_address(const char *name, const char *text, GSocketFamily family, bool needed,
                          GError **error)
{
    if (*text == '\0' ? !needed : is_address(text, family))
        return true;
    sim_error(error, "INVALID_IP_ADDRESS_SPECIFIED", name, NULL);
    return false;
}

static json_t *pif_reconfigure_ip(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    bool fixed = strcmp(call_str(call, 1), "Static") == 0;
    bool none = strcmp(call_str(call, 1), "None") == 0;
    static const char *const fields[] = { "IP", "netmask", "gateway", "DNS" };
    if (pif == NULL)
        return NULL;
    if (none && obj_bool(pif, "management"))
        return refuse(error, "PIF_IS_MANAGEMENT_INTERFACE", pif);
    for (guint i = 0; i < 3; i++)
        if (!check_address(fields[i], call_str(call, i + 2), G_SOCKET_FAMILY_IPV4, fixed && i < 2,
                           error))
            return NULL;
    obj_put_str(pif, "ip_configuration_mode", call_str(call, 1));
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        obj_put_str(pif, fields[i], fixed ? call_str(call, i + 2) : "");
    return call_void();
}

static json_t *pif_reconfigure_ipv6(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    bool fixed = strcmp(call_str(call, 1), "Static") == 0;
    if (pif == NULL ||
        !check_address("IPv6", call_str(call, 2), G_SOCKET_FAMILY_IPV6, fixed, error) ||
        !check_address("gateway", call_str(call, 3), G_SOCKET_FAMILY_IPV6, false, error))
        return NULL;
    obj_put_str(pif, "ipv6_configuration_mode", call_str(call, 1));
    obj_set_clear(pif, "IPv6");
    obj_set_add(pif, "IPv6", fixed ? call_str(call, 2) : "");
    obj_put_str(pif, "ipv6_gateway", call_str(call, 3));
    obj_put_str(pif, "DNS", call_str(call, 4));
    return call_void();
}

/* --- Found and forgotten --- */

enum { N_DEVICES = 4 }; /* that a simulated host has: eth0 to eth3, the first two of them known */

static Obj *pif_of(const Obj *host, const char *device)
{
    for (guint i = 0; i < obj_set_size(host, "PIFs"); i++) {
        Obj *pif = obj_follow_nth(host, "PIFs", i);
        if (obj_bool(pif, "physical") && strcmp(obj_str(pif, "device"), device) == 0)
            return pif;
    }
    return NULL;
}

static char *mac_of(const Obj *host, guint device)
{
    const char *uuid = obj_uuid(host);
    return g_strdup_printf("02:5d:%.2s:%.2s:%.2s:%02x", uuid, uuid + 2, uuid + 4, device);
}

/* The network of a device is the pool's: made with the first interface on it. */
static Obj *network_of(Sim *sim, const char *device)
{
    g_autofree char *bridge = g_strdup_printf("xenbr%s", device + strlen("eth"));
    for (Obj *at = obj_first(sim, "network"); at != NULL; at = obj_next(at))
        if (strcmp(obj_str(at, "bridge"), bridge) == 0)
            return at;
    g_autofree char *name = g_strdup_printf("Pool-wide network associated with %s", device);
    Obj *network = obj_new(sim, "network");
    obj_put_str(network, "name_label", name);
    obj_put_str(network, "bridge", bridge);
    return network;
}

static Obj *introduce(Obj *host, const char *mac, const char *device, bool managed)
{
    Sim *sim = obj_sim(host);
    Obj *pif = obj_new(sim, "PIF"), *metrics = obj_new(sim, "PIF_metrics");
    obj_put_str(pif, "device", device);
    obj_put_str(pif, "MAC", mac);
    obj_put_int(pif, "MTU", 1500);
    obj_put_int(pif, "VLAN", -1);
    obj_put_bool(pif, "physical", true);
    obj_put_bool(pif, "managed", managed);
    obj_put_bool(pif, "currently_attached", false);
    obj_put_ref(pif, "host", host);
    obj_put_ref(pif, "network", network_of(sim, device));
    obj_put_ref(pif, "metrics", metrics);
    obj_put_bool(metrics, "carrier", true);
    obj_put_int(metrics, "speed", 10000);
    return pif;
}

static json_t *pif_scan(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    for (guint i = 0; i < N_DEVICES; i++) {
        g_autofree char *device = g_strdup_printf("eth%u", i), *mac = mac_of(host, i);
        if (pif_of(host, device) == NULL)
            introduce(host, mac, device, true);
    }
    return call_void();
}

static json_t *pif_introduce(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    const char *mac = call_str(call, 1), *device = call_str(call, 2);
    if (host == NULL)
        return NULL;
    if (!g_str_has_prefix(device, "eth")) {
        sim_error(error, "MAC_DOES_NOT_EXIST", mac, NULL);
        return NULL;
    }
    if (pif_of(host, device) != NULL) {
        sim_error(error, "DUPLICATE_PIF_DEVICE_NAME", device, NULL);
        return NULL;
    }
    g_autofree char *given = *mac == '\0' ? mac_of(host, (guint) atoi(device + 3)) : g_strdup(mac);
    bool managed = call_param(call, 3) == NULL || call_bool(call, 3);
    return json_string(obj_ref(introduce(host, given, device, managed)));
}

static json_t *pif_forget(Call *call, GError **error)
{
    Obj *pif = call_obj(call, 0, "PIF", error);
    if (pif == NULL)
        return NULL;
    if (!obj_bool(pif, "physical"))
        return refuse(error, "PIF_IS_NOT_PHYSICAL", pif);
    if (obj_follow(pif, "bond_slave_of") != NULL)
        return refuse(error, "PIF_ALREADY_BONDED", pif);
    if (obj_set_size(pif, "VLAN_slave_of") > 0)
        return refuse(error, "PIF_VLAN_STILL_EXISTS", pif);
    if (obj_set_size(pif, "tunnel_transport_PIF_of") > 0)
        return refuse(error, "PIF_TUNNEL_STILL_EXISTS", pif);
    if (!pif_check_idle(pif, error))
        return NULL;
    pif_drop(pif);
    return call_void();
}

const Method pif_methods[] = {
    { "PIF.plug", pif_plug },
    { "PIF.unplug", pif_unplug },
    { "PIF.reconfigure_ip", pif_reconfigure_ip },
    { "PIF.reconfigure_ipv6", pif_reconfigure_ipv6 },
    { "PIF.scan", pif_scan },
    { "PIF.introduce", pif_introduce },
    { "PIF.forget", pif_forget },
    { NULL, NULL },
};
