/* The stream is a row of pieces, each at a known offset and of a known length: footer copy, header,
 * BAT, blocks, footer. feed() skips to the next piece, gathers it, and hands it to its function. */
#include "sim/import_vhd.h"

#include "base/error.h"
#include "base/mutant.h"
#include "sim/export_vhd.h"
#include "sim/vhd_tree.h"

#include <string.h>

enum { HEADER_BYTES = 1024, TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };
#define MAX_BLOCKS   (1u << 20) /* 2 TiB */
#define UNUSED_ENTRY 0xffffffffu
#define PIECE_BYTES  (VHD_BLOCK_BYTES + VHD_SECTOR_BYTES) /* a block */

typedef struct {
    guint64 offset;
    guint32 block;
} Place;

struct ImportVhd {
    ImportVhdOps ops;
    void *user;
    guint64 position;                      /* bytes of the stream consumed */
    guint64 piece_offset;                  /* where the present piece begins */
    gsize piece_bytes;                     /* its length */
    bool (*piece)(ImportVhd *, GError **); /* its function; NULL: complete */
    GByteArray *gathered;
    guint8 footer[VHD_SECTOR_BYTES];
    guint64 size_bytes;
    guint32 n_blocks;
    GArray *places; /* of the present blocks, by offset */
    guint next_place;
};

static bool footer_copy(ImportVhd *vhd, GError **error);

static void expect(ImportVhd *vhd, guint64 offset, gsize n, bool (*piece)(ImportVhd *, GError **))
{
    vhd->piece_offset = offset;
    vhd->piece_bytes = n;
    vhd->piece = piece;
    g_byte_array_set_size(vhd->gathered, 0);
}

ImportVhd *import_vhd_new(const ImportVhdOps *ops, void *user)
{
    ImportVhd *vhd = g_new0(ImportVhd, 1);
    vhd->ops = *ops;
    vhd->user = user;
    vhd->gathered = g_byte_array_new();
    vhd->places = g_array_new(FALSE, FALSE, sizeof(Place));
    expect(vhd, 0, VHD_SECTOR_BYTES, footer_copy);
    return vhd;
}

void import_vhd_free(ImportVhd *vhd)
{
    if (!vhd)
        return;
    g_byte_array_unref(vhd->gathered);
    g_array_unref(vhd->places);
    g_free(vhd);
}

static guint32 get32(const guint8 *at)
{
    guint32 value;
    memcpy(&value, at, 4);
    return GUINT32_FROM_BE(value);
}

static guint64 get64(const guint8 *at)
{
    guint64 value;
    memcpy(&value, at, 8);
    return GUINT64_FROM_BE(value);
}

static bool checksum_fits(const guint8 *structure, gsize n, gsize at)
{
    guint32 sum = 0;
    for (gsize i = 0; i < n; i++)
        sum += i >= at && i < at + 4 ? 0 : structure[i];
    return get32(structure + at) == ~sum;
}

static bool corrupt(GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "the imported VHD has %s", what);
    return false;
}

/* The end of the virtual disk is reached: the footer follows the last block, or the BAT. */
static bool last_footer(ImportVhd *vhd, GError **error)
{
    if (memcmp(vhd->gathered->data, vhd->footer, VHD_SECTOR_BYTES) != 0)
        return corrupt(error, "a footer that differs from its copy, or none");
    vhd->piece = NULL;
    return true;
}

static bool write_sectors(ImportVhd *vhd, guint32 block, guint first, guint end, GError **error)
{
    guint64 offset = (guint64) block * VHD_BLOCK_BYTES + first * VHD_SECTOR_BYTES;
    if (offset >= vhd->size_bytes)
        return true;
    gsize n = (gsize) MIN((guint64) (end - first) * VHD_SECTOR_BYTES, vhd->size_bytes - offset);
    const guint8 *data = vhd->gathered->data + VHD_SECTOR_BYTES + first * VHD_SECTOR_BYTES;
    return vhd->ops.data(offset, data, n, vhd->user, error);
}

static bool block(ImportVhd *vhd, GError **error);

static void expect_next(ImportVhd *vhd)
{
    if (vhd->next_place < vhd->places->len)
        expect(vhd, g_array_index(vhd->places, Place, vhd->next_place).offset, PIECE_BYTES, block);
    else
        expect(vhd, (vhd->position + VHD_SECTOR_BYTES - 1) / VHD_SECTOR_BYTES * VHD_SECTOR_BYTES,
               VHD_SECTOR_BYTES, last_footer);
}

static bool block(ImportVhd *vhd, GError **error)
{
    enum { N_SECTORS = VHD_BLOCK_BYTES / VHD_SECTOR_BYTES };
    const guint8 *bitmap = vhd->gathered->data;
    guint32 number = g_array_index(vhd->places, Place, vhd->next_place++).block;
#define IS_SET(i) (bitmap[(i) / 8] >> (7 - (i) % 8) & 1)
    for (guint first = 0; first < N_SECTORS;) {
        guint end = first + 1;
        while (end < N_SECTORS && IS_SET(end) == IS_SET(first))
            end++;
        if (IS_SET(first) && !write_sectors(vhd, number, first, end, error))
            return false;
        first = end;
    }
    expect_next(vhd);
    return true;
}

static gint by_offset(gconstpointer a, gconstpointer b)
{
    const Place *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static bool bat(ImportVhd *vhd, GError **error)
{
    for (guint32 i = 0; i < vhd->n_blocks; i++) {
        guint32 sector = get32(vhd->gathered->data + 4 * (gsize) i);
        Place place = { (guint64) sector * VHD_SECTOR_BYTES, i };
        if (sector != UNUSED_ENTRY)
            g_array_append_val(vhd->places, place);
    }
    g_array_sort(vhd->places, by_offset);
    guint64 end = vhd->position;
    for (guint i = 0; i < vhd->places->len; i++) {
        const Place *place = &g_array_index(vhd->places, Place, i);
        if (place->offset < end)
            return corrupt(error, "blocks that overlap each other or the headers");
        end = place->offset + PIECE_BYTES;
    }
    expect_next(vhd);
    return true;
}

static bool header(ImportVhd *vhd, GError **error)
{
    const guint8 *at = vhd->gathered->data;
    if (memcmp(at, "cxsparse", 8) != 0)
        return corrupt(error, "no dynamic header");
    if (!checksum_fits(at, HEADER_BYTES, 36))
        return corrupt(error, "a header of a wrong checksum");
    if (get32(at + 32) != VHD_BLOCK_BYTES) {
        err_set(error, ERR_UNSUPPORTED, "the imported VHD has blocks of %u bytes, not 2 MiB",
                get32(at + 32));
        return false;
    }
    guint64 needed = (vhd->size_bytes + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES;
    vhd->n_blocks = get32(at + 28);
    if (vhd->n_blocks < MAX(needed, 1) || vhd->n_blocks > MAX_BLOCKS)
        return corrupt(error, "a BAT that does not fit its size");
    guint64 offset = get64(at + 16);
    if (offset < vhd->position)
        return corrupt(error, "its BAT before its header");
    expect(vhd, offset, (gsize) vhd->n_blocks * 4, bat);
    return vhd->ops.size(vhd->size_bytes, vhd->user, error);
}

static bool footer_copy(ImportVhd *vhd, GError **error)
{
    const guint8 *at = vhd->gathered->data;
    if (memcmp(at, "conectix", 8) != 0)
        return corrupt(error, "no footer at its beginning");
    if (!checksum_fits(at, VHD_SECTOR_BYTES, 64) &&
        !MUTANT(sim_import_ignores_checksum)) /* mutant: sim_import_vhd */
        return corrupt(error, "a footer of a wrong checksum");
    guint32 type = get32(at + 60);
    if (type != TYPE_DYNAMIC && type != TYPE_DIFFERENCING) {
        err_set(error, ERR_UNSUPPORTED, "the imported VHD is of type %u, not dynamic", type);
        return false;
    }
    vhd->size_bytes = get64(at + 48);
    if (vhd->size_bytes > (guint64) MAX_BLOCKS * VHD_BLOCK_BYTES)
        return corrupt(error, "a size beyond 2 TiB");
    memcpy(vhd->footer, at, VHD_SECTOR_BYTES);
    if (get64(at + 16) < VHD_SECTOR_BYTES)
        return corrupt(error, "its header before its footer");
    expect(vhd, get64(at + 16), HEADER_BYTES, header);
    return true;
}

/* Takes what it can of the data for the present piece; the number of bytes taken. */
static gsize gather(ImportVhd *vhd, const guint8 *data, gsize n)
{
    if (vhd->position < vhd->piece_offset)
        return (gsize) MIN((guint64) n, vhd->piece_offset - vhd->position);
    n = MIN(n, vhd->piece_bytes - vhd->gathered->len);
    g_byte_array_append(vhd->gathered, data, (guint) n);
    return n;
}

bool import_vhd_feed(ImportVhd *vhd, const void *data, gsize n, GError **error)
{
    const guint8 *at = data;
    while (n && vhd->piece) {
        gsize taken = gather(vhd, at, n);
        vhd->position += taken;
        at += taken;
        n -= taken;
        if (vhd->gathered->len == vhd->piece_bytes && !vhd->piece(vhd, error))
            return false;
    }
    return true;
}

bool import_vhd_is_complete(const ImportVhd *vhd)
{
    return !vhd->piece;
}

bool import_vhd_finish(ImportVhd *vhd, GError **error)
{
    if (!vhd->piece)
        return true;
    err_set(error, ERR_TRUNCATED, "the imported VHD ends after %" G_GUINT64_FORMAT " bytes",
            vhd->position);
    return false;
}
