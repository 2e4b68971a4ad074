/* A block directory to read. */
#include "disk/vhd_directory.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"

#include <jansson.h>
#include <string.h>

void vhd_block_name(guint32 block, char name[VHD_NAME_BYTES])
{
    g_snprintf(name, VHD_NAME_BYTES, "blocks/%u/%u", block / 1000, block % 1000);
}

void vhd_directory_clear(VhdDirectory *directory)
{
    g_clear_pointer(&directory->present, g_free);
}

bool vhd_chunk_get(Chunks *chunks, const Codec *codec, const char *name, void *out, gsize n,
                   GError **error)
{
    g_autoptr(GBytes) packed = chunks_get(chunks, name, error);
    if (!packed)
        return false;
    gsize n_packed;
    const void *data = g_bytes_get_data(packed, &n_packed);
    if (codec_expand(codec, data, n_packed, out, n, error))
        return true;
    g_prefix_error(error, "chunk %s: ", name);
    return false;
}

bool vhd_chunk_put(Chunks *chunks, const Codec *codec, const char *name, const void *data, gsize n,
                   GError **error)
{
    gsize max = codec_bound(codec, n);
    g_autoptr(BlockBuffer) packed = block_buffer_take(max);
    gsize n_packed = codec_compress(codec, data, n, packed, max, error);
    return n_packed && chunks_put(chunks, name, packed, n_packed, error);
}

bool vhd_block_put(Chunks *chunks, const Codec *codec, const char *name, const void *data,
                   GError **error)
{
    guint8 bitmap[VHD_BITMAP_BYTES];
    gsize max = codec_bound(codec, VHD_STORED_BYTES);
    g_autoptr(BlockBuffer) packed = block_buffer_take(max);
    memset(bitmap, 0xff, sizeof bitmap);
    gsize n_packed = codec_compress_both(codec, bitmap, sizeof bitmap, data, DISK_BLOCK_BYTES,
                                         packed, max, error);
    return n_packed && chunks_put(chunks, name, packed, n_packed, error);
}

bool vhd_bat_put(Chunks *chunks, const Codec *codec, const guint8 *present, guint32 n_entries,
                 GError **error)
{
    g_autofree guint8 *bat = g_malloc0(MAX(n_entries, 1));
    for (guint32 block = 0; block < n_entries; block++)
        if (present[block])
            bat[block >> 3] |= 0x80 >> (block & 7);
    return vhd_chunk_put(chunks, codec, "bat", bat, MAX(n_entries, 1), error);
}

/* An absent file is no codec; anything that cannot be understood is an error. */
const Codec *vhd_codec_load(Chunks *chunks, GError **error)
{
    GError *why = NULL;
    g_autoptr(GBytes) text = chunks_get(chunks, "chunk-filters.json", &why);
    if (!text) {
        if (!err_is(why, ERR_NOT_FOUND)) {
            g_propagate_error(error, why);
            return NULL;
        }
        g_error_free(why);
        return codec_find("none");
    }
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    json_t *filters = json_loadb(data, n, 0, NULL);
    const Codec *codec = codec_find(
        json_array_size(filters) == 0 ? "none" : json_string_value(json_array_get(filters, 0)));
    if (!json_is_array(filters) || json_array_size(filters) > 1)
        codec = NULL;
    json_decref(filters);
    if (!codec)
        err_set(error, ERR_UNSUPPORTED, "chunk-filters.json names a filter that is not known: %.*s",
                (int) MIN(n, 80), data);
    return codec;
}

static bool load_present(Chunks *chunks, VhdDirectory *directory, GError **error)
{
    guint32 n = directory->info.n_blocks;
    g_autoptr(GBytes) packed = chunks_get(chunks, "bat", error);
    if (!packed)
        return false;
    gsize n_packed, n_bat;
    const void *data = g_bytes_get_data(packed, &n_packed);
    g_autoptr(GBytes)
        bytes = codec_expand_all(directory->codec, data, n_packed, VHD_MAX_BLOCKS, error);
    if (!bytes) {
        g_prefix_error(error, "chunk bat: ");
        return false;
    }
    const guint8 *bat = g_bytes_get_data(bytes, &n_bat);
    if (n_bat < (n + 7ull) / 8 &&
        !MUTANT(bat_may_be_cut)) { /* mutant: catalog_foreign:test_cut_head */
        err_set(error, ERR_TRUNCATED, "chunk bat: %zu bytes are too few for %u blocks", n_bat, n);
        return false;
    }
    directory->present = g_malloc0(MAX(n, 1));
    for (guint32 block = 0; block < n && block >> 3 < n_bat; block++)
        directory->present[block] = (bat[block >> 3] & (0x80 >> (block & 7))) != 0;
    return true;
}

/* XO's merge of a disk that has grown leaves the old number of entries in the header. The map is
 * long enough nevertheless: it has a byte for each entry and uses a bit. */
static void adopt_growth(VhdDirectory *directory)
{
    guint64 n_blocks = (directory->footer.current_size + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES;
    directory->n_stored_entries = directory->header.n_entries;
    if (n_blocks <= directory->header.n_entries || n_blocks > directory->header.n_entries * 8ull)
        return;
    directory->header.n_entries = (guint32) n_blocks;
    vhd_header_resize(directory->raw_header, (guint32) n_blocks);
}

/* The first thing that is packed: when it cannot be read, the name of the codec may be what is
 * lost.
 */
static bool load_footer(Chunks *chunks, VhdDirectory *directory, GError **error)
{
    if (vhd_chunk_get(chunks, directory->codec, "footer", directory->raw_footer, VHD_FOOTER_BYTES,
                      error))
        return true;
    if (directory->codec == codec_find("none"))
        g_prefix_error(error, "no codec is named in chunk-filters.json, and ");
    return false;
}

bool vhd_directory_load(Chunks *chunks, VhdDirectory *directory, GError **error)
{
    memset(directory, 0, sizeof *directory);
    directory->codec = vhd_codec_load(chunks, error);
    return directory->codec && load_footer(chunks, directory, error) &&
           vhd_footer_parse(directory->raw_footer, &directory->footer, error) &&
           vhd_chunk_get(chunks, directory->codec, "header", directory->raw_header,
                         VHD_HEADER_BYTES, error) &&
           vhd_header_parse(directory->raw_header, &directory->header, error) &&
           (adopt_growth(directory), true) &&
           vhd_info(&directory->footer, &directory->header, &directory->info, error) &&
           load_present(chunks, directory, error);
}

typedef struct {
    Disk base;
    Chunks *chunks;
    VhdDirectory directory;
} DirectoryDisk;

static bool directory_has(Disk *base, guint32 block)
{
    return ((DirectoryDisk *) base)->directory.present[block];
}

static bool directory_read_stored(Disk *base, guint32 block, void *stored, GError **error)
{
    DirectoryDisk *disk = (DirectoryDisk *) base;
    char name[VHD_NAME_BYTES];
    vhd_block_name(block, name);
    guint8 *data = (guint8 *) stored + VHD_BITMAP_BYTES;
    if (!vhd_chunk_get(disk->chunks, disk->directory.codec, name, stored, VHD_STORED_BYTES,
                       error) ||
        !vhd_apply_stored_bitmap(stored, &base->info, block, data, error))
        return false;
    vhd_trim_block(&base->info, block, data);
    return true;
}

static bool directory_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    g_autoptr(BlockBuffer) stored = block_buffer_take(VHD_STORED_BYTES);
    if (!directory_read_stored(base, block, stored, error))
        return false;
    memcpy(buffer, (guint8 *) stored + VHD_BITMAP_BYTES, DISK_BLOCK_BYTES);
    return true;
}

/* Decoding begins as near as it can and stops at what is wanted. A bitmap that is not full needs
 * the whole. */
static bool directory_read_span(Disk *base, guint32 block, void *buffer, gsize *from, gsize to,
                                GError **error)
{
    DirectoryDisk *disk = (DirectoryDisk *) base;
    char name[VHD_NAME_BYTES];
    guint8 bitmap[VHD_BITMAP_BYTES];
    vhd_block_name(block, name);
    g_autoptr(GBytes) packed = chunks_get(disk->chunks, name, error);
    if (!packed)
        return false;
    gsize n_packed;
    const void *data = g_bytes_get_data(packed, &n_packed);
    if (!codec_expand_part(disk->directory.codec, data, n_packed, bitmap, sizeof bitmap, buffer,
                           from, to, error)) {
        g_prefix_error(error, "chunk %s: ", name);
        return false;
    }
    for (gsize i = 0; i < sizeof bitmap; i++)
        if (bitmap[i] != 0xff) {
            *from = 0;
            return directory_read_block(base, block, buffer, error);
        }
    return true;
}

static void directory_close(Disk *base)
{
    DirectoryDisk *disk = (DirectoryDisk *) base;
    chunks_close(disk->chunks);
    vhd_directory_clear(&disk->directory);
    g_free(disk);
}

static const struct disk_ops directory_ops = { directory_has, directory_read_block, directory_close,
                                               .read_span = directory_read_span,
                                               .read_stored = directory_read_stored };

Disk *vhd_directory_open(Chunks *chunks, GError **error)
{
    DirectoryDisk *disk = g_new0(DirectoryDisk, 1);
    disk->base.ops = &directory_ops;
    disk->chunks = chunks;
    if (!vhd_directory_load(chunks, &disk->directory, error)) {
        directory_close(&disk->base);
        return NULL;
    }
    disk->base.info = disk->directory.info;
    return &disk->base;
}

const char *vhd_directory_codec(Disk *disk)
{
    return disk->ops == &directory_ops ? codec_name(((DirectoryDisk *) disk)->directory.codec)
                                       : NULL;
}

guint32 vhd_directory_entries(Disk *disk)
{
    return disk->ops == &directory_ops ? ((DirectoryDisk *) disk)->directory.n_stored_entries : 0;
}

/* The map first: to a reader it may be longer than the header says, not shorter. */
bool vhd_directory_enlarge(Chunks *chunks, guint32 n_entries, GError **error)
{
    VhdDirectory head;
    bool ok = vhd_directory_load(chunks, &head, error);
    if (ok && n_entries > head.n_stored_entries) {
        g_autofree guint8 *present = g_malloc0(n_entries);
        memcpy(present, head.present, MIN(n_entries, head.info.n_blocks));
        vhd_header_resize(head.raw_header, n_entries);
        ok =
            vhd_bat_put(chunks, head.codec, present, n_entries, error) &&
            chunks_sync(chunks, error) &&
            vhd_chunk_put(chunks, head.codec, "header", head.raw_header, VHD_HEADER_BYTES, error) &&
            chunks_sync(chunks, error);
    }
    vhd_directory_clear(&head);
    return ok;
}
