/* vm.createInterface, vif.*, vbd.* and the drive: devices of machines, one at a time. */
#include "api/method.h"
#include "api/methods/vm_devices.h"

#include <string.h>

/* One call on the device itself, seen by everybody when it is answered. */
static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *device = call_object(call, "id");
    if (api_object_do(device, method, NULL, error))
        api_object_barrier(device);
    return NULL;
}

static bool is_attached(const ApiObject *device)
{
    return json_is_true(json_object_get(device->view, "attached"));
}

/* --- Network interfaces --- */

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

static json_t *create_interface(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm"), *network = call_object(call, "network");
    g_autofree char *device = free_device(call, vm, error);
    g_autofree char *ref = NULL;
    if (!device ||
        !vif_create(api_object_xapi(vm), vm->ref, network, device, call_params(call), &ref, error))
        return NULL;
    if (!g_str_equal(api_object_text(vm, "power_state"), "Running") ||
        xapi_do(api_object_xapi(vm), "VIF.plug", json_pack("[s]", ref), error))
        return api_object_made(vm, "VIF", ref, error);
    xapi_do(api_object_xapi(vm), "VIF.destroy", json_pack("[s]", ref), NULL);
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

/* --- Block devices --- */

static json_t *vbd_connect(ApiCall *call, GError **error)
{
    return act(call, "VBD.plug", error);
}

static json_t *vbd_disconnect(ApiCall *call, GError **error)
{
    return act(call, "VBD.unplug", error);
}

static json_t *vbd_delete(ApiCall *call, GError **error)
{
    return act(call, "VBD.destroy", error);
}

static json_t *vbd_set_bootable(ApiCall *call, GError **error)
{
    const ApiObject *vbd = call_object(call, "vbd");
    if (api_object_do(vbd, "VBD.set_bootable", json_pack("[b]", call_bool(call, "bootable")),
                      error))
        api_object_barrier(vbd);
    return NULL;
}

static json_t *attach_disk(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm"), *vdi = call_object(call, "vdi");
    NewVbd vbd = { .vm = vm->ref,
                   .vdi = vdi->ref,
                   .position = call_string(call, "position"),
                   .mode = call_string(call, "mode"),
                   .bootable = call_bool(call, "bootable"),
                   .plug = g_str_equal(api_object_text(vm, "power_state"), "Running") };
    if (vbd_create(api_object_xapi(vm), &vbd, error))
        api_object_barrier(vm);
    return NULL;
}

/* --- The drive --- */

static json_t *insert_cd(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id"), *image = call_object(call, "cd_id");
    if (vm_insert_cd(api_object_xapi(vm), vm->ref, image->ref, false, error))
        api_object_barrier(vm);
    return NULL;
}

static json_t *eject_cd(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (vm_eject_cd(api_object_xapi(vm), vm->ref, error))
        api_object_barrier(vm);
    return NULL;
}

static json_t *set_boot_order(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm");
    json_t *record = api_object_record(vm);
    bool hvm =
        g_strcmp0(json_string_value(json_object_get(vm->view, "virtualizationMode")), "pv") != 0;
    json_t *params = json_copy(json_object_get(record, "HVM_boot_params"));
    json_decref(record);
    if (!hvm || !params) {
        json_decref(params);
        api_error_invalid(error, "You can only set the boot order on a HVM guest");
        return NULL;
    }
    json_object_set(params, "order", call_get(call, "order"));
    if (api_object_do(vm, "VM.set_HVM_boot_params", json_pack("[o]", params), error))
        api_object_barrier(vm);
    return NULL;
}

#define ONE(type, may) PARAMS(REQ(ID("id", type, may)))

const Method methods_device[] = {
    { "vm.createInterface", create_interface,
      PARAMS(REQ(ID("vm", "VM", "administrate")), REQ(ID("network", "network", "view")),
             OPT(TYPED("position", P_INTEGER | P_STRING)), OPT(STR("mac")),
             OPT(ARR("allowedIpv4Addresses", P_STRING)),
             OPT(ARR("allowedIpv6Addresses", P_STRING))),
      .access = ACCESS_USER, .summary = "Give a virtual machine a network interface." },
    { "vif.connect", vif_connect, ONE("VIF", "operate"), .access = ACCESS_USER,
      .summary = "Plug a network interface into its running machine." },
    { "vif.disconnect", vif_disconnect, ONE("VIF", "operate"), .access = ACCESS_USER,
      .summary = "Unplug a network interface." },
    { "vif.delete", vif_delete, ONE("VIF", "administrate"), .access = ACCESS_USER,
      .summary = "Delete a network interface." },
    { "vbd.connect", vbd_connect, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .summary = "Plug a block device into its running machine." },
    { "vbd.disconnect", vbd_disconnect, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .summary = "Unplug a block device." },
    { "vbd.delete", vbd_delete, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .summary = "Delete a block device; its disk stays." },
    { "vbd.setBootable", vbd_set_bootable,
      PARAMS(REQ(ID("vbd", "VBD", "administrate")), REQ(BOOL("bootable"))), .access = ACCESS_USER,
      .summary = "Let a machine boot from a block device, or not." },
    { "vm.attachDisk", attach_disk,
      PARAMS(OPT(BOOL("bootable")), OPT(STR("mode"), .choices = "RW|RO"), OPT(STR("position")),
             REQ(ID("vdi", "VDI", "administrate")), REQ(ID("vm", "VM", "administrate"))),
      .access = ACCESS_USER, .summary = "Attach a disk to a virtual machine." },
    { "vm.insertCd", insert_cd,
      PARAMS(REQ(ID("id", "VM", "operate")), REQ(ID("cd_id", "VDI", "view")),
             DEF("true", BOOL("force"))),
      .access = ACCESS_USER, .summary = "Put an image into the drive of a virtual machine." },
    { "vm.ejectCd", eject_cd, ONE("VM", "operate"), .access = ACCESS_USER,
      .summary = "Take the image out of the drive of a virtual machine." },
    { "vm.setBootOrder", set_boot_order,
      PARAMS(REQ(ID("vm", "VM,VM-template", "operate")), REQ(STR("order"))), .access = ACCESS_USER,
      .summary = "Choose what a virtual machine boots from: c disk, d drive, n network." },
    { NULL },
};
