/* Contents of disks in the formats of image files, out of a pool and into it, as streams: nothing
 * is held but a block. */
#pragma once

#include "xapi/xapi.h"

/* --- Out --- */

typedef struct {
    Xapi *xapi;
    const char *vdi;    /* reference */
    const char *format; /* "vhd", "raw", "qcow2", "vmdk" */
    guint64 size_bytes; /* of the disk */
    /* How long it will be, before the first byte; -1: unknown. May be NULL. */
    void (*length)(gint64 n_bytes, void *user);
    HttpSink sink;
    void *user;
} DiskOut;
/* UNSUPPORTED for another format. */
bool disk_give(const DiskOut *out, GError **error);

/* --- In --- */

typedef struct {
    const char *format; /* "vhd", "raw", "iso", "qcow2", "vmdk" */
    HttpSource source;
    void *user;
    gint64 n_bytes;     /* of the file, -1: unknown */
    const char *folder; /* where what comes too early may wait; NULL: nowhere (image_in.h) */
} DiskIn;
/* A new disk on the storage: its reference; NULL with an error and nothing left. UNSUPPORTED,
 * CORRUPT, TRUNCATED, or the pool's. */
char *disk_take(Xapi *xapi, const char *sr, const char *name, const char *description,
                const DiskIn *in, GError **error);
/* Into a disk that is there; vhd and raw. */
bool disk_fill(Xapi *xapi, const char *vdi, const DiskIn *in, GError **error);
