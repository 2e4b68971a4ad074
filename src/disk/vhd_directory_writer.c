/* Writes a block directory. Blocks may come from several threads: each is compressed and stored by
 * the thread that brings it. The head comes last. */
#include "disk/vhd_directory.h"

#include "base/block_buffer.h"
#include "base/error.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    DiskWriter base;
    Chunks *chunks;
    VhdFooter footer;
    VhdHeader header;
    const Codec *codec;
    guint8 *present; /* one byte a block */
    guint32 n_present;
    pthread_mutex_t lock; /* of the two above */
} DirectoryWriter;

static bool claim(DirectoryWriter *writer, guint32 block, GError **error)
{
    pthread_mutex_lock(&writer->lock);
    bool fresh = !writer->present[block];
    writer->present[block] = 1;
    writer->n_present += fresh;
    pthread_mutex_unlock(&writer->lock);
    if (!fresh)
        err_set(error, ERR_INTERNAL, "block %u is written twice", block);
    return fresh;
}

static bool directory_put_block(DiskWriter *base, guint32 block, const void *data, GError **error)
{
    DirectoryWriter *writer = (DirectoryWriter *) base;
    if (!claim(writer, block, error))
        return false;
    char name[VHD_NAME_BYTES];
    vhd_block_name(block, name);
    return vhd_block_put(writer->chunks, writer->codec, name, data, error);
}

static bool put_filters(DirectoryWriter *writer, GError **error)
{
    if (writer->codec == codec_find("none"))
        return chunks_drop(writer->chunks, "chunk-filters.json", error);
    g_autofree char *text = g_strdup_printf("[\"%s\"]", codec_name(writer->codec));
    return chunks_put(writer->chunks, "chunk-filters.json", text, strlen(text), error);
}

static bool directory_finish(DiskWriter *base, guint64 *stored_bytes, GError **error)
{
    DirectoryWriter *writer = (DirectoryWriter *) base;
    guint8 footer[VHD_FOOTER_BYTES], header[VHD_HEADER_BYTES];
    vhd_footer_format(&writer->footer, footer);
    if (!vhd_header_format(&writer->header, header, error) || !put_filters(writer, error) ||
        !vhd_bat_put(writer->chunks, writer->codec, writer->present, writer->header.n_entries,
                     error) ||
        !vhd_chunk_put(writer->chunks, writer->codec, "header", header, sizeof header, error) ||
        !chunks_sync(writer->chunks, error) ||
        !vhd_chunk_put(writer->chunks, writer->codec, "footer", footer, sizeof footer, error) ||
        !chunks_sync(writer->chunks, error))
        return false;
    *stored_bytes = vhd_file_bytes(writer->header.n_entries, writer->n_present);
    return true;
}

static void directory_close(DiskWriter *base)
{
    DirectoryWriter *writer = (DirectoryWriter *) base;
    chunks_close(writer->chunks);
    pthread_mutex_destroy(&writer->lock);
    g_free(writer->present);
    g_free(writer);
}

static bool directory_sync(DiskWriter *base, GError **error)
{
    return chunks_sync(((DirectoryWriter *) base)->chunks, error);
}

static bool directory_get_block(DiskWriter *base, guint32 block, void *buffer, GError **error)
{
    DirectoryWriter *writer = (DirectoryWriter *) base;
    char name[VHD_NAME_BYTES];
    vhd_block_name(block, name);
    g_autoptr(BlockBuffer) stored = block_buffer_take(VHD_STORED_BYTES);
    if (!vhd_chunk_get(writer->chunks, writer->codec, name, stored, VHD_STORED_BYTES, error))
        return false;
    memcpy(buffer, (guint8 *) stored + VHD_BITMAP_BYTES, DISK_BLOCK_BYTES);
    return true;
}

static const struct disk_writer_ops directory_ops = { directory_put_block, directory_finish,
                                                      directory_close, directory_sync,
                                                      directory_get_block };

DiskWriter *vhd_directory_create(Chunks *chunks, const DiskInfo *info, const char *codec,
                                 GError **error)
{
    DirectoryWriter *writer = g_new0(DirectoryWriter, 1);
    writer->base.ops = &directory_ops;
    writer->base.parallel = true;
    writer->base.info = *info;
    writer->base.info.n_blocks = vhd_n_blocks(info->size_bytes);
    writer->chunks = chunks;
    writer->codec = codec_find(codec);
    pthread_mutex_init(&writer->lock, NULL);
    guint8 raw[VHD_HEADER_BYTES];
    if (!writer->codec)
        err_set(error, ERR_INVALID, "no codec \"%s\" (none, gzip or brotli)", codec);
    if (!writer->codec || !vhd_from_info(info, &writer->footer, &writer->header, error) ||
        !vhd_header_format(&writer->header, raw, error)) {
        directory_close(&writer->base);
        return NULL;
    }
    writer->present = g_malloc0(MAX(writer->header.n_entries, 1));
    return &writer->base;
}

DiskWriter *vhd_directory_continue(Chunks *chunks, const DiskInfo *info, const char *codec,
                                   const guint32 *blocks, guint32 n, GError **error)
{
    DiskWriter *base = vhd_directory_create(chunks, info, codec, error);
    for (guint32 i = 0; base && i < n; i++) {
        if (blocks[i] < base->info.n_blocks) {
            claim((DirectoryWriter *) base, blocks[i], NULL);
            continue;
        }
        err_set(error, ERR_CORRUPT, "block %u cannot be in this disk", blocks[i]);
        g_clear_pointer(&base, disk_writer_close);
    }
    return base;
}
