/* Plain tar archives (ustar; GNU's and pax's long names and sizes) as they arrive, and the headers
 * of those that leave. */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum { TAR_SECTOR_BYTES = 512, TAR_MAX_NAME_BYTES = 4096 };

typedef gssize (*TarSource)(void *data, gsize n, void *user, GError **error);

typedef struct TarIn TarIn;
TarIn *tar_in_new(TarSource source, void *user);
void tar_in_free(TarIn *tar);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TarIn, tar_in_free)
/* The next regular file, what is left of the present one is passed over; its name is valid until
 * the next call, NULL at the end. CORRUPT, TRUNCATED. */
bool tar_in_next(TarIn *tar, const char **name, guint64 *n_bytes, GError **error);
/* Bytes of the present file: an ImageSource. 0 at its end, -1 with an error. */
gssize tar_in_read(void *data, gsize n, void *tar, GError **error);

/* The header of a file; false for a name that is too long (99 bytes). */
bool tar_header(guint8 header[TAR_SECTOR_BYTES], const char *name, guint64 n_bytes);
/* After a file: so many zeros. */
guint64 tar_padding(guint64 n_bytes);
