/* A block directory whose head was being written when the process died: XO writes over the map,
 * then over the footer, as its merge ends, and a write that is cut leaves nothing or half. All
 * blocks are in it by then. */
#include "disk/merge.h"
#include "disk/vhd_directory.h"

#include "base/error.h"

#include <string.h>

/* What a cut write may leave, in a file that is otherwise readable. */
static bool is_cut(const GError *error)
{
    return err_is(error, ERR_CORRUPT) || err_is(error, ERR_TRUNCATED) ||
           err_is(error, ERR_UNSUPPORTED) || err_is(error, ERR_NOT_FOUND);
}

static bool read_header(Chunks *chunks, const Codec *codec, VhdHeader *header, GError **error)
{
    guint8 raw[VHD_HEADER_BYTES];
    return vhd_chunk_get(chunks, codec, "header", raw, sizeof raw, error) &&
           vhd_header_parse(raw, header, error);
}

/* The identity and size of the newest, whose content it has; its own kind. */
static bool mend_footer(Chunks *chunks, const Codec *codec, const VhdHeader *header, Disk *newest,
                        GError **error)
{
    static const DiskUid none;
    guint8 raw[VHD_FOOTER_BYTES];
    VhdFooter footer;
    g_autoptr(GError) failure = NULL;
    if (vhd_chunk_get(chunks, codec, "footer", raw, sizeof raw, &failure) &&
        vhd_footer_parse(raw, &footer, &failure))
        return true;
    if (!is_cut(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    bool root = memcmp(&header->parent_uid, &none, sizeof none) == 0;
    footer = (VhdFooter){ .current_size = newest->info.size_bytes,
                          .original_size = newest->info.size_bytes,
                          .timestamp = (guint32) newest->info.timestamp_s,
                          .type = root ? VHD_DYNAMIC : VHD_DIFFERENCING,
                          .uid = newest->info.uid };
    vhd_footer_format(&footer, raw);
    return vhd_chunk_put(chunks, codec, "footer", raw, sizeof raw, error);
}

static bool mend_map(Chunks *chunks, const Codec *codec, guint32 n_entries, const guint32 *blocks,
                     guint32 n_blocks, GError **error)
{
    VhdDirectory head;
    g_autoptr(GError) failure = NULL;
    bool whole = vhd_directory_load(chunks, &head, &failure);
    vhd_directory_clear(&head);
    if (whole)
        return true;
    if (!is_cut(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    g_autofree guint8 *present = g_malloc0(MAX(n_entries, 1));
    for (guint32 i = 0; i < n_blocks; i++)
        if (blocks[i] < n_entries)
            present[blocks[i]] = 1;
    return vhd_bat_put(chunks, codec, present, n_entries, error);
}

bool vhd_directory_mend(Chunks *chunks, Disk *newest, const guint32 *blocks, guint32 n_blocks,
                        GError **error)
{
    const Codec *codec = vhd_codec_load(chunks, error);
    VhdHeader header;
    return codec && read_header(chunks, codec, &header, error) &&
           mend_footer(chunks, codec, &header, newest, error) &&
           mend_map(chunks, codec, MAX(header.n_entries, newest->info.n_blocks), blocks, n_blocks,
                    error) &&
           chunks_sync(chunks, error);
}
