/* Machines switched on and off: the steps of the power methods, for others that need them on their
 * way. No barrier: the callers wait for the inventory. */
#pragma once

#include "api/objects.h"

/* Starts, unpauses or resumes, whatever its state asks for; `host` NULL: where the pool likes.
 * `force` lifts blocks for the moment. FORBIDDEN_OPERATION with the reason of a block. */
bool vm_power_on(const ApiObject *vm, const ApiObject *host, bool force, GError **error);

typedef struct {
    bool hard;
    bool lift_blocks; /* for the moment */
    gint64 delay_ms;  /* a clean one that lasts longer becomes a hard one; 0: never */
} PowerOff;
/* INVALID_PARAMETERS when a clean one needs guest tools that are not there. */
bool vm_power_off(const ApiObject *vm, const PowerOff *how, GError **error);
