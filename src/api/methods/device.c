/* vbd.* and the drive: block devices of machines, one at a time. Interfaces are in vif.c. */
#include "api/method.h"
#include "api/methods/vm_devices.h"
#include "base/json_text.h"

#include <string.h>

/* One call on the device itself, seen by everybody when it is answered. */
static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *device = call_object(call, "id");
    if (api_object_do(device, method, NULL, error))
        api_object_barrier(device);
    return NULL;
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

/* --- Their places --- */

/* One that is attached is unplugged for the move. */
static bool put_at(Xapi *xapi, json_t *vbd, const char *position, GError **error)
{
    json_t *ref = json_object_get(vbd, "ref");
    bool attached = json_is_true(json_object_get(vbd, "currently_attached"));
    if (attached && !xapi_do(xapi, "VBD.unplug", json_pack("[O]", ref), error))
        return false;
    bool ok = xapi_do(xapi, "VBD.set_userdevice", json_pack("[O, s]", ref, position), error);
    return (!attached || xapi_do(xapi, "VBD.plug", json_pack("[O]", ref), ok ? error : NULL)) && ok;
}

/* Whoever holds the place takes the other one. */
static bool swap(Xapi *xapi, json_t *devices, const char *from, const char *to, GError **error)
{
    json_t *moved = vbd_at(devices, from), *other = vbd_at(devices, to);
    if (!moved || moved == other)
        return true;
    if (!other)
        return put_at(xapi, moved, to, error);
    if (json_is_true(json_object_get(other, "currently_attached")) ||
        json_is_true(json_object_get(moved, "currently_attached"))) {
        api_error_invalid(error,
                          "position %s is taken by a device that is in use: stop the VM first", to);
        return false;
    }
    if (!put_at(xapi, other, from, error))
        return false;
    if (put_at(xapi, moved, to, error))
        return true;
    put_at(xapi, other, to, NULL);
    return false;
}

static char *wanted_position(ApiCall *call)
{
    json_t *position = call_get(call, "position");
    return json_is_number(position)
               ? g_strdup_printf("%" G_GINT64_FORMAT, (gint64) json_number_value(position))
               : g_strdup(json_string_value(position));
}

/* As XAPI knows devices: a number. */
static bool check_position(const char *position, GError **error)
{
    enum { MAX_POSITION = 255 };
    guint64 n;
    if (g_ascii_string_to_unsigned(position, 10, 0, MAX_POSITION, &n, NULL))
        return true;
    api_error_invalid(error, "position: %s is none, they go from 0 to %d", position, MAX_POSITION);
    return false;
}

static json_t *vbd_set(ApiCall *call, GError **error)
{
    const ApiObject *vbd = call_object(call, "id");
    Xapi *xapi = api_object_xapi(vbd);
    g_autofree char *position = wanted_position(call);
    if (!position || !check_position(position, error))
        return NULL;
    json_t *record = xapi_call(xapi, "VBD.get_record", json_pack("[s]", vbd->ref), error);
    json_t *devices = record ? vm_block_devices(xapi, json_text(record, "VM"), error) : NULL;
    if (devices && swap(xapi, devices, json_text(record, "userdevice"), position, error))
        api_object_barrier(vbd);
    json_decref(devices);
    json_decref(record);
    return NULL;
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
    const InsertCd how = { .keep = !call_bool(call, "force") };
    if (vm_insert_cd(api_object_xapi(vm), vm->ref, image->ref, &how, error))
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
    { "vbd.connect", vbd_connect, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .example = "id=$UNPLUGGED_VBD", .summary = "Plug a block device into its running machine." },
    { "vbd.disconnect", vbd_disconnect, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .example = "id=$PLUGGED_VBD", .summary = "Unplug a block device." },
    { "vbd.delete", vbd_delete, ONE("VBD", "administrate"), .access = ACCESS_USER,
      .example = "id=$SPARE_VBD", .summary = "Delete a block device; its disk stays." },
    { "vbd.set", vbd_set,
      PARAMS(REQ(ID("id", "VBD", "administrate")),
             OPT(TYPED("position", P_STRING | P_NUMBER), .words = "0 to 255")),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SPARE_VBD position=7",
      .summary = "Give a block device another place; a device that is there takes its own." },
    { "vbd.setBootable", vbd_set_bootable,
      PARAMS(REQ(ID("vbd", "VBD", "administrate")), REQ(BOOL("bootable"))), .access = ACCESS_USER,
      .example = "vbd=$SPARE_VBD bootable=true",
      .summary = "Let a machine boot from a block device, or not." },
    { "vm.attachDisk", attach_disk,
      PARAMS(OPT(BOOL("bootable")), OPT(STR("mode"), .choices = "RW|RO"), OPT(STR("position")),
             REQ(ID("vdi", "VDI", "administrate")), REQ(ID("vm", "VM", "administrate"))),
      .access = ACCESS_USER, .example = "vm=$VM vdi=$SPARE_DISK mode=RO",
      .summary = "Attach a disk to a virtual machine." },
    { "vm.insertCd", insert_cd,
      PARAMS(REQ(ID("id", "VM", "operate")), REQ(ID("cd_id", "VDI", "view")),
             DEF("true", BOOL("force"))),
      .access = ACCESS_USER, .example = "id=$VM cd_id=$ISO",
      .summary = "Put an image into the drive of a virtual machine." },
    { "vm.ejectCd", eject_cd, ONE("VM", "operate"), .access = ACCESS_USER,
      .example = "id=$LOADED_VM",
      .summary = "Take the image out of the drive of a virtual machine." },
    { "vm.setBootOrder", set_boot_order,
      PARAMS(REQ(ID("vm", "VM,VM-template", "operate")), REQ(STR("order"))), .access = ACCESS_USER,
      .example = "vm=$SPARE_VM order=ncd",
      .summary = "Choose what a virtual machine boots from: c disk, d drive, n network." },
    { NULL },
};
