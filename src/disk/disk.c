/* The gate in front of every disk and every writer of disks: ranges are checked here, once. */
#include "disk/disk.h"

#include "base/block_buffer.h"
#include "base/error.h"

#include <string.h>

bool disk_uid_parse(const char *uuid, DiskUid *uid)
{
    if (!uuid || !g_uuid_string_is_valid(uuid))
        return false;
    for (unsigned i = 0, at = 0; i < 16; i++, at += 2) {
        if (uuid[at] == '-')
            at++;
        uid->bytes[i] =
            (guint8) (g_ascii_xdigit_value(uuid[at]) << 4 | g_ascii_xdigit_value(uuid[at + 1]));
    }
    return true;
}

char *disk_uid_format(const DiskUid *uid)
{
    GString *text = g_string_sized_new(37);
    for (unsigned i = 0; i < 16; i++)
        g_string_append_printf(text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                               uid->bytes[i]);
    return g_string_free(text, FALSE);
}

bool disk_has(Disk *disk, guint32 block)
{
    return block < disk->info.n_blocks && disk->ops->has(disk, block);
}

bool disk_read_block(Disk *disk, guint32 block, void *buffer, GError **error)
{
    if (disk_has(disk, block))
        return disk->ops->read_block(disk, block, buffer, error);
    err_set(error, ERR_INTERNAL, "block %u is not in the disk", block);
    return false;
}

bool disk_read_stored(Disk *disk, guint32 block, void *stored, GError **error)
{
    if (disk_has(disk, block) && disk->ops->read_stored)
        return disk->ops->read_stored(disk, block, stored, error);
    return disk_read_block(disk, block, (guint8 *) stored + DISK_HEAD_BYTES, error);
}

/* --- Small reads --- */

typedef struct {
    guint8 *data;
    gsize from, to; /* so much of it is known */
    guint32 block;
    guint64 used; /* when; 0: never */
} Cached;

struct DiskCache {
    Cached blocks[DISK_CACHE_BLOCKS];
    guint64 now;
};

static void cache_free(Disk *disk)
{
    for (unsigned i = 0; disk->cache && i < DISK_CACHE_BLOCKS; i++)
        block_buffer_give(disk->cache->blocks[i].data);
    g_clear_pointer(&disk->cache, g_free);
}

/* The block's place, or the one that was not used for the longest time. */
static Cached *cache_find(Disk *disk, guint32 block)
{
    if (!disk->cache)
        disk->cache = g_new0(DiskCache, 1);
    Cached *oldest = &disk->cache->blocks[0];
    for (unsigned i = 0; i < DISK_CACHE_BLOCKS; i++) {
        Cached *cached = &disk->cache->blocks[i];
        if (cached->used && cached->block == block)
            return cached;
        if (cached->used < oldest->used)
            oldest = cached;
    }
    if (!oldest->data)
        oldest->data = block_buffer_take(DISK_BLOCK_BYTES);
    oldest->from = oldest->to = 0;
    oldest->block = block;
    return oldest;
}

/* What is wanted and before it what comes with it; the second time, all of it. */
static bool cache_fill(Disk *disk, Cached *cached, gsize from, gsize to, GError **error)
{
    bool first = cached->to == 0;
    cached->from = cached->to = 0;
    cached->used = 0;
    if (first && disk->ops->read_span &&
        disk->ops->read_span(disk, cached->block, cached->data, &from, to, NULL)) {
        cached->from = from;
        cached->to = to;
        return true;
    }
    if (!disk_read_block(disk, cached->block, cached->data, error))
        return false;
    cached->to = DISK_BLOCK_BYTES;
    return true;
}

static bool cache_read(Disk *disk, guint32 block, gsize start, void *buffer, gsize n,
                       GError **error)
{
    Cached *cached = cache_find(disk, block);
    bool known = start >= cached->from && start + n <= cached->to;
    if (!known && !cache_fill(disk, cached, start, start + n, error))
        return false;
    cached->used = ++disk->cache->now;
    memcpy(buffer, cached->data + start, n);
    return true;
}

static bool read_part(Disk *disk, guint32 block, gsize start, void *buffer, gsize n, GError **error)
{
    if (!disk_has(disk, block)) {
        memset(buffer, 0, n);
        return true;
    }
    if (n == DISK_BLOCK_BYTES)
        return disk_read_block(disk, block, buffer, error);
    if (disk->ops->read_part)
        return disk->ops->read_part(disk, block, start, buffer, n, error);
    return cache_read(disk, block, start, buffer, n, error);
}

bool disk_read(Disk *disk, guint64 offset, void *buffer, gsize n, GError **error)
{
    if (offset > disk->info.size_bytes || n > disk->info.size_bytes - offset) {
        err_set(error, ERR_INVALID, "range %" G_GUINT64_FORMAT "+%zu lies past the end of the disk",
                offset, n);
        return false;
    }
    for (gsize done = 0; done < n;) {
        guint32 block = (guint32) ((offset + done) / DISK_BLOCK_BYTES);
        gsize start = (offset + done) % DISK_BLOCK_BYTES;
        gsize part = MIN(DISK_BLOCK_BYTES - start, n - done);
        if (!read_part(disk, block, start, (guint8 *) buffer + done, part, error))
            return false;
        done += part;
    }
    return true;
}

guint32 disk_n_present(Disk *disk)
{
    guint32 n = 0;
    for (guint32 block = 0; block < disk->info.n_blocks; block++)
        n += disk_has(disk, block);
    return n;
}

void disk_close(Disk *disk)
{
    if (!disk)
        return;
    cache_free(disk);
    disk->ops->close(disk);
}

bool disk_put_block(DiskWriter *writer, guint32 block, const void *data, GError **error)
{
    if (block < writer->info.n_blocks)
        return writer->ops->put_block(writer, block, data, error);
    err_set(error, ERR_INVALID, "block %u lies past the end of a disk of %u blocks", block,
            writer->info.n_blocks);
    return false;
}

bool disk_finish(DiskWriter *writer, guint64 *stored_bytes, GError **error)
{
    return writer->ops->finish(writer, stored_bytes, error);
}

void disk_writer_close(DiskWriter *writer)
{
    if (writer)
        writer->ops->close(writer);
}
