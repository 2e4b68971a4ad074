/* A flat VHD to read: footer copy, header, block table, blocks, footer. */
#include "disk/vhd_flat.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

void vhd_flat_clear(VhdFlat *flat)
{
    vhd_table_clear(&flat->table);
}

guint64 vhd_flat_start(const VhdFlat *flat)
{
    return flat->header.table_offset + vhd_table_bytes(flat->header.n_entries);
}

static bool load_footer(Bytes *bytes, bool merging, VhdFlat *flat, GError **error)
{
    gint64 size = bytes_size(bytes, error);
    if (size < 0)
        return false;
    flat->file_bytes = size;
    if (size < VHD_TABLE_OFFSET + VHD_SECTOR_BYTES) {
        err_set(error, ERR_TRUNCATED, "%" G_GINT64_FORMAT " bytes are too few for a VHD", size);
        return false;
    }
    if (!bytes_read(bytes, 0, flat->raw_footer, VHD_FOOTER_BYTES, error) ||
        !vhd_footer_parse(flat->raw_footer, &flat->footer, error))
        return false;
    guint8 end[VHD_FOOTER_BYTES];
    if (merging)
        return true;
    if (!bytes_read(bytes, size - VHD_FOOTER_BYTES, end, sizeof end, error))
        return false;
    if (memcmp(end, flat->raw_footer, sizeof end) &&
        !MUTANT(vhd_end_footer)) { /* mutant: disk_vhd */
        err_set(error, ERR_TRUNCATED, "the VHD does not end with its footer");
        return false;
    }
    return true;
}

static bool load_table(Bytes *bytes, bool merging, VhdFlat *flat, GError **error)
{
    guint64 end = flat->file_bytes - (merging ? 0 : VHD_FOOTER_BYTES);
    /* A merge by XO names a block before it is written. */
    guint64 end_blocks = merging ? G_MAXUINT64 : end;
    guint64 n_bytes = flat->header.n_entries * 4ull;
    if (flat->header.table_offset > end || n_bytes > end - flat->header.table_offset) {
        err_set(error, ERR_TRUNCATED, "the block table of the VHD lies past the end of the file");
        return false;
    }
    g_autofree guint8 *raw = g_malloc(n_bytes + 1);
    return bytes_read(bytes, flat->header.table_offset, raw, n_bytes, error) &&
           vhd_table_parse(&flat->table, raw, flat->header.n_entries,
                           flat->header.table_offset + n_bytes, end_blocks, error);
}

bool vhd_flat_load(Bytes *bytes, bool merging, VhdFlat *flat, GError **error)
{
    memset(flat, 0, sizeof *flat);
    return load_footer(bytes, merging, flat, error) &&
           bytes_read(bytes, VHD_FOOTER_BYTES, flat->raw_header, VHD_HEADER_BYTES, error) &&
           vhd_header_parse(flat->raw_header, &flat->header, error) &&
           vhd_info(&flat->footer, &flat->header, &flat->info, error) &&
           load_table(bytes, merging, flat, error);
}

typedef struct {
    Disk base;
    Bytes *bytes;
    VhdFlat flat;
    guint8 *full; /* one byte a block: its bitmap is known to be; made when it is needed */
} FlatDisk;

static bool flat_has(Disk *base, guint32 block)
{
    return ((FlatDisk *) base)->flat.table.sectors[block] != VHD_UNUSED;
}

static bool flat_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    FlatDisk *disk = (FlatDisk *) base;
    guint64 at = disk->flat.table.sectors[block] * (guint64) VHD_SECTOR_BYTES;
    _Alignas(VHD_SECTOR_BYTES) guint8 bitmap[VHD_BITMAP_BYTES]; /* disks read into whole sectors */
    if (!bytes_read_split(disk->bytes, at, bitmap, sizeof bitmap, buffer, DISK_BLOCK_BYTES,
                          error) ||
        !vhd_apply_stored_bitmap(bitmap, &base->info, block, buffer, error))
        return false;
    vhd_trim_block(&base->info, block, buffer);
    return true;
}

/* Only a block whose bitmap was seen to be full: others are read as a whole. */
static bool is_full(FlatDisk *disk, guint32 block, GError **error)
{
    static const guint8 full[VHD_BITMAP_BYTES] = { [0 ... VHD_BITMAP_BYTES - 1] = 0xff };
    guint64 at = disk->flat.table.sectors[block] * (guint64) VHD_SECTOR_BYTES;
    guint8 bitmap[VHD_BITMAP_BYTES];
    if (!disk->full)
        disk->full = g_malloc0(disk->flat.table.n);
    if (!disk->full[block] && bytes_read(disk->bytes, at, bitmap, sizeof bitmap, error))
        disk->full[block] = memcmp(bitmap, full, sizeof full) == 0;
    return disk->full[block];
}

static bool flat_read_part(Disk *base, guint32 block, gsize offset, void *buffer, gsize n,
                           GError **error)
{
    FlatDisk *disk = (FlatDisk *) base;
    GError *why = NULL;
    guint64 at = disk->flat.table.sectors[block] * (guint64) VHD_SECTOR_BYTES + VHD_BITMAP_BYTES;
    if (is_full(disk, block, &why))
        return bytes_read(disk->bytes, at + offset, buffer, n, error);
    if (why) {
        g_propagate_error(error, why);
        return false;
    }
    g_autoptr(BlockBuffer) whole = block_buffer_take(DISK_BLOCK_BYTES);
    if (!flat_read_block(base, block, whole, error))
        return false;
    memcpy(buffer, (guint8 *) whole + offset, n);
    return true;
}

static void flat_close(Disk *base)
{
    FlatDisk *disk = (FlatDisk *) base;
    bytes_close(disk->bytes);
    vhd_flat_clear(&disk->flat);
    g_free(disk->full);
    g_free(disk);
}

static const struct disk_ops flat_ops = { flat_has, flat_read_block, flat_close,
                                          .read_part = flat_read_part };

static Disk *open_flat(Bytes *bytes, bool merging, GError **error)
{
    FlatDisk *disk = g_new0(FlatDisk, 1);
    disk->base.ops = &flat_ops;
    disk->bytes = bytes;
    if (!vhd_flat_load(bytes, merging, &disk->flat, error)) {
        flat_close(&disk->base);
        return NULL;
    }
    disk->base.info = disk->flat.info;
    return &disk->base;
}

Disk *vhd_open(Bytes *bytes, GError **error)
{
    return open_flat(bytes, false, error);
}

Disk *vhd_open_merging(Bytes *bytes, GError **error)
{
    return open_flat(bytes, true, error);
}
