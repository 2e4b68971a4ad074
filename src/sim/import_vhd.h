/* Reads a VHD that arrives as a stream, as a pool's importer does: headers, BAT, then the blocks in
 * the order of their place in the file, whatever their number. Strict where the simulator's clients
 * could be wrong: checksums, overlapping or misplaced blocks, a missing footer. Only sectors that a
 * block's bitmap marks are passed on. Pure; memory is the BAT and one block. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct ImportVhd ImportVhd;

typedef struct {
    /* Once, after the headers: the virtual size. */
    bool (*size)(guint64 size_bytes, void *user, GError **error);
    /* Bytes of the disk, whole sectors, within the virtual size, at most one block at a time. */
    bool (*data)(guint64 offset, const void *data, gsize n, void *user, GError **error);
} ImportVhdOps;

ImportVhd *import_vhd_new(const ImportVhdOps *ops, void *user);
/* CORRUPT, UNSUPPORTED, or what the callbacks say; then the object can only be freed. */
bool import_vhd_feed(ImportVhd *vhd, const void *data, gsize n, GError **error);
/* Whether everything up to the footer has come; what follows it is ignored. */
bool import_vhd_is_complete(const ImportVhd *vhd);
/* At the end of the stream: TRUNCATED when it is not complete. */
bool import_vhd_finish(ImportVhd *vhd, GError **error);
void import_vhd_free(ImportVhd *vhd);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImportVhd, import_vhd_free)
