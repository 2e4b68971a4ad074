/* The gate in front of every disk and every writer of disks: ranges are checked here, once. */
#include "disk/disk.h"

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

bool disk_read(Disk *disk, guint64 offset, void *buffer, gsize n, GError **error)
{
    if (offset > disk->info.size_bytes || n > disk->info.size_bytes - offset) {
        err_set(error, ERR_INVALID, "range %" G_GUINT64_FORMAT "+%zu lies past the end of the disk",
                offset, n);
        return false;
    }
    g_autofree guint8 *whole = NULL;
    for (gsize done = 0; done < n;) {
        guint32 block = (guint32) ((offset + done) / DISK_BLOCK_BYTES);
        gsize start = (offset + done) % DISK_BLOCK_BYTES;
        gsize part = MIN(DISK_BLOCK_BYTES - start, n - done);
        guint8 *to = (guint8 *) buffer + done;
        if (!disk_has(disk, block)) {
            memset(to, 0, part);
        } else if (part == DISK_BLOCK_BYTES) {
            if (!disk_read_block(disk, block, to, error))
                return false;
        } else {
            whole = whole ? whole : g_malloc(DISK_BLOCK_BYTES);
            if (!disk_read_block(disk, block, whole, error))
                return false;
            memcpy(to, whole + start, part);
        }
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
    if (disk)
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
