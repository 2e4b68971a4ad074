/* Merging into a flat VHD. Data is durable before the table names it, the table before the mark,
 * and all of it before the footers change: first the one at the end, then the one in front, which
 * decides. */
#include "disk/merge.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "disk/vhd_flat.h"

#include <string.h>

enum { MARK_BLOCKS = 64 }; /* 128 MiB between two syncs */

typedef struct {
    Bytes *file;
    Disk *child;
    const MergeOptions *options;
    VhdFlat parent;
    guint64 end_bytes; /* where the next block goes */
    guint8 *buffer;    /* a stored block */
    guint64 moved_bytes;
} FlatMerge;

/* A crash of XO may have left entries that point past the end: they were never read. */
static void drop_torn(FlatMerge *merge)
{
    VhdTable *table = &merge->parent.table;
    for (guint32 block = 0; block < table->n; block++)
        if (table->sectors[block] != VHD_UNUSED &&
            table->sectors[block] * (guint64) VHD_SECTOR_BYTES + VHD_STORED_BYTES >
                merge->parent.file_bytes)
            table->sectors[block] = VHD_UNUSED;
}

static bool check_link(const DiskInfo *parent, const DiskInfo *child, GError **error)
{
    if (!memcmp(&parent->uid, &child->uid, sizeof child->uid))
        return true; /* only the end of an interrupted merge is missing */
    if (child->differencing && !memcmp(&parent->uid, &child->parent_uid, sizeof child->uid))
        return true;
    g_autofree char *have = disk_uid_format(&parent->uid);
    g_autofree char *want = disk_uid_format(&child->parent_uid);
    err_set(error, ERR_CORRUPT, "the disk to merge continues %s, not %s", want, have);
    return false;
}

static bool write_table(FlatMerge *merge, GError **error)
{
    g_autofree guint8 *raw = vhd_table_format(&merge->parent.table);
    return bytes_write(merge->file, merge->parent.header.table_offset, raw,
                       vhd_table_bytes(merge->parent.table.n), error);
}

/* Data first, then the table that names it. */
static bool flush(FlatMerge *merge, GError **error)
{
    if (!MUTANT(merge_table_first) && !bytes_sync(merge->file, error)) /* mutant: disk_merge */
        return false;
    return write_table(merge, error) && bytes_sync(merge->file, error);
}

static bool take_sector(FlatMerge *merge, guint32 *sector, GError **error)
{
    guint64 at = merge->end_bytes / VHD_SECTOR_BYTES;
    if (at + VHD_BLOCK_SECTORS >= VHD_UNUSED) {
        err_set(error, ERR_LIMIT, "a flat VHD holds at most 2 TiB: use block directories");
        return false;
    }
    *sector = (guint32) at;
    merge->end_bytes += VHD_STORED_BYTES;
    return true;
}

/* Copies the blocks that lie where the larger table must be to the end. */
static bool clear_way(FlatMerge *merge, guint64 until_bytes, GError **error)
{
    VhdTable *table = &merge->parent.table;
    for (guint32 block = 0; block < table->n; block++) {
        guint64 at = table->sectors[block] * (guint64) VHD_SECTOR_BYTES;
        guint32 sector;
        if (table->sectors[block] == VHD_UNUSED || at >= until_bytes)
            continue;
        if (!take_sector(merge, &sector, error) ||
            !bytes_read(merge->file, at, merge->buffer, VHD_STORED_BYTES, error) ||
            !bytes_write(merge->file, sector * (guint64) VHD_SECTOR_BYTES, merge->buffer,
                         VHD_STORED_BYTES, error))
            return false;
        table->sectors[block] = sector;
    }
    return flush(merge, error);
}

/* The disk has grown: a larger table, and a header that says so once the table is there. */
static bool grow(FlatMerge *merge, guint32 n_entries, GError **error)
{
    VhdFlat *parent = &merge->parent;
    if (n_entries <= parent->header.n_entries || MUTANT(merge_no_growth)) /* mutant: disk_merge */
        return true;
    guint64 until = parent->header.table_offset + vhd_table_bytes(n_entries);
    merge->end_bytes = MAX(merge->end_bytes, until);
    if (!clear_way(merge, until, error))
        return false;
    VhdTable larger;
    vhd_table_init(&larger, n_entries);
    memcpy(larger.sectors, parent->table.sectors, parent->table.n * sizeof *larger.sectors);
    vhd_table_clear(&parent->table);
    parent->table = larger;
    parent->header.n_entries = n_entries;
    vhd_header_resize(parent->raw_header, n_entries);
    return flush(merge, error) &&
           bytes_write(merge->file, VHD_FOOTER_BYTES, parent->raw_header, VHD_HEADER_BYTES,
                       error) &&
           bytes_sync(merge->file, error);
}

static bool copy_block(FlatMerge *merge, guint32 block, GError **error)
{
    guint32 *sector = &merge->parent.table.sectors[block], at = *sector;
    if (at == VHD_UNUSED && !take_sector(merge, &at, error))
        return false;
    if (!disk_read_stored(merge->child, block, merge->buffer, error))
        return false;
    memset(merge->buffer, 0xff, VHD_BITMAP_BYTES);
    if (!bytes_write(merge->file, at * (guint64) VHD_SECTOR_BYTES, merge->buffer, VHD_STORED_BYTES,
                     error))
        return false;
    *sector = at;
    merge->moved_bytes += DISK_BLOCK_BYTES;
    return true;
}

static bool mark(FlatMerge *merge, guint32 next_block, GError **error)
{
    const MergeOptions *options = merge->options;
    CRASH_POINT(merge_flat_mark);
    return flush(merge, error) &&
           (!options->mark || options->mark(next_block, merge->moved_bytes, options->user, error));
}

static bool copy_blocks(FlatMerge *merge, GError **error)
{
    guint32 n_blocks = merge->child->info.n_blocks, n_since = 0;
    for (guint32 block = 0; block < n_blocks; block++) {
        bool there = merge->parent.table.sectors[block] != VHD_UNUSED;
        if (!disk_has(merge->child, block) || (block < merge->options->from_block && there))
            continue;
        if (cancel_check(merge->options->cancel, "merge", error) ||
            !copy_block(merge, block, error))
            return false;
        if (++n_since % MARK_BLOCKS == 0 && !mark(merge, block + 1, error))
            return false;
    }
    return mark(merge, n_blocks, error);
}

static bool write_end(FlatMerge *merge, GError **error)
{
    return bytes_resize(merge->file, merge->end_bytes + VHD_FOOTER_BYTES, error) &&
           bytes_write(merge->file, merge->end_bytes, merge->parent.raw_footer, VHD_FOOTER_BYTES,
                       error) &&
           bytes_sync(merge->file, error);
}

static bool write_footers(FlatMerge *merge, GError **error)
{
    const DiskInfo *info = &merge->child->info;
    VhdFooter footer = {
        .current_size = info->size_bytes,
        .original_size = info->size_bytes,
        .timestamp = (guint32) info->timestamp_s,
        .uid = info->uid,
    };
    guint8 *raw = merge->parent.raw_footer;
    vhd_footer_adopt(raw, &footer);
    if (!write_end(merge, error))
        return false;
    CRASH_POINT(merge_flat_footer);
    return bytes_write(merge->file, 0, raw, VHD_FOOTER_BYTES, error) &&
           bytes_sync(merge->file, error);
}

static bool run(FlatMerge *merge, GError **error)
{
    if (!vhd_flat_load(merge->file, true, &merge->parent, error) ||
        !check_link(&merge->parent.info, &merge->child->info, error))
        return false;
    drop_torn(merge);
    merge->end_bytes = vhd_table_end(&merge->parent.table, vhd_flat_start(&merge->parent));
    return grow(merge, merge->child->info.n_blocks, error) && copy_blocks(merge, error) &&
           write_footers(merge, error);
}

bool merge_flat(Bytes *parent, Disk *child, const MergeOptions *options, guint64 *stored_bytes,
                GError **error)
{
    g_autoptr(BlockBuffer) buffer = block_buffer_take(VHD_STORED_BYTES);
    FlatMerge merge = { .file = parent, .child = child, .options = options, .buffer = buffer };
    bool ok = run(&merge, error);
    *stored_bytes = merge.end_bytes + VHD_FOOTER_BYTES;
    vhd_flat_clear(&merge.parent);
    return ok;
}

bool merge_flat_seal(Bytes *parent, GError **error)
{
    FlatMerge merge = { .file = parent };
    bool ok = vhd_flat_load(parent, true, &merge.parent, error);
    if (ok) {
        merge.end_bytes = vhd_table_end(&merge.parent.table, vhd_flat_start(&merge.parent));
        ok = merge.end_bytes <= merge.parent.file_bytes;
        if (!ok)
            err_set(error, ERR_TRUNCATED, "the VHD ends before its last block");
        ok = ok && write_end(&merge, error);
    }
    vhd_flat_clear(&merge.parent);
    return ok;
}
