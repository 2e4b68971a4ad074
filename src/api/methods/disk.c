/* disk.create: an empty disk, attached to a VM or not. */
#include "api/method.h"
#include "api/methods/vm_devices.h"
#include "api/resource_sets.h"
#include "api/size.h"

/* Storage that the caller may use, or that the VM's resource set lends it: *lease is to end. */
static const ApiObject *storage(ApiCall *call, const ApiObject *vm, gint64 size_bytes,
                                SetLease **lease, GError **error)
{
    const char *set = vm ? api_object_text(vm, "resourceSet") : "";
    const char *sr = call_string(call, "sr");
    if (!*set)
        return call_find(call, sr, "SR", "operate", error);
    SetDemand demand = { .disk_bytes = size_bytes, .n_disks = 1 };
    const char *const objects[] = { sr, NULL };
    *lease = resource_set_take(call, set, vm->id, objects, &demand, error);
    return *lease ? call_find(call, sr, "SR", NULL, error) : NULL;
}

static bool attach(ApiCall *call, const ApiObject *vm, const char *vdi, GError **error)
{
    NewVbd vbd = { .vm = vm->ref,
                   .vdi = vdi,
                   .position = call_string(call, "position"),
                   .mode = call_string(call, "mode"),
                   .bootable = call_bool(call, "bootable"),
                   .plug = g_str_equal(api_object_text(vm, "power_state"), "Running") };
    return vbd_create(api_object_xapi(vm), &vbd, error);
}

static json_t *create(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm");
    gint64 size_bytes;
    if (!size_parse(call_get(call, "size"), "size", &size_bytes, error))
        return NULL;
    g_autoptr(SetLease) lease = NULL;
    const ApiObject *sr = storage(call, vm, size_bytes, &lease, error);
    if (!sr)
        return NULL;
    if (vm && vm->link != sr->link) {
        api_error_invalid(error, "sr: %s is not in the pool of VM %s", sr->id, vm->id);
        return NULL;
    }
    NewDisk disk = { .name_label = call_string(call, "name"),
                     .sr = sr->ref,
                     .size_bytes = size_bytes };
    g_autofree char *vdi = disk_create(api_object_xapi(sr), &disk, error);
    if (!vdi)
        return NULL;
    if (!vm || attach(call, vm, vdi, error))
        return api_object_made(sr, "VDI", vdi, error);
    xapi_do(api_object_xapi(sr), "VDI.destroy", json_pack("[s]", vdi), NULL);
    return NULL;
}

const Method methods_disk[] = {
    { "disk.create", create,
      PARAMS(REQ(STR("name")),
             REQ(TYPED("size", P_INTEGER | P_STRING), .words = "bytes, or text such as \"10 GiB\""),
             REQ(ID("sr", "SR", NULL)),
             OPT(ID("vm", "VM", "administrate"), .words = "to attach it to"), OPT(BOOL("bootable")),
             OPT(STR("mode"), .choices = "RW|RO"), OPT(STR("position"))),
      .access = ACCESS_USER, .long_running = true,
      .example = "name=data size='1 GiB' sr=$SR vm=$VM",
      .summary = "Create an empty disk, and attach it to a virtual machine." },
    { NULL },
};
