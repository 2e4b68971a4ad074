/* Virtual TPMs: one for a VM, given and taken while it is halted. */
#include "sim/inner.h"
#include "sim/model.h"

#include <string.h>

static bool is_halted(const Obj *vm, GError **error)
{
    const char *state = obj_str(vm, "power_state");
    if (strcmp(state, "Halted") == 0)
        return true;
    g_autofree char *actual = g_ascii_strdown(state, -1);
    sim_error(error, "VM_BAD_POWER_STATE", obj_ref(vm), "halted", actual, NULL);
    return false;
}

static json_t *vtpm_create(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL || !is_halted(vm, error))
        return NULL;
    if (obj_set_size(vm, "VTPMs") > 0) {
        sim_error(error, "VTPM_MAX_AMOUNT_REACHED", "1", NULL);
        return NULL;
    }
    Obj *vtpm = obj_new(call_sim(call), "VTPM");
    obj_put_ref(vtpm, "VM", vm);
    obj_put_bool(vtpm, "is_unique", call_bool(call, 1));
    return json_string(obj_ref(vtpm));
}

static json_t *vtpm_destroy(Call *call, GError **error)
{
    Obj *vtpm = call_obj(call, 0, "VTPM", error);
    Obj *vm = vtpm == NULL ? NULL : obj_follow(vtpm, "VM");
    if (vtpm == NULL || (vm != NULL && !is_halted(vm, error)))
        return NULL;
    obj_drop(vtpm);
    return call_void();
}

const Method vtpm_methods[] = {
    { "VTPM.create", vtpm_create },
    { "VTPM.destroy", vtpm_destroy },
    { NULL, NULL },
};
