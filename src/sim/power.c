/* Power operations of VMs: each checks, acts, leaves a message. */
#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"

#include <string.h>

/* The end of an operation: the mark taken away, and a message when it went well. */
static json_t *op_end(Call *call, bool ok, const char *message, const char *verb)
{
    vm_op_end(call, call_str(call, 0));
    Obj *vm = obj_find(call_sim(call), "VM", call_str(call, 0));
    if (!ok)
        return NULL;
    if (vm != NULL && message != NULL) {
        Obj *host = obj_follow(vm, "resident_on");
        g_autofree char *body = g_strdup_printf(
            "VM '%s' %s%s%s", obj_str(vm, "name_label"), verb,
            host == NULL ? "" : " on host: ", host == NULL ? "" : obj_str(host, "name_label"));
        message_about(vm, message, 5, body);
    }
    return call_void();
}

static json_t *start_at(Call *call, const char *op, Obj *host, bool paused, GError **error)
{
    Obj *vm = vm_op_begin(call, op, error);
    if (vm == NULL)
        return NULL;
    Obj *place = guest_place(vm, host, error);
    if (place != NULL)
        guest_boot(vm, place, paused);
    return op_end(call, place != NULL, "VM_STARTED", "started");
}

static json_t *vm_start(Call *call, GError **error)
{
    return start_at(call, "start", NULL, call_bool(call, 1), error);
}

static json_t *vm_start_on(Call *call, GError **error)
{
    Obj *host = call_obj(call, 1, "host", error);
    return host == NULL ? NULL : start_at(call, "start_on", host, call_bool(call, 2), error);
}

static json_t *vm_pause(Call *call, GError **error)
{
    Obj *vm = vm_op_begin(call, "pause", error);
    if (vm == NULL)
        return NULL;
    obj_put_str(vm, "power_state", "Paused");
    return op_end(call, true, "VM_PAUSED", "paused");
}

static json_t *vm_unpause(Call *call, GError **error)
{
    Obj *vm = vm_op_begin(call, "unpause", error);
    if (vm == NULL)
        return NULL;
    obj_put_str(vm, "power_state", "Running");
    return op_end(call, true, "VM_UNPAUSED", "unpaused");
}

static bool suspend_image_drop(Call *call, Obj *vm, GError **error)
{
    g_autofree char *image = g_strdup(obj_str(vm, "suspend_VDI"));
    if (obj_find(call_sim(call), "VDI", image) == NULL)
        return true;
    obj_put_ref(vm, "suspend_VDI", NULL);
    return storage_vdi_destroy(call, image, error);
}

static json_t *stop(Call *call, const char *op, GError **error)
{
    Obj *vm = vm_op_begin(call, op, error);
    if (vm == NULL)
        return NULL;
    bool ok = true;
    if (strcmp(obj_str(vm, "power_state"), "Suspended") == 0) {
        obj_put_str(vm, "power_state", "Halted");
        ok = suspend_image_drop(call, vm, error);
    } else {
        guest_stop(vm, "Halted");
    }
    return op_end(call, ok, "VM_SHUTDOWN", "shutdown");
}

static json_t *vm_clean_shutdown(Call *call, GError **error)
{
    return stop(call, "clean_shutdown", error);
}

static json_t *vm_hard_shutdown(Call *call, GError **error)
{
    return stop(call, "hard_shutdown", error);
}

static json_t *vm_shutdown(Call *call, GError **error)
{
    return stop(call, "shutdown", error);
}

static json_t *reboot(Call *call, const char *op, GError **error)
{
    Obj *vm = vm_op_begin(call, op, error);
    if (vm == NULL)
        return NULL;
    guest_reboot(vm);
    return op_end(call, true, "VM_REBOOTED", "rebooted");
}

static json_t *vm_clean_reboot(Call *call, GError **error)
{
    return reboot(call, "clean_reboot", error);
}

static json_t *vm_hard_reboot(Call *call, GError **error)
{
    return reboot(call, "hard_reboot", error);
}

/* Where the memory goes: the VM's choice, the pool's, the host's. */
static Obj *suspend_sr(Obj *vm)
{
    Obj *sr = obj_follow(vm, "suspend_SR"), *host = obj_follow(vm, "resident_on");
    if (sr == NULL)
        sr = obj_follow(sim_pool(obj_sim(vm)), "suspend_image_SR");
    if (sr == NULL && host != NULL)
        sr = obj_follow(host, "suspend_image_sr");
    return sr;
}

static json_t *vm_suspend(Call *call, GError **error)
{
    Obj *vm = vm_op_begin(call, "suspend", error);
    Obj *sr = vm == NULL ? NULL : suspend_sr(vm);
    if (vm == NULL)
        return NULL;
    g_autofree char *image = NULL;
    if (sr == NULL)
        sim_error(error, "VM_NO_SUSPEND_SR", obj_ref(vm), NULL);
    else
        image = storage_vdi_create(call, obj_ref(sr), "Suspend image", "suspend",
                                   obj_int(vm, "memory_dynamic_max") + (16 << 20), error);
    vm = image == NULL ? NULL : call_obj(call, 0, "VM", error);
    if (vm != NULL) {
        obj_put_str(vm, "suspend_VDI", image);
        obj_put_str(vm, "last_booted_record", "()");
        guest_stop(vm, "Suspended");
    }
    return op_end(call, vm != NULL, "VM_SUSPENDED", "suspended");
}

static json_t *resume_at(Call *call, const char *op, Obj *host, bool paused, GError **error)
{
    Obj *vm = vm_op_begin(call, op, error);
    if (vm == NULL)
        return NULL;
    Obj *place = NULL;
    if (obj_follow(vm, "suspend_VDI") == NULL)
        sim_error(error, "VM_HAS_NO_SUSPEND_VDI", obj_ref(vm), NULL);
    else
        place = guest_place(vm, host, error);
    if (place != NULL)
        guest_boot(vm, place, paused);
    bool ok = place != NULL && suspend_image_drop(call, vm, error);
    return op_end(call, ok, "VM_RESUMED", "resumed");
}

static json_t *vm_resume(Call *call, GError **error)
{
    return resume_at(call, "resume", NULL, call_bool(call, 1), error);
}

static json_t *vm_resume_on(Call *call, GError **error)
{
    Obj *host = call_obj(call, 1, "host", error);
    return host == NULL ? NULL : resume_at(call, "resume_on", host, call_bool(call, 2), error);
}

static json_t *vm_power_state_reset(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    if (obj_bool(vm, "is_control_domain")) {
        sim_error(error, "CANNOT_RESET_CONTROL_DOMAIN", obj_ref(vm), NULL);
        return NULL;
    }
    guest_stop(vm, "Halted");
    return call_void();
}

/* Live migration inside the pool: the VM runs throughout, only its place changes. */
static json_t *vm_pool_migrate(Call *call, GError **error)
{
    Obj *host = call_obj(call, 1, "host", error);
    Obj *vm = host == NULL ? NULL : vm_op_begin(call, "pool_migrate", error);
    if (vm == NULL)
        return NULL;
    host = call_obj(call, 1, "host", error);
    bool ok = host != NULL &&
              (obj_follow(vm, "resident_on") == host || guest_place(vm, host, error) != NULL);
    if (ok)
        guest_move(vm, host);
    return op_end(call, ok, "VM_MIGRATED", "migrated");
}

static json_t *vm_assert_can_boot_here(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    Obj *host = vm == NULL ? NULL : call_obj(call, 1, "host", error);
    return host != NULL && guest_place(vm, host, error) != NULL ? call_void() : NULL;
}

static json_t *vm_get_possible_hosts(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    json_t *list = json_array();
    for (Obj *host = obj_first(call_sim(call), "host"); host != NULL; host = obj_next(host))
        if (guest_place(vm, host, NULL) != NULL)
            json_array_append_new(list, json_string(obj_ref(host)));
    return list;
}

static json_t *vm_assert_operation_valid(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    const char *op = call_str(call, 1);
    if (vm == NULL)
        return NULL;
    return strcmp(op, "update_allowed_operations") == 0 || vm_may(vm, op, error) ? call_void()
                                                                                 : NULL;
}

static json_t *vm_update_allowed_operations(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    vm_refresh(vm);
    return call_void();
}

const Method power_methods[] = {
    { "VM.start", vm_start },
    { "VM.start_on", vm_start_on },
    { "VM.pause", vm_pause },
    { "VM.unpause", vm_unpause },
    { "VM.clean_shutdown", vm_clean_shutdown },
    { "VM.hard_shutdown", vm_hard_shutdown },
    { "VM.shutdown", vm_shutdown },
    { "VM.clean_reboot", vm_clean_reboot },
    { "VM.hard_reboot", vm_hard_reboot },
    { "VM.suspend", vm_suspend },
    { "VM.resume", vm_resume },
    { "VM.resume_on", vm_resume_on },
    { "VM.power_state_reset", vm_power_state_reset },
    { "VM.pool_migrate", vm_pool_migrate },
    { "VM.assert_can_boot_here", vm_assert_can_boot_here },
    { "VM.get_possible_hosts", vm_get_possible_hosts },
    { "VM.assert_operation_valid", vm_assert_operation_valid },
    { "VM.update_allowed_operations", vm_update_allowed_operations },
    { NULL, NULL },
};
