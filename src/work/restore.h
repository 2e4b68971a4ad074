/* What the restore of one point shares. For the files of work/ only. */
#pragma once

#include "work/private.h"
#include "work/watch.h"

typedef struct {
    char *key; /* the snapshot VDI's reference in the point */
    json_t *record;
    Disk *disk;
    char *ref; /* of the new VDI */
} RestoreDisk;

typedef struct {
    const WorkContext *context;
    const WorkPool *pool;
    const WorkTarget *source;
    Xapi *xapi;
    Task *transfer;
    json_t *settings;
    json_t *point;
    char *vm_uuid; /* of the VM in the repository */
    char *sr_uuid, *sr_ref;
    char *intent, *mark;
    char *import;     /* the pool's task, until what it made is marked */
    GPtrArray *disks; /* RestoreDisk */
    char *vm_ref;     /* of the new VM */
    guint64 done_bytes, total_bytes, size_bytes;
    bool full; /* from an archive */
    Watch *watch;
    const char *reading; /* the disk's name: what is read when the watch complains */
} Restore;

/* Makes the VM without disks, marked, start blocked. */
bool restore_create_vm(Restore *restore, GError **error);
bool restore_create_vbds(Restore *restore, GError **error);
bool restore_create_vifs(Restore *restore, GError **error);
/* Names, tags, blocked operations; takes the marks away. The uuid of the VM, or NULL. */
char *restore_finish_vm(Restore *restore, GError **error);

/* --- restore_full.c --- */

/* The whole VM from its archive: made, marked, its disks listed without `disk`. */
bool restore_archive(Restore *restore, GError **error);
