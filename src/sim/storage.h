/* Disks of the pool: their records, their tree, their bytes.
 *
 * Records are rows of model.h; bytes come from the seed with sparse overlays under sim_data_dir().
 * All functions are called with the lock held and may drop it while they copy bytes: refs, not Obj
 * pointers, survive a call. Errors are XAPI's (VDI_IN_USE, SR_BACKEND_FAILURE_44 …). */
#pragma once

#include "sim/call.h"

typedef struct Storage Storage;

/* Once, before any object exists. */
Storage *storage_new(Sim *sim);
void storage_free(Storage *storage);
Storage *sim_storage(Sim *sim);

typedef struct {
    const char *name_label, *name_description;
    const char *type; /* NULL: "user" */
    gint64 virtual_size;
    /* Share of the 2 MiB blocks that hold data from the seed, 0 … 1; the rest reads as zeros. */
    double allocated;
    /* Number of the disk: with the pool's seed it gives the content. */
    guint64 number;
} StorageSeed;
/* A disk with content, as if it had been there for years; no checks, no I/O. For populating. */
Obj *storage_seed_vdi(Sim *sim, Obj *sr, const StorageSeed *seed);

/* The steps of VM.snapshot, VM.clone, VM.copy, VM.revert; the record rules of a VDI (other_config
 * copied, snapshot_of …) included. The new disk's ref, copied; NULL with an error. */
char *storage_vdi_snapshot(Call *call, const char *vdi, GError **error);
char *storage_vdi_clone(Call *call, const char *vdi, GError **error);
char *storage_vdi_copy(Call *call, const char *vdi, const char *sr, GError **error);
/* To another SR, under whoever has it, and its snapshots after it; the new ref, copied. */
char *storage_vdi_move(Call *call, const char *vdi, const char *sr, GError **error);
/* An empty disk (suspend images, provisioning). */
char *storage_vdi_create(Call *call, const char *sr, const char *name_label, const char *type,
                         gint64 virtual_size, GError **error);
bool storage_vdi_destroy(Call *call, const char *vdi, GError **error);

/* Recomputes the allowed_operations of a disk, after a VBD of it was plugged or unplugged. */
void storage_vdi_refresh(Obj *vdi);

/* A control request: the running guest writes n_bytes into the disk in whole 64 KiB blocks, at
 * random places drawn from `seed`, or at the given blocks of 2 MiB when n_blocks > 0. */
bool storage_guest_write(Sim *sim, const char *vdi, guint64 n_bytes, const guint32 *blocks,
                         guint n_blocks, guint64 seed, GError **error);
/* SHA-256, lower-case hex, of the whole disk as it reads now. Drops the lock. */
char *storage_vdi_digest(Sim *sim, const char *vdi, GError **error);
/* Makes the disk's change log unusable, as an unclean shutdown does; VDI_NO_CBT_METADATA. */
bool storage_cbt_break(Sim *sim, const char *vdi, GError **error);
/* Takes all but `left_bytes` of the SR away (0: full); -1 gives it back. */
bool storage_sr_fill(Sim *sim, const char *sr, gint64 left_bytes, GError **error);
