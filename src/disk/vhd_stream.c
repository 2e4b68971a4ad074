/* Takes a VHD apart as it arrives from a pool: footer copy, header, table, blocks in file order,
 * footer. The other side may be cut, confused or hostile: nothing is believed before it was
 * checked, and memory grows only with what really came. */
#include "disk/vhd_table.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { MAX_TAIL_BYTES = 1 << 20, FIRST_BUFFER_BYTES = 4096 };

typedef enum { AT_FOOTER, AT_HEADER, AT_TABLE, AT_BITMAP, AT_DATA, AT_TAIL, AT_ERROR } Place;

struct VhdStream {
    VhdStreamOps ops;
    Place place;
    guint64 position; /* bytes taken so far */
    guint64 skip;     /* bytes to drop before the next thing */
    guint8 *buffer;   /* the thing being collected */
    gsize have, want, room;
    guint8 *given; /* by the caller, for the block being collected; NULL: the buffer */
    guint8 raw_footer[VHD_FOOTER_BYTES], bitmap[VHD_BITMAP_BYTES];
    VhdFooter footer;
    VhdHeader header;
    DiskInfo info;
    VhdTable table;
    guint32 *order; /* blocks as they lie in the file */
    guint32 n_present, n_done;
};

VhdStream *vhd_stream_new(const VhdStreamOps *ops)
{
    VhdStream *stream = g_new0(VhdStream, 1);
    stream->ops = *ops;
    stream->want = VHD_FOOTER_BYTES;
    return stream;
}

const guint32 *vhd_stream_blocks(const VhdStream *stream, guint32 *n)
{
    *n = stream->n_present;
    return stream->order;
}

static void expect(VhdStream *stream, Place place, gsize want)
{
    stream->place = place;
    stream->have = 0;
    stream->want = want;
}

static void collect(VhdStream *stream, const guint8 *data, gsize n)
{
    if (stream->given) {
        if (data != stream->given + stream->have) /* unless it came there by itself */
            memcpy(stream->given + stream->have, data, n);
        stream->have += n;
        return;
    }
    if (stream->have + n > stream->room) {
        stream->room = MAX(MAX(stream->room * 2, stream->have + n), FIRST_BUFFER_BYTES);
        stream->room = MIN(stream->room, MAX(stream->want, stream->have + n));
        stream->buffer = g_realloc(stream->buffer, stream->room);
    }
    memcpy(stream->buffer + stream->have, data, n);
    stream->have += n;
}

/* The tail ends with the footer; before it may lie what other writers put there. */
static bool next_block(VhdStream *stream, GError **error)
{
    if (stream->n_done == stream->n_present) {
        expect(stream, AT_TAIL, MAX_TAIL_BYTES);
        return true;
    }
    guint64 at = stream->table.sectors[stream->order[stream->n_done]] * (guint64) VHD_SECTOR_BYTES;
    if (at < stream->position) {
        err_set(error, ERR_CORRUPT, "block %u of the VHD stream lies before the end of its table",
                stream->order[stream->n_done]);
        return false;
    }
    stream->skip = at - stream->position;
    expect(stream, AT_BITMAP, VHD_BITMAP_BYTES);
    return true;
}

static bool take_footer(VhdStream *stream, GError **error)
{
    memcpy(stream->raw_footer, stream->buffer, VHD_FOOTER_BYTES);
    expect(stream, AT_HEADER, VHD_HEADER_BYTES);
    return vhd_footer_parse(stream->raw_footer, &stream->footer, error);
}

static bool take_header(VhdStream *stream, GError **error)
{
    if (!vhd_header_parse(stream->buffer, &stream->header, error) ||
        !vhd_info(&stream->footer, &stream->header, &stream->info, error))
        return false;
    stream->skip = stream->header.table_offset - stream->position;
    expect(stream, AT_TABLE, vhd_table_bytes(stream->header.n_entries));
    return true;
}

static bool take_table(VhdStream *stream, GError **error)
{
    if (!vhd_table_parse(&stream->table, stream->buffer, stream->header.n_entries, stream->position,
                         G_MAXUINT64, error))
        return false;
    for (guint32 block = stream->info.n_blocks; block < stream->table.n; block++)
        if (stream->table.sectors[block] != VHD_UNUSED) {
            err_set(error, ERR_CORRUPT, "block %u of the VHD stream lies past the end of its disk",
                    block);
            return false;
        }
    stream->order = vhd_table_order(&stream->table, &stream->n_present);
    return stream->ops.head(&stream->info, stream->n_present, stream->ops.user, error) &&
           next_block(stream, error);
}

static bool take_bitmap(VhdStream *stream, GError **error)
{
    memcpy(stream->bitmap, stream->buffer, VHD_BITMAP_BYTES);
    expect(stream, AT_DATA, DISK_BLOCK_BYTES);
    if (!stream->ops.room)
        return true;
    stream->given = stream->ops.room(stream->order[stream->n_done], stream->ops.user, error);
    return stream->given != NULL;
}

static bool take_data(VhdStream *stream, GError **error)
{
    guint32 block = stream->order[stream->n_done];
    guint8 *data = stream->given ? stream->given : stream->buffer;
    stream->given = NULL;
    if (!vhd_apply_bitmap(stream->bitmap, &stream->info, block, data, error))
        return false;
    vhd_trim_block(&stream->info, block, data);
    if (!stream->ops.block(block, data, stream->ops.user, error))
        return false;
    stream->n_done++;
    return next_block(stream, error);
}

static bool take_tail(VhdStream *stream, GError **error)
{
    err_set(error, ERR_CORRUPT, "more than %d bytes follow the last block of the VHD stream",
            MAX_TAIL_BYTES);
    return false;
}

static bool take(VhdStream *stream, GError **error)
{
    static bool (*const takers[])(VhdStream *, GError **) = {
        [AT_FOOTER] = take_footer, [AT_HEADER] = take_header, [AT_TABLE] = take_table,
        [AT_BITMAP] = take_bitmap, [AT_DATA] = take_data,     [AT_TAIL] = take_tail,
    };
    if (takers[stream->place](stream, error))
        return true;
    stream->place = AT_ERROR;
    return false;
}

void *vhd_stream_room(VhdStream *stream, gsize *n)
{
    if (!stream->given || stream->skip > 0)
        return NULL;
    *n = stream->want - stream->have;
    return stream->given + stream->have;
}

bool vhd_stream_feed(VhdStream *stream, const void *data, gsize n, GError **error)
{
    const guint8 *at = data;
    while (n > 0) {
        if (stream->place == AT_ERROR) {
            err_set(error, ERR_INTERNAL, "the VHD stream has already failed");
            return false;
        }
        bool skipping = stream->skip > 0;
        gsize part = MIN(n, skipping ? stream->skip : stream->want - stream->have);
        if (skipping)
            stream->skip -= part;
        else
            collect(stream, at, part);
        stream->position += part;
        at += part;
        n -= part;
        if (!skipping && stream->have == stream->want && !take(stream, error))
            return false;
    }
    return true;
}

bool vhd_stream_finish(VhdStream *stream, GError **error)
{
    bool whole = stream->place == AT_TAIL || MUTANT(stream_cut); /* mutant: disk_stream */
    if (!whole || stream->have < VHD_FOOTER_BYTES) {
        err_set(error, ERR_TRUNCATED,
                "the VHD stream ended after %" G_GUINT64_FORMAT " bytes, with %u of %u blocks",
                stream->position, stream->n_done, stream->n_present);
        return false;
    }
    if (memcmp(stream->buffer + stream->have - VHD_FOOTER_BYTES, stream->raw_footer,
               VHD_FOOTER_BYTES)) {
        err_set(error, ERR_TRUNCATED, "the VHD stream does not end with its footer");
        return false;
    }
    return true;
}

void vhd_stream_free(VhdStream *stream)
{
    if (!stream)
        return;
    vhd_table_clear(&stream->table);
    g_free(stream->order);
    g_free(stream->buffer);
    g_free(stream);
}
