/* The table of image formats, and the one gate in front of them: an image is as long as it said. */
#include "disk/image_format.h"

#include "base/error.h"

#include <string.h>

static const struct image_format *const formats[] = { &image_raw, &image_vhd, &image_qcow2,
                                                      &image_vmdk };

Image *image_new(const char *name, Disk *disk, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (strcmp(formats[i]->name, name) != 0)
            continue;
        Image *image = formats[i]->open(disk, error);
        if (image) {
            image->format = formats[i];
            image->disk = disk;
        }
        return image;
    }
    g_autoptr(GString) known = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(formats); i++)
        g_string_append_printf(known, "%s%s", i ? ", " : "", formats[i]->name);
    err_set(error, ERR_UNSUPPORTED, "no image format \"%s\": there are %s", name, known->str);
    return NULL;
}

guint64 image_bytes(const Image *image)
{
    return image->total_bytes;
}

bool image_next(Image *image, ImagePiece *piece, GError **error)
{
    *piece = (ImagePiece){ 0 };
    if (image->made_bytes == image->total_bytes)
        return true;
    if (!image->format->next(image, piece, error))
        return false;
    if (piece->n_bytes == 0 || piece->n_bytes > image->total_bytes - image->made_bytes) {
        err_set(error, ERR_INTERNAL, "a %s image of another length than expected",
                image->format->name);
        return false;
    }
    image->made_bytes += piece->n_bytes;
    return true;
}

void image_free(Image *image)
{
    if (image)
        image->format->close(image);
}
