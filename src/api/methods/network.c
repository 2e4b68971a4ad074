/* network.*: networks of a pool, on VLANs of its interfaces or internal. */
#include "api/method.h"
#include "api/objects.h"

#include <string.h>

enum { MIN_MTU = 68, MAX_MTU = 65535, MAX_VLAN = 4094 };

static bool check_mtu(ApiCall *call, GError **error)
{
    gint64 mtu = call_integer(call, "mtu");
    if (!call_get(call, "mtu") || (mtu >= MIN_MTU && mtu <= MAX_MTU))
        return true;
    api_error_invalid(error, "mtu: %" G_GINT64_FORMAT " is not between %d and %d", mtu, MIN_MTU,
                      MAX_MTU);
    return false;
}

/* --- network.create --- */

static bool check(ApiCall *call, GError **error)
{
    gint64 vlan = call_integer(call, "vlan");
    const ApiObject *pif = call_object(call, "pif"), *pool = call_object(call, "pool");
    if (vlan < 0 || vlan > MAX_VLAN)
        api_error_invalid(error, "vlan: %" G_GINT64_FORMAT " is not between 0 and %d", vlan,
                          MAX_VLAN);
    else if (pif && pif->link != pool->link)
        api_error_invalid(error, "pif: %s is not an interface of pool %s", pif->id, pool->id);
    else
        return check_mtu(call, error);
    return false;
}

/* The reference of a new network that nothing is connected to. */
static char *create_record(ApiCall *call, const ApiObject *pool, GError **error)
{
    json_t *record = json_pack("{s:O, s:O, s:O, s:{s:s}}", "name_label", call_get(call, "name"),
                               "name_description", call_get(call, "description"), "MTU",
                               call_get(call, "mtu"), "other_config", "automatic", "false");
    return xapi_call_string(api_object_xapi(pool), "network.create", json_pack("[o]", record),
                            error);
}

static bool complete(ApiCall *call, const ApiObject *pool, const char *ref, GError **error)
{
    const ApiObject *pif = call_object(call, "pif");
    Xapi *xapi = api_object_xapi(pool);
    if (pif && !xapi_do(xapi, "pool.create_VLAN_from_PIF",
                        json_pack("[s, s, O]", pif->ref, ref, call_get(call, "vlan")), error))
        return false;
    return !call_bool(call, "nbd") ||
           xapi_do(xapi, "network.add_purpose", json_pack("[s, s]", ref, "nbd"), error);
}

static void destroy_vlans(Xapi *xapi, json_t *network);

/* A half-made network does not stay. */
static void unmake(Xapi *xapi, const char *ref)
{
    json_t *network = xapi_call(xapi, "network.get_record", json_pack("[s]", ref), NULL);
    destroy_vlans(xapi, network);
    json_decref(network);
    xapi_do(xapi, "network.destroy", json_pack("[s]", ref), NULL);
}

static json_t *create(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    g_autofree char *ref = check(call, error) ? create_record(call, pool, error) : NULL;
    if (!ref)
        return NULL;
    if (complete(call, pool, ref, error))
        return api_object_made(pool, "network", ref, error);
    unmake(api_object_xapi(pool), ref);
    return NULL;
}

/* --- network.delete --- */

static const char *ref_in(json_t *record, const char *field)
{
    const char *ref = json_string_value(json_object_get(record, field));
    return ref && g_str_has_prefix(ref, "OpaqueRef:") && !g_str_equal(ref, "OpaqueRef:NULL") ? ref
                                                                                             : NULL;
}

/* The interfaces that exist for this network alone: VLANs, bonds, tunnels. */
static void destroy_vlans(Xapi *xapi, json_t *network)
{
    static const struct {
        const char *field, *method;
    } layers[] = {
        { "VLAN_master_of", "VLAN.destroy" },
        { "bond_master_of", "Bond.destroy" },
        { "tunnel_access_PIF_of", "tunnel.destroy" },
    };
    size_t i;
    json_t *pif_ref;
    json_array_foreach (json_object_get(network, "PIFs"), i, pif_ref) {
        json_t *pif = xapi_call(xapi, "PIF.get_record", json_pack("[O]", pif_ref), NULL);
        for (unsigned n = 0; n < G_N_ELEMENTS(layers); n++) {
            json_t *list = json_object_get(pif, layers[n].field), *each;
            size_t at;
            if (ref_in(pif, layers[n].field))
                xapi_do(xapi, layers[n].method, json_pack("[O]", list), NULL);
            json_array_foreach (list, at, each)
                xapi_do(xapi, layers[n].method, json_pack("[O]", each), NULL);
        }
        json_decref(pif);
    }
}

static json_t *delete (ApiCall *call, GError **error)
{
    const ApiObject *network = call_object(call, "id");
    json_t *record = api_object_record(network);
    if (json_array_size(json_object_get(record, "VIFs")) == 0)
        destroy_vlans(api_object_xapi(network), record);
    json_decref(record);
    api_object_do(network, "network.destroy", NULL, error);
    api_object_barrier(network);
    return NULL;
}

/* --- network.set --- */

static bool set_field(ApiCall *call, const char *param, const char *method, GError **error)
{
    json_t *value = call_get(call, param);
    return !value || api_object_do(call_object(call, "id"), method, json_pack("[O]", value), error);
}

static bool set_automatic(ApiCall *call, GError **error)
{
    const ApiObject *network = call_object(call, "id");
    if (!call_get(call, "automatic"))
        return true;
    return api_object_do(network, "network.remove_from_other_config", json_pack("[s]", "automatic"),
                         error) &&
           api_object_do(
               network, "network.add_to_other_config",
               json_pack("[s, s]", "automatic", call_bool(call, "automatic") ? "true" : "false"),
               error);
}

static bool set_locked(ApiCall *call, GError **error)
{
    return !call_get(call, "defaultIsLocked") ||
           api_object_do(
               call_object(call, "id"), "network.set_default_locking_mode",
               json_pack("[s]", call_bool(call, "defaultIsLocked") ? "disabled" : "unlocked"),
               error);
}

/* The two purposes exclude each other: the insecure one always goes. */
static bool set_nbd(ApiCall *call, GError **error)
{
    const ApiObject *network = call_object(call, "id");
    bool wanted = call_bool(call, "nbd");
    if (!call_get(call, "nbd"))
        return true;
    if (json_is_true(json_object_get(network->view, "insecureNbd")) &&
        !api_object_do(network, "network.remove_purpose", json_pack("[s]", "insecure_nbd"), error))
        return false;
    return json_is_true(json_object_get(network->view, "nbd")) == wanted ||
           api_object_do(network, wanted ? "network.add_purpose" : "network.remove_purpose",
                         json_pack("[s]", "nbd"), error);
}

static json_t *set(ApiCall *call, GError **error)
{
    if (!check_mtu(call, error))
        return NULL;
    if (set_field(call, "name_label", "network.set_name_label", error) &&
        set_field(call, "name_description", "network.set_name_description", error) &&
        set_field(call, "mtu", "network.set_MTU", error) && set_automatic(call, error) &&
        set_locked(call, error))
        set_nbd(call, error);
    api_object_barrier(call_object(call, "id"));
    return NULL;
}

const Method methods_network[] = {
    { "network.create", create,
      PARAMS(REQ(ID("pool", "pool", "administrate")), REQ(STR("name")),
             DEF("\"Created with Xen Orchestra\"", STR0("description")),
             OPT(ID("pif", "PIF", NULL), .words = "of any host; none: an internal network"),
             DEF("0", INT("vlan")), DEF("1500", INT("mtu")), OPT(BOOL("nbd"))),
      .access = ACCESS_USER,
      .summary = "Create a network, on a VLAN of an interface or internal." },
    { "network.set", set,
      PARAMS(REQ(ID("id", "network", "administrate")), OPT(STR("name_label")),
             OPT(STR0("name_description")), OPT(BOOL("automatic")), OPT(BOOL("defaultIsLocked")),
             OPT(INT("mtu")), OPT(BOOL("nbd"))),
      .access = ACCESS_USER, .summary = "Change a network." },
    { "network.delete", delete, PARAMS(REQ(ID("id", "network", "administrate"))),
      .access = ACCESS_USER, .rest = "DELETE /networks/{id}",
      .summary = "Delete a network, with its VLANs and bonds." },
    { NULL },
};
