/* The bytes of the disk as they are. */
#include "disk/image_in_format.h"

#include "base/error.h"

enum { PIECE_BYTES = 1 << 20 };

static bool raw_open(ImageIn *in, GError **error)
{
    in->cluster_bytes = PIECE_BYTES;
    in->size_bytes = in->file_bytes > 0 ? (guint64) in->file_bytes : 0;
    if (in->file_bytes > 0)
        return true;
    err_set(error, ERR_INVALID, "say how many bytes a raw image has (Content-Length)");
    return false;
}

static bool raw_next(ImageIn *in, GError **error)
{
    in->place = in->position;
    in->ended = in->position >= in->size_bytes;
    gsize n = (gsize) MIN(in->size_bytes - in->position, PIECE_BYTES);
    in->place_bytes = in->ended ? 0 : n;
    return in->ended || image_in_take(in, in->cluster, n, error);
}

static void raw_close(ImageIn *in)
{
}

const struct image_in_format image_in_raw = { "raw", raw_open, raw_next, raw_close };
