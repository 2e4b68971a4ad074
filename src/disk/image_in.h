/* An image file that arrives, as the bytes of its disk in order: the way back of disk/image.h, for
 * a stream that cannot be rewound. Memory is the tables and one cluster.
 *
 * raw: as it is. vmdk: stream-optimized, as in an OVA (VMware's Virtual Disk Format 1.1). qcow2:
 * versions 2 and 3, in any order, compressed by zlib or zstd or not at all (QEMU's qcow2
 * specification). Others of these formats are UNSUPPORTED, and the message says what to do. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Up to n bytes of the file; 0 at its end; -1 with an error. An HttpSource is one. */
typedef gssize (*ImageSource)(void *data, gsize n, void *user, GError **error);

typedef struct ImageIn ImageIn;

#define IMAGE_IN_MAX_BYTES (G_GUINT64_CONSTANT(1) << 46)

/* Reads the head. `file_bytes`: the length of the file, which a raw image needs; -1: unknown.
 * `folder`: what comes before its turn waits there, in a file without a name (image_spool.h); NULL:
 * an image must be in order. UNSUPPORTED, CORRUPT, TRUNCATED, LIMIT, INVALID, NO_SPACE, or the
 * source's error. */
ImageIn *image_in_new(const char *format, gint64 file_bytes, ImageSource source, void *user,
                      const char *folder, GError **error);
/* Of the disk. */
guint64 image_in_bytes(const ImageIn *in);
/* Up to n bytes of the disk; 0 at its end, when the file was whole; -1 with an error. */
gssize image_in_read(ImageIn *in, void *data, gsize n, GError **error);
void image_in_free(ImageIn *in);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImageIn, image_in_free)
