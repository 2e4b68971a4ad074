/* Writes a flat VHD. Blocks are appended as they come; the footer copy and the header come last,
 * after everything else is durable, so that a file cut short by a crash is not a VHD at all. */
#include "disk/vhd_table.h"

#include "base/error.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    DiskWriter base;
    Bytes *bytes;
    VhdFooter footer;
    VhdHeader header;
    VhdTable table;
    guint64 end_bytes;    /* where the next block goes */
    pthread_mutex_t lock; /* of the table, the end and the file */
} FlatWriter;

static bool append(FlatWriter *writer, guint32 block, const void *data, GError **error)
{
    static const guint8 bitmap[VHD_BITMAP_BYTES] = { [0 ... VHD_BITMAP_BYTES - 1] = 0xff };
    guint64 sector = writer->end_bytes / VHD_SECTOR_BYTES;
    if (writer->table.sectors[block] != VHD_UNUSED) {
        err_set(error, ERR_INTERNAL, "block %u is written twice", block);
        return false;
    }
    if (sector + VHD_BLOCK_SECTORS >= VHD_UNUSED) {
        err_set(error, ERR_LIMIT, "a flat VHD holds at most 2 TiB: use block directories");
        return false;
    }
    if (!bytes_write(writer->bytes, writer->end_bytes, bitmap, sizeof bitmap, error) ||
        !bytes_write(writer->bytes, writer->end_bytes + sizeof bitmap, data, DISK_BLOCK_BYTES,
                     error))
        return false;
    writer->table.sectors[block] = (guint32) sector;
    writer->end_bytes += VHD_STORED_BYTES;
    return true;
}

static bool flat_put_block(DiskWriter *base, guint32 block, const void *data, GError **error)
{
    FlatWriter *writer = (FlatWriter *) base;
    pthread_mutex_lock(&writer->lock);
    bool ok = append(writer, block, data, error);
    pthread_mutex_unlock(&writer->lock);
    return ok;
}

static bool flat_finish(DiskWriter *base, guint64 *stored_bytes, GError **error)
{
    FlatWriter *writer = (FlatWriter *) base;
    guint8 head[VHD_TABLE_OFFSET];
    vhd_footer_format(&writer->footer, head);
    if (!vhd_header_format(&writer->header, head + VHD_FOOTER_BYTES, error))
        return false;
    g_autofree guint8 *raw = vhd_table_format(&writer->table);
    if (!bytes_write(writer->bytes, VHD_TABLE_OFFSET, raw, vhd_table_bytes(writer->table.n),
                     error) ||
        !bytes_write(writer->bytes, writer->end_bytes, head, VHD_FOOTER_BYTES, error) ||
        !bytes_sync(writer->bytes, error) ||
        !bytes_write(writer->bytes, 0, head, sizeof head, error) ||
        !bytes_sync(writer->bytes, error))
        return false;
    *stored_bytes = writer->end_bytes + VHD_FOOTER_BYTES;
    return true;
}

static bool flat_sync(DiskWriter *base, GError **error)
{
    FlatWriter *writer = (FlatWriter *) base;
    pthread_mutex_lock(&writer->lock);
    bool ok = bytes_sync(writer->bytes, error);
    pthread_mutex_unlock(&writer->lock);
    return ok;
}

static bool flat_get_block(DiskWriter *base, guint32 block, void *buffer, GError **error)
{
    FlatWriter *writer = (FlatWriter *) base;
    pthread_mutex_lock(&writer->lock);
    guint64 at = writer->table.sectors[block] * (guint64) VHD_SECTOR_BYTES;
    bool ok = bytes_read(writer->bytes, at + VHD_BITMAP_BYTES, buffer, DISK_BLOCK_BYTES, error);
    pthread_mutex_unlock(&writer->lock);
    return ok;
}

static void flat_close(DiskWriter *base)
{
    FlatWriter *writer = (FlatWriter *) base;
    bytes_close(writer->bytes);
    vhd_table_clear(&writer->table);
    pthread_mutex_destroy(&writer->lock);
    g_free(writer);
}

static const struct disk_writer_ops flat_ops = { flat_put_block, flat_finish, flat_close, flat_sync,
                                                 flat_get_block };

DiskWriter *vhd_create(Bytes *bytes, const DiskInfo *info, GError **error)
{
    FlatWriter *writer = g_new0(FlatWriter, 1);
    writer->base.ops = &flat_ops;
    writer->base.info = *info;
    writer->base.info.n_blocks = vhd_n_blocks(info->size_bytes);
    writer->bytes = bytes;
    pthread_mutex_init(&writer->lock, NULL);
    guint8 raw[VHD_HEADER_BYTES];
    if (!vhd_from_info(info, &writer->footer, &writer->header, error) ||
        !vhd_header_format(&writer->header, raw, error)) {
        flat_close(&writer->base);
        return NULL;
    }
    vhd_table_init(&writer->table, writer->header.n_entries);
    writer->end_bytes = VHD_TABLE_OFFSET + vhd_table_bytes(writer->header.n_entries);
    return &writer->base;
}

/* Where the blocks lie follows from their order. */
static bool take_up(FlatWriter *writer, const guint32 *blocks, guint32 n, GError **error)
{
    for (guint32 i = 0; i < n; i++) {
        if (blocks[i] >= writer->base.info.n_blocks ||
            writer->table.sectors[blocks[i]] != VHD_UNUSED) {
            err_set(error, ERR_CORRUPT, "block %u cannot be in this disk, or not twice", blocks[i]);
            return false;
        }
        writer->table.sectors[blocks[i]] = (guint32) (writer->end_bytes / VHD_SECTOR_BYTES);
        writer->end_bytes += VHD_STORED_BYTES;
    }
    gint64 size_bytes = bytes_size(writer->bytes, error);
    if (size_bytes >= 0 && (n == 0 || (guint64) size_bytes >= writer->end_bytes))
        return bytes_resize(writer->bytes, writer->end_bytes, error);
    if (size_bytes >= 0)
        err_set(error, ERR_TRUNCATED,
                "the file has %" G_GINT64_FORMAT " bytes, not %" G_GUINT64_FORMAT, size_bytes,
                writer->end_bytes);
    return false;
}

DiskWriter *vhd_continue(Bytes *bytes, const DiskInfo *info, const guint32 *blocks, guint32 n,
                         GError **error)
{
    DiskWriter *base = vhd_create(bytes, info, error);
    if (base && !take_up((FlatWriter *) base, blocks, n, error))
        g_clear_pointer(&base, disk_writer_close);
    return base;
}
