/* Our own truth about a point: .cadenza/manifests/<vm>/<date>.json names the content of its disks,
 * block by block. Private to the catalog.
 *
 * {"version":1,"vm":…,"date":…,"disks":{"vdis/…/<date>.vhd":{"uid":…,"sizeBytes":…,"blockBytes":…,"blocks":<base64>}},
 *  "hash":<XXH3-128 of the document without this member, keys sorted, compact>}
 *
 * A row says what the disk holds at that block at that point. It is no promise of completeness: a
 * delta names the blocks that it brought, a merged disk all those of its parts that were known. */
#pragma once

#include "catalog/blockmap.h"
#include "catalog/layout.h"

typedef struct Manifest Manifest;

Manifest *manifest_new(const char *vm, const char *date);
/* NOT_FOUND, CORRUPT (its own hash), TOO_NEW. */
Manifest *manifest_read(Catalog *catalog, const char *vm, const char *date, GError **error);
Manifest *manifest_parse(const char *vm, const char *date, const void *data, gsize n,
                         GError **error);
bool manifest_write(Catalog *catalog, Manifest *manifest, GError **error);
void manifest_free(Manifest *manifest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Manifest, manifest_free)
void manifest_set(Manifest *manifest, const char *path, const DiskInfo *info, BlockMap *map);
/* The map of a disk; NULL without an error when it is not in. */
BlockMap *manifest_get(Manifest *manifest, const char *path, GError **error);
/* Whether a disk that is in has this id; CORRUPT names both when not. True when it is not in. */
bool manifest_is(Manifest *manifest, const char *path, const DiskUid *uid, GError **error);
/* The id of a disk that is in. */
bool manifest_uid(Manifest *manifest, const char *path, DiskUid *uid);
bool manifest_drop(Catalog *catalog, const char *vm, const char *date, GError **error);

/* A disk that was written and has no point yet. */
typedef struct {
    DiskInfo info;
    BlockMap *map;
} FinishedDisk;

FinishedDisk *finished_disk_new(const DiskInfo *info, BlockMap *map); /* copies the map */
void finished_disk_free(gpointer finished);
