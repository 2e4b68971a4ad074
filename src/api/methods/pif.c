/* pif.*: interfaces of hosts, their addresses and their VLANs. */
#include "api/method.h"
#include "api/objects.h"

#include <stdlib.h>

enum { MAX_VLAN = 4094 };

static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *pif = call_object(call, "id");
    if (api_object_do(pif, method, NULL, error))
        api_object_barrier(pif);
    return NULL;
}

static json_t *plug(ApiCall *call, GError **error)
{
    return act(call, "PIF.plug", error);
}

static json_t *unplug(ApiCall *call, GError **error)
{
    return act(call, "PIF.unplug", error);
}

static json_t *delete (ApiCall *call, GError **error)
{
    return act(call, "PIF.destroy", error);
}

/* --- pif.reconfigureIp --- */

/* What was given, else what is set now. */
static const char *or_present(ApiCall *call, const char *param, const char *field)
{
    const char *given = call_string(call, param);
    return given ? given : api_object_text(call_object(call, "id"), field);
}

static bool set_ipv4(ApiCall *call, GError **error)
{
    const ApiObject *pif = call_object(call, "id");
    if (!call_get(call, "mode") && !call_get(call, "ip") && !call_get(call, "netmask") &&
        !call_get(call, "gateway") && !call_get(call, "dns"))
        return true;
    return api_object_do(
        pif, "PIF.reconfigure_ip",
        json_pack("[s, s, s, s, s]", or_present(call, "mode", "mode"), or_present(call, "ip", "ip"),
                  or_present(call, "netmask", "netmask"), or_present(call, "gateway", "gateway"),
                  or_present(call, "dns", "dns")),
        error);
}

static bool set_ipv6(ApiCall *call, GError **error)
{
    const ApiObject *pif = call_object(call, "id");
    json_t *now = json_array_get(json_object_get(pif->view, "ipv6"), 0);
    const char *address = call_string(call, "ipv6");
    if (!call_get(call, "ipv6Mode") && !address)
        return true;
    if (!address)
        address = json_string_value(now);
    return api_object_do(pif, "PIF.reconfigure_ipv6",
                         json_pack("[s, s, s, s]", or_present(call, "ipv6Mode", "ipv6Mode"),
                                   address ? address : "", "", or_present(call, "dns", "dns")),
                         error);
}

static json_t *reconfigure_ip(ApiCall *call, GError **error)
{
    if (set_ipv4(call, error))
        set_ipv6(call, error);
    api_object_barrier(call_object(call, "id"));
    return NULL;
}

/* --- pif.editPif --- */

/* A number, also as text; -1 with an error. */
static gint64 vlan_asked(ApiCall *call, GError **error)
{
    const char *text = call_string(call, "vlan");
    guint64 vlan = 0;
    bool ok = text ? g_ascii_string_to_unsigned(text, 10, 0, MAX_VLAN, &vlan, NULL)
                   : call_integer(call, "vlan") >= 0 && call_integer(call, "vlan") <= MAX_VLAN;
    if (ok)
        return text ? (gint64) vlan : call_integer(call, "vlan");
    api_error_invalid(error, "vlan: must be a number between 0 and %d", MAX_VLAN);
    return -1;
}

/* The VLANs of a network, a record each: {host: was it attached}; false with the first refusal. */
static bool destroy_vlans(Xapi *xapi, json_t *network, json_t *attached, GError **error)
{
    size_t i;
    json_t *ref;
    bool ok = true;
    json_array_foreach (json_object_get(network, "PIFs"), i, ref) {
        json_t *pif = ok ? xapi_call(xapi, "PIF.get_record", json_pack("[O]", ref), error) : NULL;
        ok = pif && xapi_do(xapi, "VLAN.destroy",
                            json_pack("[O]", json_object_get(pif, "VLAN_master_of")), error);
        if (ok)
            json_object_set(attached, json_string_value(json_object_get(pif, "host")),
                            json_object_get(pif, "currently_attached"));
        json_decref(pif);
    }
    return ok;
}

/* Those that were down stay down. */
static bool create_vlans(Xapi *xapi, const char *below, const char *network, gint64 vlan,
                         json_t *attached, GError **error)
{
    json_t *made = xapi_call(xapi, "pool.create_VLAN_from_PIF",
                             json_pack("[s, s, I]", below, network, (json_int_t) vlan), error);
    size_t i;
    json_t *ref;
    json_array_foreach (made, i, ref) {
        g_autofree char *host = xapi_call_string(xapi, "PIF.get_host", json_pack("[O]", ref), NULL);
        if (host && json_is_false(json_object_get(attached, host)))
            xapi_do(xapi, "PIF.unplug", json_pack("[O]", ref), NULL);
    }
    json_decref(made);
    return made != NULL;
}

/* The interface that a VLAN is on, and its network: copies. */
static bool find_below(const ApiObject *pif, char **below, char **network, GError **error)
{
    json_t *record = api_object_record(pif);
    const char *vlan = json_string_value(json_object_get(record, "VLAN_master_of"));
    *below = vlan ? xapi_call_string(api_object_xapi(pif), "VLAN.get_tagged_PIF",
                                     json_pack("[s]", vlan), error)
                  : NULL;
    *network = g_strdup(json_string_value(json_object_get(record, "network")));
    if (!record)
        api_error_no_such(error, pif->id, "PIF");
    json_decref(record);
    return *below && *network;
}

/* When the new tag is refused the old one comes back. */
static bool change_vlan(const ApiObject *pif, gint64 vlan, GError **error)
{
    Xapi *xapi = api_object_xapi(pif);
    g_autofree char *below = NULL, *network = NULL;
    if (!find_below(pif, &below, &network, error))
        return false;
    gint64 old = json_integer_value(json_object_get(pif->view, "vlan"));
    json_t *attached = json_object();
    json_t *record = xapi_call(xapi, "network.get_record", json_pack("[s]", network), error);
    bool ok = record && destroy_vlans(xapi, record, attached, error) &&
              create_vlans(xapi, below, network, vlan, attached, error);
    if (record && !ok && json_object_size(attached) > 0)
        create_vlans(xapi, below, network, old, attached, NULL);
    json_decref(record);
    json_decref(attached);
    return ok;
}

static json_t *edit(ApiCall *call, GError **error)
{
    const ApiObject *pif = call_object(call, "id");
    gint64 vlan = vlan_asked(call, error);
    gint64 old = json_integer_value(json_object_get(pif->view, "vlan"));
    if (vlan < 0 || vlan == old)
        return NULL;
    if (old < 0)
        api_error_invalid(error,
                          "id: the interface %s (%s) has no VLAN that could be changed: "
                          "create a network on a VLAN of it",
                          api_object_text(pif, "device"), pif->id);
    else
        change_vlan(pif, vlan, error);
    api_object_barrier(pif);
    return NULL;
}

const Method methods_pif[] = {
    { "pif.connect", plug, PARAMS(REQ(ID("id", "PIF", "administrate"))), .access = ACCESS_USER,
      .example = "id=$UNPLUGGED_PIF", .summary = "Bring an interface of a host up." },
    { "pif.disconnect", unplug, PARAMS(REQ(ID("id", "PIF", "administrate"))), .access = ACCESS_USER,
      .example = "id=$VLAN_PIF", .summary = "Take an interface of a host down." },
    { "pif.delete", delete, PARAMS(REQ(ID("id", "PIF", "administrate"))), .access = ACCESS_USER,
      .example = "id=$VLAN_PIF", .summary = "Delete the VLAN that an interface is." },
    { "pif.reconfigureIp", reconfigure_ip,
      PARAMS(REQ(ID("id", "PIF", "administrate")), OPT(CHOICE("mode", "None|DHCP|Static")),
             OPT(STR0("ip")), OPT(STR0("netmask")), OPT(STR0("gateway")), OPT(STR0("dns")),
             OPT(STR0("ipv6")), OPT(CHOICE("ipv6Mode", "None|DHCP|Static|Autoconf"))),
      .access = ACCESS_USER, .example = "id=$VLAN_PIF mode=Static ip=10.9.8.7 netmask=255.255.0.0",
      .summary = "Change the addresses of an interface." },
    { "pif.editPif", edit,
      PARAMS(REQ(ID("id", "PIF", "administrate")),
             REQ(TYPED("vlan", P_INTEGER | P_STRING), .words = "the new tag, on every host")),
      .access = ACCESS_USER, .example = "id=$VLAN_PIF vlan=117",
      .summary = "Change the tag of a VLAN." },
    { NULL },
};
