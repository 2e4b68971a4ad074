/* Whole machines out of a pool, as archives: XVA, which the pool makes, or OVA for other products.
 */
#pragma once

#include "xapi/xapi.h"

typedef struct {
    Xapi *xapi;
    const char *vm;          /* reference; halted, or a snapshot: machine_readable */
    const char *compression; /* of an XVA: "false", "true", "zstd" */
    void (*length)(gint64 n_bytes, void *user); /* as in DiskOut */
    HttpSink sink;
    void *user;
} MachineOut;

bool machine_give_xva(const MachineOut *out, GError **error);
/* An OVF, then each disk as a stream-optimized VMDK, in a tar. */
bool machine_give_ova(const MachineOut *out, GError **error);

/* What can be read of a machine: itself when nobody writes its disks, else a snapshot, which is
 * made and which machine_release takes away again. The reference, to be freed; NULL with an error.
 */
char *machine_readable(Xapi *xapi, const char *vm, const char *snapshot_name, GError **error);
/* Frees it, too. */
void machine_release(Xapi *xapi, const char *vm, char *readable);
