/* vm.set, vm.setAndRestart and vm.clone: a VM changed, a VM copied. */
#include "api/methods/vm_disks.h"
#include "api/methods/vm_parts.h"
#include "api/methods/vm_power.h"
#include "api/methods/vm_settings.h"

/* --- Its resource set --- */

/* A VM of a set grows within its limits; only administrators move it to another. */
static bool check_set(ApiCall *call, const ApiObject *vm, SetLease **lease, GError **error)
{
    const char *set = api_object_text(vm, "resourceSet");
    const char *const none[] = { NULL };
    if (call_get(call, "resourceSet") && !account_is_admin(call_user(call))) {
        api_error_unauthorized(error, "admin", NULL);
        return false;
    }
    json_t *nothing = json_object();
    SetDemand now = { 0 }, then = { 0 };
    bool ok = true;
    if (*set && vm_resources_demand(vm, nothing, &now, error)) {
        ok = vm_resources_demand(vm, call_params(call), &then, error);
        SetDemand more = { .n_cpus = then.n_cpus - now.n_cpus,
                           .memory_bytes = then.memory_bytes - now.memory_bytes };
        if (ok && (more.n_cpus > 0 || more.memory_bytes > 0))
            ok = (*lease = resource_set_take(call, set, vm->id, none, &more, error)) != NULL;
    }
    json_decref(nothing);
    return ok;
}

static bool enter_set(ApiCall *call, const ApiObject *vm, GError **error)
{
    json_t *set = call_get(call, "resourceSet");
    if (set && !resource_set_move_vm(call, vm, json_string_value(set), error))
        return false;
    return set || !call_bool(call, "share") || resource_set_share_vm(call, vm, error);
}

/* --- vm.set --- */

static json_t *set(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    json_t *params = call_params(call);
    g_autoptr(SetLease) lease = NULL;
    g_auto(VmChange) change = { NULL };
    if (!vm_change_begin(&change, call, vm, vm->ref, error))
        return NULL;
    if (check_set(call, vm, &lease, error) && vm_resources_apply(&change, params, error) &&
        vm_settings_apply(&change, params, error))
        enter_set(call, vm, error);
    api_object_barrier(vm); /* also after a failure: what was done is there to be seen */
    return NULL;
}

/* --- vm.setAndRestart --- */

/* Whatever became of the change, a machine that ran shall run again. */
static json_t *set_and_restart(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    bool force = call_bool(call, "force");
    PowerOff how = { .hard = force, .lift_blocks = force };
    if (!vm_power_off(vm, &how, error))
        return NULL;
    g_autoptr(GError) failure = NULL;
    json_decref(set(call, &failure));
    g_autoptr(GError) not_started = NULL;
    bool runs = vm_power_on(vm, NULL, force, &not_started);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else if (!runs)
        g_propagate_error(error, g_steal_pointer(&not_started));
    api_object_barrier(vm);
    return NULL;
}

/* --- vm.clone --- */

/* The new VM's reference; a fast clone shares blocks, a full copy does not. */
static char *copy(ApiCall *call, const ApiObject *vm, GError **error)
{
    bool full = call_bool(call, "full_copy");
    json_t *params =
        full ? json_pack("[s, s, s]", vm->ref, call_string(call, "name"), "OpaqueRef:NULL")
             : json_pack("[s, s]", vm->ref, call_string(call, "name"));
    return api_object_task(vm, full ? "VM.copy" : "VM.clone", params, error);
}

static json_t *clone_vm(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    g_autoptr(SetLease) lease = NULL;
    bool may = vm_may_use_storage(call, vm, error) &&
               resource_set_take_copy(call, vm, &lease, error);
    g_autofree char *ref = may ? copy(call, vm, error) : NULL;
    Xapi *xapi = api_object_xapi(vm);
    if (!ref)
        return NULL;
    vm_name_lease(lease, xapi, ref);
    g_autoptr(GError) failure = NULL;
    json_t *id = NULL;
    if (xapi_do(xapi, "VM.set_is_a_template", json_pack("[s, b]", ref, 0), &failure))
        id = api_object_made(vm, "VM", ref, &failure);
    if (id && vm_is_given_to_caller(call, json_string_value(id), &failure))
        return id;
    json_decref(id);
    vm_unmake(xapi, ref);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

#define SETTINGS                                                                                   \
    OPT(BOOL("auto_poweron")), OPT(STR("name_label")), OPT(STR0("name_description")),              \
        OPT(TYPED("notes", P_STRING | P_NULL)),                                                    \
        OPT(ANY("high_availability"), .choices = "best-effort|restart|"), OPT(INT("CPUs")),        \
        OPT(TYPED("cpusMax", P_INTEGER | P_STRING)), OPT(TYPED("memory", P_INTEGER | P_STRING)),   \
        OPT(TYPED("memoryMin", P_INTEGER | P_STRING)),                                             \
        OPT(TYPED("memoryMax", P_INTEGER | P_STRING)),                                             \
        OPT(TYPED("memoryStaticMax", P_INTEGER | P_STRING)), OPT(STR("PV_args")),                  \
        OPT(ARR("cpuMask", P_INTEGER)), OPT(TYPED("cpuWeight", P_INTEGER | P_NULL)),               \
        OPT(TYPED("cpuCap", P_INTEGER | P_NULL)), OPT(TYPED("affinityHost", P_STRING | P_NULL)),   \
        OPT(STR("vga")), OPT(NUM("videoram")),                                                     \
        OPT(TYPED("coresPerSocket", P_STRING | P_NUMBER | P_NULL)), OPT(BOOL("hasVendorDevice")),  \
        OPT(BOOL("expNestedHvm")), OPT(BOOL("nestedVirt")),                                        \
        OPT(TYPED("resourceSet", P_STRING | P_NULL)), OPT(BOOL("share")), OPT(INT("startDelay")),  \
        OPT(BOOL("secureBoot")), OPT(TYPED("nicType", P_STRING | P_NULL)),                         \
        OPT(TYPED("hvmBootFirmware", P_STRING | P_NULL)), OPT(STR("virtualizationMode")),          \
        OPT(BOOL("viridian")), OPT(OBJ("blockedOperations")), OPT(OBJ("creation")),                \
        OPT(TYPED("suspendSr", P_STRING | P_NULL)), OPT(ANY("uefiMode"), .choices = "setup|user"), \
        OPT(OBJ("xenStoreData"), .nullable = true), OPT(ARR("tags", P_STRING))

const Method methods_vm_set[] = {
    { "vm.set", set, PARAMS(REQ(ID("id", "VM,VM-snapshot,VM-template", "administrate")), SETTINGS),
      .access = ACCESS_USER, .long_running = true, .rest = "PATCH /vms/{id}",
      .example = "id=$VM name_description='serves the web' CPUs=2",
      .summary = "Change the settings of a virtual machine." },
    { "vm.setAndRestart", set_and_restart,
      PARAMS(REQ(ID("id", "VM", "administrate")), OPT(BOOL("force")), SETTINGS),
      .access = ACCESS_USER, .long_running = true, .example = "id=$RUNNING_VM CPUs=1",
      .summary = "Stop a virtual machine, change its settings, and start it again." },
    { "vm.clone", clone_vm,
      PARAMS(REQ(ID("id", "VM,VM-snapshot,VM-template", "administrate")), REQ(STR("name")),
             REQ(BOOL("full_copy"), .words = "true: its disks share nothing with the original's")),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/clone",
      .example = "id=$VM name='a copy' full_copy=false", .summary = "Copy a virtual machine." },
    { NULL },
};
