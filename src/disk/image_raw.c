/* The plainest image: the bytes of the disk. */
#include "disk/image_format.h"

#include "base/block_buffer.h"

typedef struct {
    Image base;
    guint8 *block;
} RawImage;

static Image *raw_open(Disk *disk, GError **error)
{
    RawImage *raw = g_new0(RawImage, 1);
    raw->base.total_bytes = disk->info.size_bytes;
    raw->block = block_buffer_take(DISK_BLOCK_BYTES);
    return &raw->base;
}

static bool raw_next(Image *image, ImagePiece *piece, GError **error)
{
    RawImage *raw = (RawImage *) image;
    guint32 block = (guint32) (image->made_bytes / DISK_BLOCK_BYTES);
    guint64 left = image->total_bytes - image->made_bytes;
    if (disk_has(image->disk, block)) {
        piece->data = raw->block;
        piece->n_bytes = MIN(DISK_BLOCK_BYTES, left);
        return disk_read_block(image->disk, block, raw->block, error);
    }
    guint32 end = block + 1;
    while (end < image->disk->info.n_blocks && !disk_has(image->disk, end))
        end++;
    piece->n_bytes = MIN((end - block) * (guint64) DISK_BLOCK_BYTES, left);
    return true;
}

static void raw_close(Image *image)
{
    block_buffer_give(((RawImage *) image)->block);
    g_free(image);
}

const struct image_format image_raw = { "raw", raw_open, raw_next, raw_close };
