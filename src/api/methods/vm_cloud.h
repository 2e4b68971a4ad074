/* The drive that tells a new machine who it is. */
#pragma once

#include "api/methods/vm_settings.h"

/* Makes it of the call's cloudConfig and networkConfig, on the storage of the VM's first disk, and
 * attaches it; nothing without a cloudConfig. INVALID_PARAMETERS for a VM without disks. */
bool vm_cloud_drive_make(VmChange *vm, GError **error);
