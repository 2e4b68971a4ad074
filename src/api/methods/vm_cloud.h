/* The drive that cloud-init reads at a VM's first boot. */
#pragma once

#include "api/duties.h"
#include "api/methods/vm_settings.h"

typedef struct {
    const char *vm, *sr;        /* references */
    const char *uuid;           /* of the VM */
    const char *user, *network; /* the latter may be NULL */
    const char *birth_id;       /* of a VM that is being made (vm_birth.h); NULL: it is there */
    bool plug;                  /* the VM runs */
} CloudDrive;
/* Makes the drive on that storage and attaches it; nothing is left of one that failed. *vdi, its
 * reference, may be NULL. */
bool cloud_drive_add(Xapi *xapi, const CloudDrive *drive, char **vdi, GError **error);

/* Makes it of the call's cloudConfig and networkConfig, on the storage of the VM's first disk, and
 * attaches it; nothing without a cloudConfig, when *vdi stays NULL. INVALID_PARAMETERS for a VM
 * without disks. */
bool vm_cloud_drive_make(VmChange *vm, const char *birth_id, char **vdi, GError **error);

enum {
    VM_CLOUD_TOOLS_MS = 600 * 1000, /* as long as a guest has to start and to report */
    VM_CLOUD_DELAY_MS = 300 * 1000, /* from then on, unless the server is told otherwise */
};
/* Once the VM has run for a while the drive goes: promised, and kept after a restart too. */
bool vm_cloud_drive_lose(VmChange *vm, const char *vdi, GError **error);
extern const DutyKind vm_cloud_drive_duty;
