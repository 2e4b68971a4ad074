/* The whole of a disk as the bytes of an image file, in order: for a file or a pipe. The layout is
 * fixed by the blocks that the disk has, so the length is known before the first byte is made.
 * Calls block while they read the disk; one thread at a time. */
#pragma once

#include "disk/disk.h"

typedef struct Image Image;

/* Part of an image. */
typedef struct {
    const guint8 *data; /* until the next call; NULL: zeros, which a file may leave out */
    guint64 n_bytes;    /* 0: the end */
} ImagePiece;

/* UNSUPPORTED names the formats that there are; LIMIT when the disk is too large for this one. The
 * disk is not taken over and must outlive the image. */
Image *image_new(const char *format, Disk *disk, GError **error);
guint64 image_bytes(const Image *image);
bool image_next(Image *image, ImagePiece *piece, GError **error);
void image_free(Image *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Image, image_free)
