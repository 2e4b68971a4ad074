/* The inner side of storage.h: what the files of the storage share. With the lock of model.h held,
 * except where said. */
#pragma once

#include "sim/cbt.h"
#include "sim/storage.h"
#include "sim/vhd_tree.h"

/* What lies behind a VDI record. */
typedef struct {
    char *vdi;            /* ref */
    char *sr;             /* ref */
    VhdNode *node;        /* NULL: its data was destroyed */
    CbtLog *cbt;          /* NULL: not tracked */
    bool hidden;          /* a base copy */
    bool is_file;         /* not a VHD: an ISO, a raw volume */
    gint64 counted_bytes; /* its part of the SR's use */
} StoredDisk;

/* Space of an SR. */
typedef struct {
    gint64 used_bytes;  /* by disks */
    gint64 taken_bytes; /* by a control request */
    gint64 virtual_bytes;
} StoredSr;

VhdTree *storage_tree(Storage *storage);
Overlay *storage_overlay(Storage *storage);
/* What lies behind the record, NULL for none; with HANDLE_INVALID [VDI, ref]. */
StoredDisk *storage_disk(Sim *sim, const char *vdi);
StoredDisk *storage_disk_get(Sim *sim, const char *vdi, GError **error);
StoredSr *storage_sr(Sim *sim, const char *sr);
/* The same, which must have data: VDI_INCOMPATIBLE_TYPE [vdi, type]. */
StoredDisk *storage_disk_with_data(Sim *sim, const char *vdi, GError **error);

/* Binds a new record (SR set) to a node, which may be NULL. */
StoredDisk *storage_add(Sim *sim, Obj *vdi, VhdNode *node);
/* Forgets the disk, its node (which must have no children) and its log; the record stays. */
void storage_remove(Sim *sim, StoredDisk *disk);
void storage_bind(StoredDisk *disk, VhdNode *node);
/* Writes who the node's parent is into the record (vhd-parent). */
void storage_publish_parent(Sim *sim, const StoredDisk *disk);
/* Makes it a base copy: no more part of the SR's virtual allocation. */
void storage_hide(Storage *storage, StoredDisk *disk);
/* The hidden disks, ref → StoredDisk. */
GHashTable *storage_hidden(Storage *storage);

/* What a VHD of so many blocks takes on the SR, now and when it is first made. */
gint64 storage_use_bytes(const Obj *sr, const StoredDisk *disk);
/* Counts the disk anew; publish writes the numbers to the records, too. */
void storage_count(Sim *sim, StoredDisk *disk);
void storage_publish(Sim *sim, StoredDisk *disk);
/* Whether a new leaf of that size fits: SR_BACKEND_FAILURE_44. */
bool storage_check_new(Obj *sr, gint64 virtual_size, GError **error);
/* Whether that many more bytes fit. */
bool storage_check_space(Obj *sr, gint64 more_bytes, GError **error);
bool storage_sr_is_thin(const Obj *sr);
bool storage_sr_is_vhd(const Obj *sr);

/* A VDI parameter of a call as record and disk: managed, on an attached SR, not in use when the
 * operation needs that; NULL with VDI_NOT_MANAGED, SR_HAS_NO_PBDS, SR_NOT_ATTACHED, VDI_IN_USE,
 * SR_OPERATION_NOT_SUPPORTED (not a VHD SR, when `vhd`). */
typedef struct {
    const char *op; /* "resize" */
    bool idle;      /* no VBD attached */
    bool vhd;
} VdiNeeds;
Obj *storage_check(Sim *sim, const char *vdi, const VdiNeeds *needs, GError **error);
bool storage_check_sr(const Obj *sr, GError **error);
/* A new record that copies what snapshots, clones and copies take from `vdi`. */
Obj *storage_record_like(const Obj *vdi, const Obj *sr);

/* An empty disk; its ref, copied. */
char *storage_create(Sim *sim, const char *sr, const char *name_label, const char *type,
                     gint64 virtual_size, GError **error);

/* Destroys a disk that is not in use, with its VBDs. */
bool storage_drop(Sim *sim, const char *vdi, GError **error);

/* Whether any of its VBDs is attached, read-write when `rw`. */
bool storage_is_attached(const Obj *vdi, bool rw);
/* Failures of the SM layer: number and text. */
void storage_backend_error(GError **error, guint number, const char *text);

/* Wakes the garbage collector. */
void storage_gc_kick(Storage *storage);

typedef struct StorageGc StorageGc;
StorageGc *storage_gc_new(Sim *sim);
/* Without the lock: waits for a running step. */
void storage_gc_free(StorageGc *gc);
void storage_gc_wake(StorageGc *gc);
