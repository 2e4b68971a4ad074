/* A flat VHD has its footer twice: at its start and at its end. When one of the two is lost the
 * other can take its place, as long as everything between them is there. */
#include "disk/vhd_flat.h"

#include "base/error.h"

#include <string.h>

typedef struct {
    guint8 start[VHD_FOOTER_BYTES], end[VHD_FOOTER_BYTES];
    bool start_sound, end_sound;
    guint64 file_bytes, end_at; /* where the last one is, or belongs */
} Footers;

static bool read_copies(Bytes *bytes, Footers *footers, GError **error)
{
    VhdFooter parsed;
    gint64 size = bytes_size(bytes, error);
    if (size < 0)
        return false;
    footers->file_bytes = (guint64) size;
    if (size < VHD_TABLE_OFFSET + VHD_SECTOR_BYTES) {
        err_set(error, ERR_TRUNCATED, "%" G_GINT64_FORMAT " bytes are too few for a VHD", size);
        return false;
    }
    if (!bytes_read(bytes, 0, footers->start, VHD_FOOTER_BYTES, error) ||
        !bytes_read(bytes, (guint64) size - VHD_FOOTER_BYTES, footers->end, VHD_FOOTER_BYTES,
                    error))
        return false;
    footers->start_sound = vhd_footer_parse(footers->start, &parsed, NULL);
    footers->end_sound = vhd_footer_parse(footers->end, &parsed, NULL);
    return true;
}

/* The header and the table, with the sound footer: where do the blocks end? */
static bool find_end(Bytes *bytes, Footers *footers, GError **error)
{
    g_auto(VhdTable) table = { 0 };
    guint8 raw_header[VHD_HEADER_BYTES];
    VhdHeader header;
    if (!bytes_read(bytes, VHD_FOOTER_BYTES, raw_header, sizeof raw_header, error) ||
        !vhd_header_parse(raw_header, &header, error))
        return false;
    guint64 n_bytes = header.n_entries * 4ull;
    if (header.table_offset > footers->file_bytes ||
        n_bytes > footers->file_bytes - header.table_offset) {
        err_set(error, ERR_TRUNCATED, "the block table of the VHD lies past the end of the file");
        return false;
    }
    g_autofree guint8 *raw = g_malloc(n_bytes + 1);
    guint64 start = header.table_offset + vhd_table_bytes(header.n_entries);
    if (!bytes_read(bytes, header.table_offset, raw, n_bytes, error) ||
        !vhd_table_parse(&table, raw, header.n_entries, header.table_offset + n_bytes,
                         footers->file_bytes, error))
        return false;
    guint64 blocks_end = vhd_table_end(&table, start);
    guint64 usual = footers->file_bytes - VHD_FOOTER_BYTES;
    footers->end_at = usual < blocks_end || usual % VHD_SECTOR_BYTES ? blocks_end : usual;
    return true;
}

static bool look(Bytes *bytes, Footers *footers, GError **error)
{
    if (!read_copies(bytes, footers, error))
        return false;
    if (!footers->start_sound && !footers->end_sound) {
        err_set(error, ERR_CORRUPT, "both copies of the VHD's footer are damaged");
        return false;
    }
    if (footers->start_sound && footers->end_sound) {
        err_set(error, ERR_CORRUPT,
                memcmp(footers->start, footers->end, VHD_FOOTER_BYTES)
                    ? "the two copies of the VHD's footer differ"
                    : "the footers of the VHD are sound: something else is not");
        return false;
    }
    return find_end(bytes, footers, error);
}

bool vhd_footers_check(Bytes *bytes, const char **bad, GError **error)
{
    Footers footers = { 0 };
    if (!look(bytes, &footers, error))
        return false;
    *bad = footers.start_sound ? "end" : "start";
    return true;
}

bool vhd_footers_restore(Bytes *bytes, GError **error)
{
    Footers footers = { 0 };
    if (!look(bytes, &footers, error))
        return false;
    if (footers.end_sound)
        return bytes_write(bytes, 0, footers.end, VHD_FOOTER_BYTES, error) &&
               bytes_sync(bytes, error);
    return bytes_write(bytes, footers.end_at, footers.start, VHD_FOOTER_BYTES, error) &&
           bytes_resize(bytes, footers.end_at + VHD_FOOTER_BYTES, error) &&
           bytes_sync(bytes, error);
}
