/* The drive that tells a new machine who it is. */
#pragma once

#include "api/methods/vm_settings.h"

typedef struct {
    const char *vm, *sr;        /* references */
    const char *uuid;           /* of the VM */
    const char *user, *network; /* the latter may be NULL */
    bool plug;                  /* the VM runs */
} CloudDrive;
/* Makes the drive on that storage and attaches it; nothing is left of one that failed. */
bool cloud_drive_add(Xapi *xapi, const CloudDrive *drive, GError **error);

/* Makes it of the call's cloudConfig and networkConfig, on the storage of the VM's first disk, and
 * attaches it; nothing without a cloudConfig. INVALID_PARAMETERS for a VM without disks. */
bool vm_cloud_drive_make(VmChange *vm, GError **error);
