/* What a repository holds, in XO's layout (xo-vm-backups/…), which lives here and only here.
 *
 * Our own files go under .cadenza/ of the remote: manifests, index, merge journals; never into a
 * VM's folder, where XO deletes what it does not know. */
#pragma once

#include "base/cancel.h"
#include "disk/disk.h"
#include "remote/remote.h"

typedef struct Catalog Catalog;

/* The remote is not taken over and must outlive it. */
Catalog *catalog_open(Remote *remote, GError **error);
void catalog_close(Catalog *catalog);
/* Once set, this flag ends catalog_clean at the next block or disk with CANCELLED; what it had
 * begun is resumed by the next one. NULL: none. Counted; set it before threads use the catalog. */
void catalog_set_cancel(Catalog *catalog, Cancel *cancel);
/* Once set, disks that are freed half-written stay where they are, for catalog_disk_continue. */
void catalog_set_suspend(Catalog *catalog, Cancel *suspend);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Catalog, catalog_close)

/* VM uuids that have a folder. */
GPtrArray *catalog_vms(Catalog *catalog, GError **error);

/* Restore points of a VM, oldest first: an array of metadata objects as stored in <date>.json plus
 * "_filename" ("/xo-vm-backups/<vm>/<date>.json"). Unreadable ones are named in *problems (array of
 * strings, may be NULL), never hidden and never deleted. Uses cache.json.gz only when it agrees
 * with the folder. */
json_t *catalog_points(Catalog *catalog, const char *vm, json_t **problems, GError **error);
/* The same, from the files alone: a cache may hide what has become of them. */
json_t *catalog_points_afresh(Catalog *catalog, const char *vm, json_t **problems, GError **error);
/* One point by its "/xo-vm-backups/…json" path. */
json_t *catalog_point(Catalog *catalog, const char *path, GError **error);
/* A point as backupNg.listVmBackups shows it. */
json_t *catalog_view(json_t *point, const char *remote_id);
/* The views of all points of a VM, oldest first. By our own index no metadata is read while none of
 * its files changes; the index is written when it is missing. *problems: as of catalog_points. */
json_t *catalog_views(Catalog *catalog, const char *vm, const char *remote_id, json_t **problems,
                      GError **error);

/* Opens a disk of a point with its whole chain. `path` relative to the VM folder, as in "vhds". */
Disk *catalog_disk_open(Catalog *catalog, const char *vm, const char *path, GError **error);
/* The same, and every block that is read is compared with the manifests: CORRUPT names the block
 * and the file that holds it. The tables of block directories must agree with the files there.
 * Blocks that no manifest names (what XO wrote) are only read. A damaged manifest is CORRUPT. */
Disk *catalog_disk_open_checked(Catalog *catalog, const char *vm, const char *path, GError **error);
/* What disks a point has: an array of {"path" (as in "vhds"), "vdi" (uuid of the VM's disk),
 * "snapshot" (uuid of the VDI that was read), "name"}. Of a full backup the start of its archive is
 * read; a path is that of the archive with a folder in it. */
json_t *catalog_point_disks(Catalog *catalog, json_t *point, GError **error);
/* Whether a point is what its name says: of that VM and date. CORRUPT. */
bool catalog_point_check(json_t *point, GError **error);
/* As catalog_disk_open_checked, for who must not be given wrong bytes: the point, too, must be what
 * its name says, and the disk what the point describes; all of an archive is
 * checked first. `path` as of catalog_point_disks, or as stored in "vhds". CORRUPT. */
Disk *catalog_point_disk_open(Catalog *catalog, json_t *point, const char *path, GError **error);

/* Reads a disk of a point to its end and compares every block with the manifests: CORRUPT names the
 * first that differs. Blocks that no manifest names (what XO wrote) are only read. */
typedef struct {
    guint32 n_blocks, n_verified;
} CatalogVerified;
/* Of what was read so far of a disk that was opened checked. */
CatalogVerified catalog_disk_verified(Disk *disk);
bool catalog_verify(Catalog *catalog, const char *vm, const char *path, CatalogVerified *verified,
                    GError **error);

/* --- Writing a point; the caller holds the VM's lock --- */

RemoteLock *catalog_lock(Catalog *catalog, const char *vm, unsigned wait_ms, GError **error);

/* Removes the lock that a dead process left (remote_unlock_dead). */
bool catalog_unlock_dead(Catalog *catalog, const char *vm, const RemoteLockId *id, GError **error);

/* Deletes what a dead process was writing of a VM into those of our folders that all VMs share. Not
 * part of catalog_clean: they are too long to be listed for each VM. */
bool catalog_sweep(Catalog *catalog, const char *vm, GError **error);

/* Deletes what dead processes were writing there of any VM: our hidden files that are older than
 * anybody takes to write them. */
bool catalog_sweep_stale(Catalog *catalog, GError **error);

/* The tip of a readable chain in vdis/<job>/<vdi>/ whose footer id is `base`: its file name
 * ("20260117T020000Z.vhd" or ".alias.vhd"), or NULL with NO_BASE saying why not. */
char *catalog_base(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                   const DiskUid *base, GError **error);

/* One disk of the point to be. info->parent_name is set from `parent` (a name from catalog_base, or
 * NULL for a full). The codec follows the chain, else the remote. */
typedef enum { CATALOG_READ_SAMPLE, CATALOG_READ_ALL, CATALOG_READ_NONE } CatalogReadBack;
typedef struct {
    DiskWriter *writer;        /* owned by this */
    char *path;                /* relative to the VM folder: goes into "vhds" */
    CatalogReadBack read_back; /* of the blocks, for finish: the first, the last and some random
                                  ones unless set; the metadata always */
    CatalogVerified verified;  /* by finish: n_blocks written, n_verified of them read back */
    bool keep;                 /* half-written, it stays when it is freed */
    bool done; /* of a continued one: it has its name, there is nothing to write; writer is NULL */
} CatalogDisk;
CatalogDisk *catalog_disk_begin(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                                gint64 time_ms, const DiskInfo *info, const char *parent,
                                GError **error);
/* --- Going on with a half-written disk --- */

/* How far it is: called by the thread that writes, after these rows (the blocks since the last
 * call) and all before them are durable; opaque, to be kept in this order. At most so many blocks
 * lie between two calls, and a few more when several threads write. */
enum { CATALOG_MARK_BLOCKS = 28 };
typedef void (*CatalogMark)(const void *rows, gsize n_bytes, void *user);
/* Before the first block; release(user) when it is called no more. */
void catalog_disk_mark(CatalogDisk *disk, CatalogMark mark, void *user, GDestroyNotify release);
/* Where it is until it has its name. */
const char *catalog_disk_place(CatalogDisk *disk);
/* The disk that another process began with the same arguments at this place, with all rows that it
 * told. Blocks that it holds need not be put again; when they are, they are compared, not written.
 * NOT_FOUND: it is gone; CORRUPT, TRUNCATED: it is not as it was told. */
CatalogDisk *catalog_disk_continue(Catalog *catalog, const char *vm, const char *job,
                                   const char *vdi, gint64 time_ms, const DiskInfo *info,
                                   const char *parent, const char *place, GBytes *rows,
                                   GError **error);

/* Called by the writer for every block, and to ask: the XXH3-128 (canonical, 16 bytes) of a block
 * put so far; false when it was not put. */
bool catalog_disk_hash(CatalogDisk *disk, guint32 block, guint8 hash[16]);
/* Finishes the writer, fsyncs, reads back from the storage itself, and gives it its name; not yet a
 * point. CORRUPT names disk, block and offset; then the caller frees it, which deletes it. */
bool catalog_disk_finish(CatalogDisk *disk, guint64 *size_bytes, GError **error);
/* Frees; unfinished data is deleted. */
void catalog_disk_free(CatalogDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CatalogDisk, catalog_disk_free)

/* Writes <date>.json: the point exists from here on. Updates the cache. Returns its path. */
char *catalog_commit(Catalog *catalog, const char *vm, gint64 time_ms, json_t *metadata,
                     GError **error);

/* Deletes points (their "_filename"), newest first; journaled, so that catalog_clean ends what a
 * crash interrupts. Refuses when the VM's folder cannot be listed, and (STATE) when no newer point
 * is verified or it would delete the last readable one, unless `all` is set: a person said so. */
bool catalog_delete(Catalog *catalog, const char *vm, const char *const *paths, bool all,
                    GError **error);

typedef struct {
    bool merged;        /* a merge was needed */
    guint64 size_bytes; /* of the merged results */
    unsigned n_merges, n_dropped;
    json_t *warnings; /* array of {message, data}; owned by the caller */
} CatalogCleaned;
/* Merges and deletes what no point uses, crash-safe; resumes interrupted merges (ours and XO's).
 * Never deletes on a listing or read error. Holds no lock itself: the caller does. */
bool catalog_clean(Catalog *catalog, const char *vm, bool merge, bool remove,
                   CatalogCleaned *cleaned, GError **error);

/* What count-based retention drops: the "_filename" of the points of this schedule but the newest
 * `keep`, newest first, NULL-terminated, as catalog_delete takes it. `points` as from
 * catalog_points. */
char **catalog_retention(json_t *points, const char *schedule, unsigned keep);

/* XO's "YYYYMMDDTHHmmssZ". */
char *catalog_date(gint64 time_ms);
