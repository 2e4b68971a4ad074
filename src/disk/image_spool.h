/* An image file that arrives, read at any place: what is passed over on the way to a place waits in
 * a file without a name, of which a crash leaves nothing. What is read for good is not kept, so
 * that an image in order needs no file at all. One thread at a time. */
#pragma once

#include "disk/image_in.h"

typedef struct ImageSpool ImageSpool;

/* `folder` is where the file is made, when one is needed; NULL: nothing can wait. It takes
 * max_bytes, and no more than it leaves free. */
ImageSpool *image_spool_new(ImageSource source, void *user, const char *folder, guint64 max_bytes);
void image_spool_free(ImageSpool *spool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImageSpool, image_spool_free)

/* *n bytes from `at` on, fewer at the end of what arrives. `for_good`: nobody will ask for them
 * again, which else is CORRUPT. LIMIT, NO_SPACE, IO, or the source's error. */
bool image_spool_read(ImageSpool *spool, guint64 at, void *data, gsize *n, bool for_good,
                      GError **error);
/* How much waits, or has waited. */
guint64 image_spool_bytes(const ImageSpool *spool);
