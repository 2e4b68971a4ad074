/* A disk as the bytes of a flat VHD, in order, for a pool to import. The length is known
 * beforehand: the table says which blocks will come. */
#include "disk/vhd_table.h"

#include "base/block_buffer.h"
#include "base/error.h"

#include <string.h>

struct VhdEmit {
    Disk *disk;
    DiskInfo info;
    guint64 position, total_bytes, head_bytes;
    guint8 *head;  /* footer copy, header, table */
    guint8 *block; /* the stored block being sent, or NULL */
    guint32 next;  /* the first block not yet read */
    GError *error; /* found at the start */
};

static bool make_head(VhdEmit *emit, GError **error)
{
    VhdFooter footer;
    VhdHeader header;
    g_auto(VhdTable) table = { 0 };
    if (!vhd_from_info(&emit->info, &footer, &header, error))
        return false;
    vhd_table_init(&table, header.n_entries);
    emit->head_bytes = VHD_TABLE_OFFSET + vhd_table_bytes(header.n_entries);
    guint64 at = emit->head_bytes / VHD_SECTOR_BYTES;
    guint32 n_present = 0;
    for (guint32 block = 0; block < header.n_entries; block++) {
        if (!disk_has(emit->disk, block))
            continue;
        if (at >= VHD_UNUSED - VHD_BLOCK_SECTORS) {
            err_set(error, ERR_LIMIT, "a VHD stream holds at most 2 TiB");
            return false;
        }
        table.sectors[block] = (guint32) at;
        at += VHD_BLOCK_SECTORS;
        n_present++;
    }
    emit->total_bytes = vhd_file_bytes(header.n_entries, n_present);
    emit->head = g_malloc(emit->head_bytes);
    g_autofree guint8 *raw = vhd_table_format(&table);
    memcpy(emit->head + VHD_TABLE_OFFSET, raw, vhd_table_bytes(table.n));
    vhd_footer_format(&footer, emit->head);
    return vhd_header_format(&header, emit->head + VHD_FOOTER_BYTES, error);
}

VhdEmit *vhd_emit_new(Disk *disk, const DiskInfo *info)
{
    VhdEmit *emit = g_new0(VhdEmit, 1);
    emit->disk = disk;
    emit->info = info ? *info : disk->info;
    if (!make_head(emit, &emit->error))
        emit->total_bytes = 0;
    return emit;
}

guint64 vhd_emit_bytes(const VhdEmit *emit)
{
    return emit->total_bytes;
}

/* Reads the next block when the last one is sent. */
static bool refill(VhdEmit *emit, GError **error)
{
    while (!disk_has(emit->disk, emit->next))
        emit->next++;
    if (!emit->block)
        emit->block = block_buffer_take(VHD_STORED_BYTES);
    bool ok = disk_read_stored(emit->disk, emit->next++, emit->block, error);
    memset(emit->block, 0xff, VHD_BITMAP_BYTES);
    return ok;
}

gssize vhd_emit_read(VhdEmit *emit, void *buffer, gsize n, GError **error)
{
    if (emit->error) {
        g_propagate_error(error, g_error_copy(emit->error));
        return -1;
    }
    guint64 footer_at = emit->total_bytes - VHD_FOOTER_BYTES;
    const guint8 *from;
    guint64 left;
    if (emit->position < emit->head_bytes) {
        from = emit->head + emit->position;
        left = emit->head_bytes - emit->position;
    } else if (emit->position < footer_at) {
        guint64 in_block = (emit->position - emit->head_bytes) % VHD_STORED_BYTES;
        if (in_block == 0 && !refill(emit, error))
            return -1;
        from = emit->block + in_block;
        left = VHD_STORED_BYTES - in_block;
    } else {
        from = emit->head + (emit->position - footer_at);
        left = emit->total_bytes - emit->position;
    }
    n = MIN(n, left);
    memcpy(buffer, from, n);
    emit->position += n;
    return n;
}

void vhd_emit_set_creator(VhdEmit *emit, const char *creator)
{
    if (!emit->error)
        vhd_footer_set_creator(emit->head, creator);
}

void vhd_emit_free(VhdEmit *emit)
{
    if (!emit)
        return;
    g_free(emit->head);
    block_buffer_give(emit->block);
    g_clear_error(&emit->error);
    g_free(emit);
}
