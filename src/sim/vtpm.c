/* Virtual TPMs: one for a VM, given and taken while it is halted. */
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/model.h"

#include <string.h>

static json_t *vtpm_create(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL || !vm_is_halted(vm, error))
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
    if (vtpm == NULL || (vm != NULL && !vm_is_halted(vm, error)))
        return NULL;
    obj_drop(vtpm);
    return call_void();
}

const Method vtpm_methods[] = {
    { "VTPM.create", vtpm_create },
    { "VTPM.destroy", vtpm_destroy },
    { NULL, NULL },
};
