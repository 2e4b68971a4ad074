/* A format of images. For the files image*.c only. */
#pragma once

#include "disk/image.h"

struct image_format {
    const char *name;
    Image *(*open)(Disk *disk, GError **error);
    bool (*next)(Image *image, ImagePiece *piece, GError **error);
    void (*close)(Image *image);
};

extern const struct image_format image_raw, image_vhd, image_qcow2, image_vmdk;

/* A format's struct starts with this; its open fills in total_bytes. */
struct Image {
    const struct image_format *format;
    Disk *disk;
    guint64 total_bytes, made_bytes;
};
