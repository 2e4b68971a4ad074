/* An archive is a stream, maybe a packed one, and a disk in it is wanted block by block: it is read
 * twice, first to know that it is whole and which blocks there are, then along with the reader. */
#include "catalog/archive_disk.h"

#include "base/error.h"
#include "catalog/archive.h"
#include "catalog/layout.h"
#include "catalog/metadata.h"

#include <string.h>

enum { STEP_BYTES = 4096 }; /* what is packed may grow a thousandfold: little goes in at once */

/* A little more of it; *ended at its end, when it was found whole. */
static bool step(CatalogArchiveReader *reader, bool *ended, GError **error)
{
    guint8 buffer[STEP_BYTES];
    gssize n = catalog_archive_read(reader, buffer, sizeof buffer, error);
    *ended = n == 0;
    return n >= 0;
}

/* --- names --- */

static json_t *rows_of(json_t *point, const XvaInfo *info)
{
    g_autofree char *name = metadata_path(json_object_get(point, "xva"));
    json_t *rows = json_array();
    for (guint i = 0; i < info->disks->len; i++) {
        const XvaDisk *disk = xva_info_disk(info, i);
        if (disk->attached)
            json_array_append_new(
                rows, json_pack("{s:o,s:s,s:s,s:s}", "path", json_sprintf("%s/%s", name, disk->id),
                                "vdi", disk->uuid, "snapshot", disk->uuid, "name", disk->name));
    }
    return rows;
}

/* Up to the description of the disks; NULL when there is none. */
static CatalogArchiveReader *read_head(Catalog *catalog, json_t *point, GError **error)
{
    static const XvaStreamOps nothing;
    g_autoptr(CatalogArchiveReader) reader = catalog_archive_open(catalog, point, &nothing, error);
    bool ended = false;
    while (reader && !catalog_archive_info(reader))
        if (!step(reader, &ended, error) || ended)
            return NULL;
    return g_steal_pointer(&reader);
}

json_t *archive_disks(Catalog *catalog, json_t *point, GError **error)
{
    g_autoptr(CatalogArchiveReader) reader = read_head(catalog, point, error);
    return reader ? rows_of(point, catalog_archive_info(reader)) : NULL;
}

/* --- a disk --- */

typedef struct {
    Disk base;
    Catalog *catalog;
    json_t *point;
    guint index;                  /* of the disk in it */
    guint8 *present;              /* a byte for each block */
    CatalogArchiveReader *reader; /* along with who reads; NULL: not begun */
    GQueue chunks;                /* Chunk, that came and are not behind the reader */
    guint64 reached;              /* everything below has come, or is zeros */
    bool ended;
    CatalogVerified verified;
} ArchiveDisk;

typedef struct {
    guint64 offset;
    GBytes *bytes;
} Chunk;

static void chunk_free(gpointer data)
{
    g_bytes_unref(((Chunk *) data)->bytes);
    g_free(data);
}

static bool note_data(guint index, guint64 offset, const void *data, gsize n, void *user,
                      GError **error)
{
    ArchiveDisk *disk = user;
    guint64 end =
        MIN((offset + n + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES, disk->base.info.n_blocks);
    for (guint64 block = offset / DISK_BLOCK_BYTES; index == disk->index && block < end; block++)
        disk->present[block] = 1;
    return true;
}

static bool take_data(guint index, guint64 offset, const void *data, gsize n, void *user,
                      GError **error)
{
    ArchiveDisk *disk = user;
    if (index != disk->index)
        return true;
    Chunk *chunk = g_new0(Chunk, 1);
    *chunk = (Chunk){ offset, g_bytes_new(data, n) };
    g_queue_push_tail(&disk->chunks, chunk);
    disk->reached = offset + n;
    return true;
}

static bool archive_has(Disk *base, guint32 block)
{
    return ((ArchiveDisk *) base)->present[block];
}

static void copy_chunks(ArchiveDisk *disk, guint64 start, guint8 *out)
{
    for (GList *at = disk->chunks.head; at; at = at->next) {
        const Chunk *chunk = at->data;
        gsize n;
        const guint8 *data = g_bytes_get_data(chunk->bytes, &n);
        guint64 from = MAX(start, chunk->offset),
                end = MIN(start + DISK_BLOCK_BYTES, chunk->offset + n);
        if (from < end)
            memcpy(out + (from - start), data + (from - chunk->offset), end - from);
    }
}

/* Chunks that end below are of no more use. */
static void drop_chunks(ArchiveDisk *disk, guint64 below)
{
    Chunk *chunk;
    while ((chunk = g_queue_peek_head(&disk->chunks)) &&
           chunk->offset + g_bytes_get_size(chunk->bytes) <= below)
        chunk_free(g_queue_pop_head(&disk->chunks));
}

static bool is_behind(const ArchiveDisk *disk, guint64 start)
{
    const Chunk *first = disk->chunks.head ? disk->chunks.head->data : NULL;
    return first ? start < first->offset &&
                       start / DISK_BLOCK_BYTES < first->offset / DISK_BLOCK_BYTES
                 : start < disk->reached;
}

static bool rewind_to_start(ArchiveDisk *disk, GError **error)
{
    XvaStreamOps ops = { .data = take_data, .user = disk };
    drop_chunks(disk, G_MAXUINT64);
    disk->reached = 0;
    disk->ended = false;
    catalog_archive_close(disk->reader);
    disk->reader = catalog_archive_open(disk->catalog, disk->point, &ops, error);
    return disk->reader != NULL;
}

static bool archive_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    ArchiveDisk *disk = (ArchiveDisk *) base;
    guint64 start = block * (guint64) DISK_BLOCK_BYTES;
    if ((!disk->reader || is_behind(disk, start)) && !rewind_to_start(disk, error))
        return false;
    while (!disk->ended && disk->reached < start + DISK_BLOCK_BYTES) {
        drop_chunks(disk, start);
        if (!step(disk->reader, &disk->ended, error)) {
            g_clear_pointer(&disk->reader, catalog_archive_close);
            return false;
        }
    }
    memset(buffer, 0, DISK_BLOCK_BYTES);
    copy_chunks(disk, start, buffer);
    disk->verified.n_blocks++;
    disk->verified.n_verified++;
    return true;
}

static void archive_close(Disk *base)
{
    ArchiveDisk *disk = (ArchiveDisk *) base;
    catalog_archive_close(disk->reader);
    drop_chunks(disk, G_MAXUINT64);
    json_decref(disk->point);
    g_free(disk->present);
    g_free(disk);
}

static const struct disk_ops archive_ops = { archive_has, archive_read_block, archive_close };

bool archive_disk_verified(Disk *disk, CatalogVerified *verified)
{
    if (disk->ops == &archive_ops)
        *verified = ((ArchiveDisk *) disk)->verified;
    return disk->ops == &archive_ops;
}

/* --- the first pass --- */

static bool find_disk(const XvaInfo *info, void *user, GError **error)
{
    ArchiveDisk *disk = user;
    const XvaDisk *found = disk->index < info->disks->len ? xva_info_disk(info, disk->index) : NULL;
    if (!found) {
        err_set(error, ERR_CORRUPT, "its disks have changed");
        return false;
    }
    disk->base.info.size_bytes = found->size_bytes;
    disk->base.info.n_blocks =
        (guint32) ((found->size_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);
    disk_uid_parse(found->uuid, &disk->base.info.uid);
    disk->present = g_malloc0(MAX(disk->base.info.n_blocks, 1));
    return true;
}

static bool read_through(ArchiveDisk *disk, GError **error)
{
    XvaStreamOps ops = { .head = find_disk, .data = note_data, .user = disk };
    g_autoptr(CatalogArchiveReader)
        reader = catalog_archive_open(disk->catalog, disk->point, &ops, error);
    return reader && catalog_archive_read_all(reader, error);
}

static bool index_of(const XvaInfo *info, const char *id, guint *index)
{
    for (*index = 0; *index < info->disks->len; (*index)++)
        if (strcmp(xva_info_disk(info, *index)->id, id) == 0)
            return true;
    return false;
}

/* Which disk of the archive a path means. */
static bool locate(Catalog *catalog, json_t *point, const char *path, guint *index, GError **error)
{
    const char *id = strrchr(path, '/');
    g_autoptr(CatalogArchiveReader) reader = read_head(catalog, point, error);
    if (!reader || (id && index_of(catalog_archive_info(reader), id + 1, index)))
        return reader != NULL;
    err_set(error, ERR_NOT_FOUND, "the archive has no disk %s", path);
    return false;
}

Disk *archive_disk_open(Catalog *catalog, json_t *point, const char *path, GError **error)
{
    guint index = 0;
    if (!locate(catalog, point, path, &index, error))
        return NULL;
    ArchiveDisk *disk = g_new0(ArchiveDisk, 1);
    disk->base.ops = &archive_ops;
    disk->catalog = catalog;
    disk->index = index;
    disk->point = json_incref(point);
    g_queue_init(&disk->chunks);
    if (read_through(disk, error))
        return &disk->base;
    archive_close(&disk->base);
    return NULL;
}
