/* network.*: networks of a pool, on VLANs or bonds of its interfaces, or internal. */
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

static bool destroy_layers(Xapi *xapi, json_t *network, GError **error);

/* A half-made network does not stay. */
static void unmake(Xapi *xapi, const char *ref)
{
    json_t *network = xapi_call(xapi, "network.get_record", json_pack("[s]", ref), NULL);
    destroy_layers(xapi, network, NULL);
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

/* --- network.createBonded --- */

enum { MAX_BOND_MEMBERS = 8 };

/* The interfaces of the pool that have the devices of the given ones: {host: {device: PIF}}. */
typedef struct {
    json_t *by_host, *devices;
} Members;

static void add_member(const char *id, const char *type, GBytes *text, void *user)
{
    Members *members = user;
    json_t *pif = json_loads(g_bytes_get_data(text, NULL), 0, NULL);
    const char *device = json_string_value(json_object_get(pif, "device"));
    const char *host = json_string_value(json_object_get(pif, "$host"));
    if (host && device && json_object_get(members->devices, device) &&
        json_is_true(json_object_get(pif, "physical"))) {
        if (!json_object_get(members->by_host, host))
            json_object_set_new(members->by_host, host, json_object());
        json_object_set(json_object_get(members->by_host, host), device,
                        json_object_get(pif, "_xapiRef"));
    }
    json_decref(pif);
}

static bool check_pifs(ApiCall *call, json_t *devices, GError **error)
{
    size_t i;
    json_t *id;
    const ApiObject *pool = call_object(call, "pool");
    const char *host = NULL;
    json_array_foreach (call_get(call, "pifs"), i, id) {
        const ApiObject *pif = call_find(call, json_string_value(id), "PIF", NULL, error);
        if (!pif)
            return false;
        if (!json_is_true(json_object_get(pif->view, "physical"))) {
            api_error_invalid(error, "pifs: %s (%s) is no interface of the host itself", pif->id,
                              api_object_text(pif, "device"));
            return false;
        }
        if (pif->link != pool->link) {
            api_error_invalid(error, "pifs: %s is not an interface of pool %s", pif->id, pool->id);
            return false;
        }
        if (host && !g_str_equal(host, api_object_text(pif, "$host"))) {
            api_error_invalid(error,
                              "pifs: %s is on another host than the first one: name the "
                              "interfaces of one host, the others' are found by device",
                              pif->id);
            return false;
        }
        host = api_object_text(pif, "$host");
        json_object_set_new(devices, api_object_text(pif, "device"), json_true());
    }
    if (i >= 2 && i <= MAX_BOND_MEMBERS)
        return check_mtu(call, error);
    api_error_invalid(error, "pifs: a bond has 2 to %d interfaces, not %zu", MAX_BOND_MEMBERS, i);
    return false;
}

/* In the order in which they were given: the first one's address is the bond's. */
static json_t *in_order(json_t *devices, json_t *pifs)
{
    json_t *list = json_array(), *value;
    const char *device;
    json_object_foreach (devices, device, value)
        if (json_object_get(pifs, device))
            json_array_append(list, json_object_get(pifs, device));
    return list;
}

static bool bond_hosts(ApiCall *call, const Members *members, const char *network, GError **error)
{
    const char *host;
    json_t *pifs;
    json_object_foreach (members->by_host, host, pifs)
        if (!xapi_do(api_object_xapi(call_object(call, "pool")), "Bond.create",
                     json_pack("[s, o, s, s]", network, in_order(members->devices, pifs), "",
                               call_string(call, "bondMode")),
                     error))
            return false;
    return true;
}

static json_t *made_record(const ApiObject *pool, const char *ref, GError **error)
{
    json_t *record =
        xapi_call(api_object_xapi(pool), "network.get_record", json_pack("[s]", ref), error);
    api_object_barrier(pool);
    return record;
}

static json_t *create_bonded(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    Members members = { json_object(), json_object() };
    json_t *record = NULL;
    g_autofree char *ref =
        check_pifs(call, members.devices, error) ? create_record(call, pool, error) : NULL;
    if (ref) {
        inventory_each(pool->inventory, "PIF", add_member, &members);
        if (bond_hosts(call, &members, ref, error))
            record = made_record(pool, ref, error);
        else
            unmake(api_object_xapi(pool), ref);
    }
    json_decref(members.by_host);
    json_decref(members.devices);
    return record;
}

/* --- network.delete --- */

static const char *ref_in(json_t *value)
{
    const char *ref = json_string_value(value);
    return ref && g_str_has_prefix(ref, "OpaqueRef:") && !g_str_equal(ref, "OpaqueRef:NULL") ? ref
                                                                                             : NULL;
}

/* What one interface exists for: a VLAN, a bond, a tunnel. False with the first refusal. */
static bool destroy_layers_of(Xapi *xapi, json_t *pif, GError **error)
{
    static const struct {
        const char *field, *method;
    } layers[] = {
        { "VLAN_master_of", "VLAN.destroy" },
        { "bond_master_of", "Bond.destroy" },
        { "tunnel_access_PIF_of", "tunnel.destroy" },
    };
    for (unsigned n = 0; n < G_N_ELEMENTS(layers); n++) {
        json_t *list = json_object_get(pif, layers[n].field), *each;
        size_t at;
        if (ref_in(list) && !xapi_do(xapi, layers[n].method, json_pack("[O]", list), error))
            return false;
        json_array_foreach (list, at, each)
            if (!xapi_do(xapi, layers[n].method, json_pack("[O]", each), error))
                return false;
    }
    return true;
}

/* The interfaces that exist for this network alone. */
static bool destroy_layers(Xapi *xapi, json_t *network, GError **error)
{
    size_t i;
    json_t *ref;
    bool ok = true;
    json_array_foreach (json_object_get(network, "PIFs"), i, ref) {
        json_t *pif = ok ? xapi_call(xapi, "PIF.get_record", json_pack("[O]", ref), error) : NULL;
        ok = pif && destroy_layers_of(xapi, pif, error);
        json_decref(pif);
    }
    return ok;
}

static json_t *delete (ApiCall *call, GError **error)
{
    const ApiObject *network = call_object(call, "id");
    json_t *record = api_object_record(network);
    bool unused = json_array_size(json_object_get(record, "VIFs")) == 0;
    if (!unused || destroy_layers(api_object_xapi(network), record, error))
        api_object_do(network, "network.destroy", NULL, error);
    json_decref(record);
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
      .access = ACCESS_USER, .example = "pool=$POOL name=internal description='for the tests'",
      .summary = "Create a network, on a VLAN of an interface or internal." },
    { "network.createBonded", create_bonded,
      PARAMS(REQ(ID("pool", "pool", "administrate")), REQ(STR("name")),
             DEF("\"Created with Xen Orchestra\"", STR0("description")),
             REQ(ARR("pifs", P_STRING), .words = "of one host; the others' by the same devices"),
             DEF("1500", INT("mtu")), REQ(CHOICE("bondMode", "balance-slb|active-backup|lacp"))),
      .access = ACCESS_USER,
      .example = "pool=$POOL name=pair pifs=json:\"[\\\"$FIRST_PIF\\\",\\\"$SECOND_PIF\\\"]\" "
                 "bondMode=active-backup",
      .summary = "Create a network on bonds of the same interfaces of every host." },
    { "network.set", set,
      PARAMS(REQ(ID("id", "network", "administrate")), OPT(STR("name_label")),
             OPT(STR0("name_description")), OPT(BOOL("automatic")), OPT(BOOL("defaultIsLocked")),
             OPT(INT("mtu")), OPT(BOOL("nbd"))),
      .access = ACCESS_USER, .example = "id=$NETWORK name_description='of the office'",
      .summary = "Change a network." },
    { "network.delete", delete, PARAMS(REQ(ID("id", "network", "administrate"))),
      .access = ACCESS_USER, .rest = "DELETE /networks/{id}", .example = "id=$SPARE_NETWORK",
      .summary = "Delete a network, with its VLANs and bonds." },
    { NULL },
};
