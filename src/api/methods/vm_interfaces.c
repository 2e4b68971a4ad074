/* The network interfaces of a VM that is being created. */
#include "api/methods/vm_interfaces.h"
#include "api/ip_pools.h"
#include "api/methods/vm_devices.h"

#include <string.h>

static bool drop(VmChange *vm, const char *ref, GError **error)
{
    return xapi_do(vm->xapi, "VIF.destroy", json_pack("[s]", ref), error);
}

static bool drop_all(VmChange *vm, GError **error)
{
    size_t i;
    json_t *vif;
    json_array_foreach (json_object_get(vm->record, "VIFs"), i, vif)
        if (!drop(vm, json_string_value(vif), error))
            return false;
    return true;
}

/* "1" or 1; copy, NULL: not said. */
static char *device_of(json_t *wanted)
{
    json_t *device = json_object_get(wanted, "device");
    if (json_is_integer(device))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(device));
    return g_strdup(json_string_value(device));
}

/* The one of the template that stands where another is wanted, or none at all. */
static bool make_room(VmChange *vm, json_t *wanted, GError **error)
{
    g_autofree char *device = device_of(wanted);
    if (!device)
        return true;
    json_t *vifs = xapi_call(vm->xapi, "VM.get_VIFs", json_pack("[s]", vm->ref), error), *vif;
    bool ok = vifs != NULL;
    size_t i;
    json_array_foreach (vifs, i, vif) {
        g_autofree char *at =
            ok ? xapi_call_string(vm->xapi, "VIF.get_device", json_pack("[O]", vif), error) : NULL;
        ok = at && (!g_str_equal(at, device) || drop(vm, json_string_value(vif), error));
    }
    json_decref(vifs);
    return ok;
}

/* The first device that is free; copy. */
static char *free_device(VmChange *vm, size_t i, GError **error)
{
    json_t *devices =
        xapi_call(vm->xapi, "VM.get_allowed_VIF_devices", json_pack("[s]", vm->ref), error);
    char *device = g_strdup(json_string_value(json_array_get(devices, 0)));
    if (devices && !device)
        api_error_invalid(error, "VIFs: the VM can have no interface number %zu", i);
    json_decref(devices);
    return device;
}

static bool make(VmChange *vm, size_t i, json_t *wanted, GError **error)
{
    const char *id = json_string_value(json_object_get(wanted, "network"));
    const ApiObject *network = id ? call_find(vm->call, id, "network", NULL, error) : NULL;
    g_autofree char *asked = device_of(wanted);
    if (!id)
        api_error_invalid(error, "VIFs/%zu: expected a network", i);
    if (!network)
        return false;
    g_autofree char *device = asked ? g_steal_pointer(&asked) : free_device(vm, i, error);
    return device && vif_create(vm->xapi, vm->ref, network, device, wanted, NULL, error);
}

bool vm_interfaces_make(VmChange *vm, GError **error)
{
    json_t *all = call_get(vm->call, "VIFs"), *wanted;
    bool keep = call_bool(vm->call, VM_KEEP_INTERFACES);
    size_t i;
    if (!keep && !drop_all(vm, error))
        return false;
    json_array_foreach (all, i, wanted) {
        if (keep && !make_room(vm, wanted, error))
            return false;
        if (!json_is_true(json_object_get(wanted, "destroy")) && !make(vm, i, wanted, error))
            return false;
    }
    return true;
}

/* {network, …} of the call as the objects have it: {$network, …}; NULL: nothing to count. */
static json_t *shape_of(VmChange *vm, json_t *wanted)
{
    const char *id = json_string_value(json_object_get(wanted, "network"));
    const ApiObject *network = id ? call_find(vm->call, id, "network", NULL, NULL) : NULL;
    if (!network || json_is_true(json_object_get(wanted, "destroy")))
        return NULL;
    json_t *shape = json_copy(wanted);
    json_object_set_new(shape, "$network", json_string(network->id));
    return shape;
}

bool vm_interfaces_lease(VmChange *vm, AddressLease **lease, GError **error)
{
    const char *set = call_string(vm->call, "resourceSet");
    json_t *shapes = json_array(), *wanted;
    size_t i;
    json_array_foreach (call_get(vm->call, "VIFs"), i, wanted) {
        json_t *shape = shape_of(vm, wanted);
        if (shape)
            json_array_append_new(shapes, shape);
    }
    bool ok = ip_pools_take(vm->call, set, vm_change_text(vm, "uuid"), NULL, shapes, lease, error);
    json_decref(shapes);
    return ok;
}
