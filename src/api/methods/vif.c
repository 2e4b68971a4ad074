/* Network interfaces of machines: made, changed, plugged, deleted. What a pool cannot change of one
 * (its network's pool-wide address, its MAC) makes a new one of it. */
#include "api/ip_pools.h"
#include "api/method.h"
#include "api/methods/vm_devices.h"
#include "api/resource_sets.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

/* One call on the interface itself, seen by everybody when it is answered. */
static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *vif = call_object(call, "id");
    if (api_object_do(vif, method, NULL, error))
        api_object_barrier(vif);
    return NULL;
}

static bool is_attached(const ApiObject *vif)
{
    return json_is_true(json_object_get(vif->view, "attached"));
}

/* --- Made and unmade --- */

/* "3", 3, or the first that is free. */
static char *free_device(ApiCall *call, const ApiObject *vm, GError **error)
{
    json_t *position = call_get(call, "position");
    if (json_is_string(position))
        return g_strdup(json_string_value(position));
    if (position)
        return g_strdup_printf("%" G_GINT64_FORMAT, call_integer(call, "position"));
    json_t *devices = xapi_call(api_object_xapi(vm), "VM.get_allowed_VIF_devices",
                                json_pack("[s]", vm->ref), error);
    char *device = g_strdup(json_string_value(json_array_get(devices, 0)));
    if (devices && !device)
        api_error_invalid(error, "VM %s can have no more interfaces", vm->id);
    json_decref(devices);
    return device;
}

/* What the interface will be: what was asked, else what it is (`vif` NULL: nothing yet); new
 * reference, an array. */
static json_t *will_be(ApiCall *call, const ApiObject *vif, const char *network_id)
{
    static const char *const names[] = { "allowedIpv4Addresses", "allowedIpv6Addresses" };
    json_t *shape = json_pack("{s:s}", "$network", network_id);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *given = call_get(call, names[i]);
        if (!given && vif)
            given = json_object_get(vif->view, names[i]);
        if (given)
            json_object_set(shape, names[i], given);
    }
    return json_pack("[o]", shape);
}

/* What pools have of its addresses, the machine's resource set must have left. */
static bool may_have(ApiCall *call, const char *vm_id, const ApiObject *vif, const char *network_id,
                     AddressLease **lease, GError **error)
{
    json_t *vm = servers_object(call_parts(call)->servers, vm_id);
    json_t *before = vif ? json_pack("[O]", vif->view) : NULL;
    json_t *after = will_be(call, vif, network_id);
    bool ok = ip_pools_take(call, json_string_value(json_object_get(vm, "resourceSet")), vm_id,
                            before, after, lease, error);
    json_decref(after);
    json_decref(before);
    json_decref(vm);
    return ok;
}

static json_t *create_interface(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm"), *network = call_object(call, "network");
    g_autofree char *device = free_device(call, vm, error);
    g_autofree char *ref = NULL;
    g_autoptr(AddressLease) lease = NULL;
    if (!device || !may_have(call, vm->id, NULL, network->id, &lease, error) ||
        !vif_create(api_object_xapi(vm), vm->ref, network, device, call_params(call), &ref, error))
        return NULL;
    if (!g_str_equal(api_object_text(vm, "power_state"), "Running") ||
        xapi_do(api_object_xapi(vm), "VIF.plug", json_pack("[s]", ref), error))
        return api_object_made(vm, "VIF", ref, error);
    if (xapi_do(api_object_xapi(vm), "VIF.destroy", json_pack("[s]", ref), NULL))
        api_object_barrier(vm);
    return NULL;
}

static json_t *vif_connect(ApiCall *call, GError **error)
{
    return act(call, "VIF.plug", error);
}

static json_t *vif_disconnect(ApiCall *call, GError **error)
{
    return act(call, "VIF.unplug_force", error);
}

static json_t *vif_delete(ApiCall *call, GError **error)
{
    const ApiObject *vif = call_object(call, "id");
    if (is_attached(vif) && !api_object_do(vif, "VIF.unplug_force", NULL, error))
        return NULL;
    return act(call, "VIF.destroy", error);
}

/* --- Changed --- */

/* One setting in the interface's own words; nothing when it is not among the parameters. */
static bool set_addresses(ApiCall *call, const ApiObject *vif, const char *name, const char *method,
                          GError **error)
{
    json_t *list = call_get(call, name);
    return !list || json_equal(list, json_object_get(vif->view, name)) ||
           api_object_do(vif, method, json_pack("[O]", list), error);
}

static bool set_locking(ApiCall *call, const ApiObject *vif, GError **error)
{
    const char *mode = call_string(call, "lockingMode");
    return !mode || api_object_do(vif, "VIF.set_locking_mode", json_pack("[s]", mode), error);
}

/* kB/s; null takes the limit away. */
static bool set_rate(ApiCall *call, const ApiObject *vif, GError **error)
{
    json_t *limit = call_get(call, "rateLimit");
    if (!limit)
        return true;
    if (json_is_null(limit))
        return api_object_do(vif, "VIF.set_qos_algorithm_type", json_pack("[s]", ""), error) &&
               api_object_do(vif, "VIF.set_qos_algorithm_params", json_pack("[{}]"), error);
    g_autofree char *kbps = g_strdup_printf("%" G_GINT64_FORMAT, (gint64) json_number_value(limit));
    return api_object_do(vif, "VIF.set_qos_algorithm_params", json_pack("[{s:s}]", "kbps", kbps),
                         error) &&
           api_object_do(vif, "VIF.set_qos_algorithm_type", json_pack("[s]", "ratelimit"), error);
}

static bool set_checksumming(ApiCall *call, const ApiObject *vif, GError **error)
{
    json_t *wanted = call_get(call, "txChecksumming");
    json_t *config = wanted ? json_deep_copy(json_object_get(vif->view, "other_config")) : NULL;
    if (!wanted)
        return true;
    if (!config)
        config = json_object();
    json_object_set_new(config, "ethtool-tx", json_string(json_is_true(wanted) ? "true" : "false"));
    return api_object_do(vif, "VIF.set_other_config", json_pack("[o]", config), error);
}

static bool set_attached(ApiCall *call, const ApiObject *vif, bool was, GError **error)
{
    json_t *wanted = call_get(call, "attached");
    if (!wanted || json_is_true(wanted) == was)
        return true;
    return api_object_do(vif, was ? "VIF.unplug_force" : "VIF.plug", NULL, error);
}

/* A caller who may not use the network needs a resource set that lends it. */
static const ApiObject *find_network(ApiCall *call, const char *id, GError **error)
{
    const char *set = call_string(call, "resourceSet");
    const char *const objects[] = { id, NULL };
    if (!set)
        return call_find(call, id, "network", "operate", error);
    return resource_set_lends(call, set, objects, error)
               ? call_find(call, id, "network", NULL, error)
               : NULL;
}

/* What the new interface shall be: the present one's ways, but for what was asked. */
static json_t *like(ApiCall *call, const ApiObject *vif)
{
    static const char *const names[] = { "allowedIpv4Addresses", "allowedIpv6Addresses" };
    json_t *wanted = json_object();
    const char *mac = call_string(call, "mac");
    json_object_set_new(wanted, "mac", json_string(mac ? mac : api_object_text(vif, "MAC")));
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *given = call_get(call, names[i]);
        json_object_set(wanted, names[i], given ? given : json_object_get(vif->view, names[i]));
    }
    return wanted;
}

/* What a record of the old one says beyond that. */
static bool keep_ways(Xapi *xapi, const char *ref, json_t *old, GError **error)
{
    static const char *const fields[] = { "locking_mode", "other_config", "qos_algorithm_type",
                                          "qos_algorithm_params" };
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        g_autofree char *method = g_strdup_printf("VIF.set_%s", fields[i]);
        if (!xapi_do(xapi, method, json_pack("[s, O]", ref, json_object_get(old, fields[i])),
                     error))
            return false;
    }
    return true;
}

/* The device number is free only once the old one has gone; what fails then brings it back. */
static char *replace(ApiCall *call, const ApiObject *vif, const ApiObject *vm, json_t *old,
                     const ApiObject *network, GError **error)
{
    Xapi *xapi = api_object_xapi(vif);
    const char *device = api_object_text(vif, "device");
    json_t *wanted = like(call, vif);
    char *ref = NULL;
    if ((is_attached(vif) && !api_object_do(vif, "VIF.unplug_force", NULL, error)) ||
        !api_object_do(vif, "VIF.destroy", NULL, error)) {
        json_decref(wanted);
        return NULL;
    }
    bool ok =
        vif_create(xapi, vm->ref, network, device, wanted, &ref, error) &&
        (MUTANT(
             vif_forgets_ways) || /* mutant: system:test_machine_methods.Methods.test_interfaces */
         keep_ways(xapi, ref, old, error));
    json_decref(wanted);
    if (ok)
        return ref;
    if (ref)
        xapi_do(xapi, "VIF.destroy", json_pack("[s]", ref), NULL);
    g_free(ref);
    g_autoptr(GError) lost = NULL;
    g_autofree char *back = xapi_call_string(xapi, "VIF.create", json_pack("[O]", old), &lost);
    if (!back)
        log_warning("api", "interface %s of VM %s is gone: %s", device, vm->id, lost->message);
    return NULL;
}

/* The interface that stands in for the old one; NULL with an error. */
static const ApiObject *recreate(ApiCall *call, const ApiObject *vif, const char *network_id,
                                 GError **error)
{
    const ApiObject *network = call_string(call, "network")
                                   ? find_network(call, network_id, error)
                                   : call_find(call, network_id, "network", NULL, error);
    const ApiObject *vm =
        network ? call_find(call, api_object_text(vif, "$VM"), "VM", "administrate", error) : NULL;
    json_t *old =
        vm ? xapi_call(api_object_xapi(vif), "VIF.get_record", json_pack("[s]", vif->ref), error)
           : NULL;
    g_autofree char *ref = old ? replace(call, vif, vm, old, network, error) : NULL;
    json_decref(old);
    if (!ref)
        return NULL;
    bool running = g_str_equal(api_object_text(vm, "power_state"), "Running");
    json_t *attached = call_get(call, "attached");
    bool plug = running && (attached ? json_is_true(attached) : is_attached(vif));
    if (plug && !xapi_do(api_object_xapi(vm), "VIF.plug", json_pack("[s]", ref), error))
        return NULL;
    json_t *id = api_object_made(vm, "VIF", ref, error);
    const ApiObject *made = id ? call_find(call, json_string_value(id), "VIF", NULL, error) : NULL;
    json_decref(id);
    return made;
}

static bool may_lock(ApiCall *call, const char *network, GError **error)
{
    return !call_get(call, "lockingMode") ||
           call_find(call, network, "network", "operate", error) != NULL;
}

static json_t *vif_set(ApiCall *call, GError **error)
{
    const ApiObject *vif = call_object(call, "id");
    const char *now = api_object_text(vif, "$network"), *network = call_string(call, "network");
    const char *mac = call_string(call, "mac");
    bool moves = network && !g_str_equal(network, now);
    g_autoptr(AddressLease) lease = NULL;
    bool renames = mac && g_ascii_strcasecmp(mac, api_object_text(vif, "MAC")) != 0;
    if (!may_lock(call, network ? network : now, error) ||
        !may_have(call, api_object_text(vif, "$VM"), vif, network ? network : now, &lease, error))
        return NULL;
    bool was = is_attached(vif), again = moves || renames;
    if (again && !(vif = recreate(call, vif, moves ? network : now, error)))
        return NULL;
    bool ok = set_addresses(call, vif, "allowedIpv4Addresses", "VIF.set_ipv4_allowed", error) &&
              set_addresses(call, vif, "allowedIpv6Addresses", "VIF.set_ipv6_allowed", error) &&
              set_locking(call, vif, error) && set_rate(call, vif, error) &&
              set_checksumming(call, vif, error) && (again || set_attached(call, vif, was, error));
    api_object_barrier(vif); /* also after a failure: what was done is there to be seen */
    return ok ? json_string(vif->id) : NULL;
}

#define ONE(type, may) PARAMS(REQ(ID("id", type, may)))

const Method methods_vif[] = {
    { "vm.createInterface", create_interface,
      PARAMS(REQ(ID("vm", "VM", "administrate")), REQ(ID("network", "network", "view")),
             OPT(TYPED("position", P_INTEGER | P_STRING)), OPT(STR("mac")),
             OPT(ARR("allowedIpv4Addresses", P_STRING)),
             OPT(ARR("allowedIpv6Addresses", P_STRING))),
      .access = ACCESS_USER, .example = "vm=$VM network=$NETWORK",
      .summary = "Give a virtual machine a network interface." },
    { "vif.connect", vif_connect, ONE("VIF", "operate"), .access = ACCESS_USER,
      .example = "id=$UNPLUGGED_VIF",
      .summary = "Plug a network interface into its running machine." },
    { "vif.disconnect", vif_disconnect, ONE("VIF", "operate"), .access = ACCESS_USER,
      .example = "id=$PLUGGED_VIF", .summary = "Unplug a network interface." },
    { "vif.delete", vif_delete, ONE("VIF", "administrate"), .access = ACCESS_USER,
      .example = "id=$SPARE_VIF", .summary = "Delete a network interface." },
    { "vif.set", vif_set,
      PARAMS(REQ(ID("id", "VIF", "operate")), OPT(STR("network")), OPT(STR("mac")),
             OPT(ARR("allowedIpv4Addresses", P_STRING)), OPT(ARR("allowedIpv6Addresses", P_STRING)),
             OPT(BOOL("attached")),
             OPT(STR("lockingMode"), .choices = "disabled|locked|network_default|unlocked"),
             OPT(TYPED("rateLimit", P_NUMBER | P_NULL), .words = "kB/s; null: none"),
             OPT(STR("resourceSet"), .words = "that lends the network"),
             OPT(BOOL("txChecksumming"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SPARE_VIF rateLimit=1000",
      .summary = "Change a network interface; the id may be another afterwards." },
    { NULL },
};
