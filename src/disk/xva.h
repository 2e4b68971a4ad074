/* XVA, the archive in which a pool exports a whole VM, taken apart as it arrives.
 *
 * A POSIX tar, alone or inside gzip or zstd: ova.xml (disk/ova.h), then for each disk
 * "<id>/<8 digits>", each with its checksum right after ("<name>.xxhash": XXH64 in upper case, or
 * "<name>.checksum": SHA-1 in lower case), then two sectors of zeros. A chunk is 1 MiB of the disk;
 * chunks of zeros are left out, but never the first and the last. (Source: xapi's export format 2.)
 *
 * The archive is whole when its format says so, and only then: ova.xml first, every disk it
 * attaches there to its last byte, every checksum right, the end marked, nothing behind it. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum {
    XVA_CHUNK_BYTES = 1 << 20,
    XVA_MAX_CHUNK_BYTES = 16 << 20,
    XVA_MAX_OVA_BYTES = 64 << 20,
    XVA_MAX_DISKS = 1024,
};
#define XVA_MAX_DISK_BYTES (G_GUINT64_CONSTANT(1) << 46)

typedef struct {
    char *id;         /* its folder in the archive: "Ref:3" */
    char *uuid;       /* of the VDI that was exported, "" when its record has none */
    char *name;       /* name_label, may be "" */
    char *userdevice; /* where the VM had it: "0"; "" when no VBD has it */
    guint64 size_bytes;
    bool attached;  /* a VBD has it: its data must be there */
    bool read_only; /* by its VBD */
} XvaDisk;

typedef struct {
    json_t *ova;   /* as ova_parse gives */
    char *vm_id;   /* of the VM in it: "Ref:0" */
    json_t *vm;    /* its record, borrowed from ova */
    GArray *disks; /* XvaDisk, in the order of ova.xml; no CDs */
} XvaInfo;

/* What ova.xml says of the disks. CORRUPT, UNSUPPORTED. */
XvaInfo *xva_info_new(json_t *ova, GError **error); /* takes the reference, on failure too */
void xva_info_free(XvaInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XvaInfo, xva_info_free)
const XvaDisk *xva_info_disk(const XvaInfo *info, guint disk);

typedef struct XvaStream XvaStream;
typedef struct {
    /* Once, when ova.xml has been read; may be NULL. */
    bool (*head)(const XvaInfo *info, void *user, GError **error);
    /* Bytes of a disk that agree with their checksum, by ascending offset; what is skipped is
     * zeros. May be NULL. */
    bool (*data)(guint disk, guint64 offset, const void *data, gsize n, void *user, GError **error);
    void *user;
} XvaStreamOps;

XvaStream *xva_stream_new(const XvaStreamOps *ops);
void xva_stream_free(XvaStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(XvaStream, xva_stream_free)
/* Any number of bytes. CORRUPT (detail[0] is "checksum" when a chunk disagrees with its own),
 * UNSUPPORTED, LIMIT, or the caller's own error. */
bool xva_stream_feed(XvaStream *stream, const void *data, gsize n, GError **error);
/* TRUNCATED unless the archive was whole. */
bool xva_stream_finish(XvaStream *stream, GError **error);
/* An archive of metadata alone (ova.xml, no disk) is whole, too. */
void xva_stream_allow_no_disks(XvaStream *stream);
/* NULL before ova.xml has been read. */
const XvaInfo *xva_stream_info(const XvaStream *stream);
