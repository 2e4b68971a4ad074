/* The description of a VM in its archive, ova.xml: the records of the VM and of all that hangs on
 * it, every reference rewritten to "Ref:<n>". */
#pragma once

#include "sim/model.h"

typedef struct {
    char *id;  /* "Ref:3": its folder in the archive */
    char *vdi; /* ref */
    gint64 size_bytes;
} OvaDisk;

typedef struct {
    char *xml;
    GArray *disks; /* OvaDisk, to be streamed, sorted by id as text */
} Ova;

/* With the lock. `metadata`: records as they are, with the VM's snapshots when `snapshots`; else a
 * VM that is halted and no snapshot. */
Ova *ova_new(Obj *vm, bool metadata, bool snapshots);
void ova_free(Ova *ova);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ova, ova_free)
