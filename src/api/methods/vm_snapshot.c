/* Snapshots of machines: taken, with memory or without, gone back to, and their chains merged. */
#include "api/method.h"
#include "api/methods/vm_parts.h"
#include "api/methods/vm_power.h"
#include "base/date.h"
#include "base/log.h"

#include <string.h>

/* Disks whose name says so are left out, as XO does. */
#define NO_SNAPSHOT "[NOSNAP]"

/* --- Taking --- */

static char *snapshot_name(const ApiObject *vm, const char *given)
{
    g_autofree char *now = date_format_iso(g_get_real_time() / 1000);
    return given ? g_strdup(given)
                 : g_strdup_printf("%s_%s", api_object_text(vm, "name_label"), now);
}

/* References of the disks to leave out. */
static json_t *left_out(const ApiObject *vm)
{
    json_t *refs = json_array(), *id;
    size_t i;
    json_array_foreach (json_object_get(vm->view, "$VBDs"), i, id) {
        const char *vbd_id = json_string_value(id);
        json_t *vbd = vbd_id ? inventory_object(vm->inventory, vbd_id) : NULL;
        const char *vdi_id = json_string_value(json_object_get(vbd, "VDI"));
        json_t *vdi = vdi_id ? inventory_object(vm->inventory, vdi_id) : NULL;
        const char *name = json_string_value(json_object_get(vdi, "name_label"));
        if (name && strstr(name, NO_SNAPSHOT))
            json_array_append(refs, json_object_get(vdi, "_xapiRef"));
        json_decref(vdi);
        json_decref(vbd);
    }
    return refs;
}

static char *without_memory(const ApiObject *vm, const char *name, GError **error)
{
    json_t *ignored = left_out(vm);
    json_t *params = json_array_size(ignored) ? json_pack("[s, s, O]", vm->ref, name, ignored)
                                              : json_pack("[s, s]", vm->ref, name);
    json_decref(ignored);
    return api_object_task(vm, "VM.snapshot", params, error);
}

/* A machine that is off has no memory: a plain snapshot says as much. */
static char *with_memory(const ApiObject *vm, const char *name, GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *ref = api_object_task(vm, "VM.checkpoint", json_pack("[s, s]", vm->ref, name), &failure);
    if (!ref && g_str_equal(err_xapi_code(failure), "VM_BAD_POWER_STATE"))
        return without_memory(vm, name, error);
    if (!ref)
        g_propagate_error(error, g_steal_pointer(&failure));
    return ref;
}

/* A snapshot is no template for XO's clients. */
static bool complete(const ApiObject *vm, const char *ref, const char *description, GError **error)
{
    Xapi *xapi = api_object_xapi(vm);
    return xapi_do(xapi, "VM.set_is_a_template", json_pack("[s, b]", ref, 0), error) &&
           (!description ||
            xapi_do(xapi, "VM.set_name_description", json_pack("[s, s]", ref, description), error));
}

json_t *vm_snapshot_take(const ApiObject *vm, const NewSnapshot *wanted, GError **error)
{
    g_autofree char *name = snapshot_name(vm, wanted->name);
    g_autofree char *ref = wanted->memory ? with_memory(vm, name, error)
                                          : without_memory(vm, name, error);
    if (!ref)
        return NULL;
    if (complete(vm, ref, wanted->description, error))
        return api_object_made(vm, "VM", ref, error);
    vm_unmake(api_object_xapi(vm), ref);
    return NULL;
}

static json_t *snapshot(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    NewSnapshot wanted = { .name = call_string(call, "name"),
                           .description = call_string(call, "description"),
                           .memory = call_bool(call, "saveMemory") };
    return vm_may_use_storage(call, vm, error) ? vm_snapshot_take(vm, &wanted, error) : NULL;
}

/* --- Going back --- */

static bool was_running(const ApiObject *snapshot)
{
    json_t *record = api_object_record(snapshot);
    const char *state = json_string_value(
        json_object_get(json_object_get(record, "snapshot_info"), "power-state-at-snapshot"));
    bool running = g_strcmp0(state, "Running") == 0;
    json_decref(record);
    return running;
}

/* The machine of a snapshot. */
static const ApiObject *origin(ApiCall *call, const ApiObject *snapshot, GError **error)
{
    const char *vm_id = api_object_text(snapshot, "$snapshot_of");
    if (*vm_id)
        return call_find(call, vm_id, "VM", "operate", error);
    api_error_invalid(error, "the VM of snapshot %s is gone", snapshot->id);
    return NULL;
}

static json_t *revert(ApiCall *call, GError **error)
{
    const ApiObject *snapshot = call_object(call, "snapshot");
    const ApiObject *vm = origin(call, snapshot, error);
    if (!vm)
        return NULL;
    json_t *before = NULL;
    if (call_bool(call, "snapshotBefore") &&
        !(before = vm_snapshot_take(vm, &(NewSnapshot){ .memory = false }, error)))
        return NULL;
    json_decref(before);
    if (api_object_do(snapshot, "VM.revert", NULL, error) && was_running(snapshot))
        vm_power_on(vm, NULL, false, error);
    api_object_barrier(vm);
    return NULL;
}

/* --- Merging --- */

/* The plug-in of hosts that merges the last link of a chain, too: it may stop the machine for a
 * moment. */
static json_t *coalesce_leaf(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    const char *where = api_object_text(vm, "$container");
    const ApiObject *host = call_find(call, where, "host", NULL, NULL);
    const ApiObject *pool =
        host ? NULL : call_find(call, api_object_text(vm, "$pool"), "pool", NULL, error);
    if (pool)
        host = call_find(call, api_object_text(pool, "master"), "host", NULL, error);
    if (!host)
        return NULL;
    g_autofree char *answer =
        api_object_task(vm, "host.call_plugin",
                        json_pack("[s, s, s, {s:s}]", host->ref, "coalesce-leaf", "leaf-coalesce",
                                  "vm_uuid", api_object_text(vm, "uuid")),
                        error);
    if (answer && !g_str_equal(answer, "Success"))
        err_set(error, ERR_UNSUPPORTED, "the disks of VM %s (%s) were not merged: the host says %s",
                api_object_text(vm, "name_label"), vm->id, answer);
    api_object_barrier(vm);
    return NULL;
}

const Method methods_vm_snapshot[] = {
    { "vm.snapshot", snapshot,
      PARAMS(REQ(ID("id", "VM", "operate")), OPT(STR("name")), OPT(STR0("description")),
             OPT(BOOL("saveMemory"), .words = "also the memory of a running machine")),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/snapshot",
      .example = "id=$VM name='before the upgrade'",
      .summary = "Take a snapshot of a virtual machine." },
    { "vm.revert", revert,
      PARAMS(REQ(ID("snapshot", "VM-snapshot", "view")),
             OPT(BOOL("snapshotBefore"), .words = "take one of the present state first")),
      .access = ACCESS_USER, .long_running = true, .example = "snapshot=$SNAPSHOT",
      .summary = "Bring a virtual machine back to a snapshot; it runs again if it ran then." },
    { "vm.coalesceLeaf", coalesce_leaf, PARAMS(REQ(ID("id", "VM", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$VM",
      .summary = "Merge the chains of a virtual machine's disks, whatever it costs." },
    { NULL },
};
