/* What can be set of a VM: one table for vm.set and vm.create. */
#pragma once

#include "api/method.h"
#include "api/objects.h"

/* A VM that is being changed. */
typedef struct {
    ApiCall *call;
    const ApiObject *base; /* any object of its pool: the VM itself, or its template */
    Xapi *xapi;
    const char *ref;
    json_t *record; /* as it was before */
} VmChange;

/* Reads the record; false with an error. Clear afterwards. */
bool vm_change_begin(VmChange *change, ApiCall *call, const ApiObject *base, const char *ref,
                     GError **error);
void vm_change_clear(VmChange *change);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VmChange, vm_change_clear)

/* Applies every setting that is among `params` under a name XO knows (camelCase, or snake_case);
 * values that are as they should be are skipped, other parameters ignored. At the first failure it
 * stops: what was set stays. */
bool vm_settings_apply(VmChange *change, json_t *params, GError **error);

/* CPUs, cpusMax, memory, memoryMin, memoryMax, memoryStaticMax. */
bool vm_resources_apply(VmChange *change, json_t *params, GError **error);

/* --- The record --- */

const char *vm_change_text(const VmChange *change, const char *field);
/* Integers come as numbers or as text. */
gint64 vm_change_int(const VmChange *change, const char *field);
/* Calls VM.<verb>(ref, …); the array of further parameters is taken. */
bool vm_change_do(const VmChange *change, const char *verb, json_t *more, GError **error);
/* Gives a map field's key a value, or takes it away with NULL; nothing when it is so already. */
bool vm_change_map(const VmChange *change, const char *field, const char *key, const char *value,
                   GError **error);
/* A parameter by its camelCase name or, where it has one, its snake_case name. */
json_t *vm_param(json_t *params, const char *name);
