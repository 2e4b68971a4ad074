/* vm.delete: a VM, its snapshots, and the disks that belong to them alone. */
#include "api/method.h"
#include "api/methods/vm_parts.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

/* Whether every VBD of a VDI belongs to the VM `ref`. */
static bool is_its_own(Xapi *xapi, json_t *vdi, const char *ref)
{
    size_t i;
    json_t *vbd;
    json_array_foreach (json_object_get(vdi, "VBDs"), i, vbd) {
        g_autofree char *owner = xapi_call_string(xapi, "VBD.get_VM", json_pack("[O]", vbd), NULL);
        if (g_strcmp0(owner, ref) != 0 &&
            !MUTANT(vm_delete_shared_disk)) /* mutant: system:test_api.Power.test_delete */
            return false;
    }
    return true;
}

static void add_disk(Xapi *xapi, json_t *vbd_ref, const char *vm_ref, GPtrArray *disks)
{
    json_t *vbd = xapi_call(xapi, "VBD.get_record", json_pack("[O]", vbd_ref), NULL);
    const char *vdi_ref = json_text(vbd, "VDI");
    if (g_str_equal(json_text(vbd, "type"), "Disk") && g_str_has_prefix(vdi_ref, "OpaqueRef:") &&
        !g_str_equal(vdi_ref, "OpaqueRef:NULL")) {
        json_t *vdi = xapi_call(xapi, "VDI.get_record", json_pack("[s]", vdi_ref), NULL);
        if (vdi && is_its_own(xapi, vdi, vm_ref))
            g_ptr_array_add(disks, g_strdup(vdi_ref));
        json_decref(vdi);
    }
    json_decref(vbd);
}

/* References of the disks that nothing but the VM uses. */
static GPtrArray *own_disks(Xapi *xapi, json_t *record, const char *ref)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(g_free);
    size_t i;
    json_t *vbd;
    json_array_foreach (json_object_get(record, "VBDs"), i, vbd)
        add_disk(xapi, vbd, ref, disks);
    return disks;
}

static bool stop_it(Xapi *xapi, json_t *record, const char *ref, GError **error)
{
    return g_str_equal(json_text(record, "power_state"), "Halted") ||
           json_is_true(json_object_get(record, "is_a_snapshot")) ||
           xapi_do(xapi, "VM.hard_shutdown", json_pack("[s]", ref), error);
}

bool vm_erase(Xapi *xapi, const char *ref, bool with_disks, GError **error)
{
    json_t *record = xapi_call(xapi, "VM.get_record", json_pack("[s]", ref), error);
    if (!record)
        return false;
    g_autoptr(GPtrArray) disks = with_disks ? own_disks(xapi, record, ref)
                                            : g_ptr_array_new_with_free_func(g_free);
    const char *suspended = json_text(record, "suspend_VDI");
    if (g_str_has_prefix(suspended, "OpaqueRef:") && !g_str_equal(suspended, "OpaqueRef:NULL"))
        g_ptr_array_add(disks, g_strdup(suspended));
    bool ok = stop_it(xapi, record, ref, error) &&
              xapi_do(xapi, "VM.destroy", json_pack("[s]", ref), error);
    json_decref(record);
    for (unsigned i = 0; ok && i < disks->len; i++) {
        g_autoptr(GError) failure = NULL;
        if (!xapi_do(xapi, "VDI.destroy", json_pack("[s]", disks->pdata[i]), &failure))
            log_warning("api", "vm.delete: disk %s stays: %s", (char *) disks->pdata[i],
                        failure->message);
    }
    return ok;
}

static bool may_be_deleted(ApiCall *call, const ApiObject *vm, GError **error)
{
    const char *reason = json_string_value(
        json_object_get(json_object_get(vm->view, "blockedOperations"), "destroy"));
    if (reason && !call_bool(call, "forceBlockedOperation")) {
        g_autofree char *operation = g_strdup_printf("destroy is blocked: %s", reason);
        api_error_set(error, API_FORBIDDEN_OPERATION, json_pack("{s:s}", "operation", operation),
                      "forbidden operation: %s", operation);
        return false;
    }
    if (!json_is_true(json_object_get(vm->view, "isDefaultTemplate")) ||
        call_bool(call, "forceDeleteDefaultTemplate"))
        return true;
    api_error_plain(error, API_INCORRECT_STATE,
                    json_pack("{s:b, s:b, s:s, s:s}", "actual", 1, "expected", 0, "object",
                              json_text(vm->view, "uuid"), "property", "isDefaultTemplate"));
    return false;
}

/* Snapshots first, so that what remains after a failure is still a whole VM. */
static bool delete_all(ApiCall *call, const ApiObject *vm, GError **error)
{
    Xapi *xapi = api_object_xapi(vm);
    json_t *delete_disks = call_get(call, "deleteDisks");
    json_t *old_name = call_get(call, "delete_disks");
    bool with_disks = !json_is_false(delete_disks ? delete_disks : old_name);
    json_t *snapshots = xapi_call(xapi, "VM.get_snapshots", json_pack("[s]", vm->ref), error);
    bool ok = snapshots != NULL;
    size_t i;
    json_t *snapshot;
    json_array_foreach (snapshots, i, snapshot)
        ok = ok && vm_erase(xapi, json_string_value(snapshot), true, error);
    json_decref(snapshots);
    if (ok && json_object_get(json_object_get(vm->view, "blockedOperations"), "destroy"))
        xapi_do(xapi, "VM.remove_from_blocked_operations", json_pack("[s, s]", vm->ref, "destroy"),
                NULL);
    return ok && vm_erase(xapi, vm->ref, with_disks, error);
}

static json_t *delete_vm(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (!may_be_deleted(call, vm, error) || !delete_all(call, vm, error))
        return NULL;
    api_object_barrier(vm);
    account_forget_object(call_parts(call)->accounts, vm->id, NULL);
    return NULL;
}

const Method methods_vm_delete[] = {
    { "vm.delete", delete_vm,
      PARAMS(REQ(ID("id", "VM,VM-snapshot,VM-template", "administrate")), OPT(BOOL("deleteDisks")),
             OPT(BOOL("delete_disks")), OPT(BOOL("force")), OPT(BOOL("forceDeleteDefaultTemplate")),
             OPT(BOOL("forceBlockedOperation"))),
      .access = ACCESS_USER, .long_running = true, .rest = "DELETE /vms/{id}",
      .example = "id=$SPARE_VM",
      .summary = "Delete a virtual machine, its snapshots and its disks." },
    { NULL },
};
