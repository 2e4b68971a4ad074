/* A dynamic VHD with the whole content: no parent. */
#include "disk/image_format.h"

#include "base/error.h"

#include <string.h>

enum { PIECE_BYTES = 1 << 20 };

typedef struct {
    Image base;
    VhdEmit *emit;
    guint8 *buffer;
} VhdImage;

static Image *open_image(Disk *disk, GError **error)
{
    DiskInfo info = disk->info;
    info.differencing = false;
    memset(&info.parent_uid, 0, sizeof info.parent_uid);
    info.parent_name[0] = '\0';
    VhdEmit *emit = vhd_emit_new(disk, &info);
    guint8 none;
    if (vhd_emit_read(emit, &none, 0, error) < 0) {
        vhd_emit_free(emit);
        return NULL;
    }
    /* Readers that do not know the creator believe the rounded geometry instead of the size. */
    vhd_emit_set_creator(emit, "tap");
    VhdImage *image = g_new0(VhdImage, 1);
    image->base.total_bytes = vhd_emit_bytes(emit);
    image->emit = emit;
    image->buffer = g_malloc(PIECE_BYTES);
    return &image->base;
}

static bool next_piece(Image *base, ImagePiece *piece, GError **error)
{
    VhdImage *image = (VhdImage *) base;
    gssize n = vhd_emit_read(image->emit, image->buffer, PIECE_BYTES, error);
    if (n < 0)
        return false;
    *piece = (ImagePiece){ image->buffer, n };
    return true;
}

static void close_image(Image *base)
{
    VhdImage *image = (VhdImage *) base;
    vhd_emit_free(image->emit);
    g_free(image->buffer);
    g_free(image);
}

const struct image_format image_vhd = { "vhd", open_image, next_piece, close_image };
