/* Which operation a VM admits now, in XAPI's order of checks; and the mark of a running one. */
#pragma once

#include "sim/call.h"

/* The first reason against, as XAPI's error; true when there is none. */
bool vm_may(Obj *vm, const char *op, GError **error);
/* For what only a halted VM can be given; VM_BAD_POWER_STATE for others. */
bool vm_is_halted(const Obj *vm, GError **error);
/* Recomputes allowed_operations of the VM. */
void vm_refresh(Obj *vm);

/* The VM of parameter 0, checked for `op` and marked with it in current_operations; the lock may be
 * dropped for a while first. NULL with an error. */
Obj *vm_op_begin(Call *call, const char *op, GError **error);
/* Takes the mark away, recomputes; the VM may have gone. */
void vm_op_end(Call *call, const char *vm);
