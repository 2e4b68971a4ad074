/* An archive from anywhere, in pieces whose size the first byte chooses: data never lies outside
 * its disk and never goes back. */
#include "disk/xva.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const XvaInfo *info;
    guint64 at;
    guint disk;
} Seen;

static bool head(const XvaInfo *info, void *user, GError **error)
{
    ((Seen *) user)->info = info;
    return true;
}

static bool chunk(guint disk, guint64 offset, const void *data, gsize n, void *user, GError **error)
{
    Seen *seen = user;
    const XvaDisk *about = xva_info_disk(seen->info, disk);
    g_assert_true(offset <= about->size_bytes && n <= about->size_bytes - offset);
    g_assert_true(disk != seen->disk || offset >= seen->at);
    seen->disk = disk;
    seen->at = offset + n;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    Seen seen = { .disk = G_MAXUINT };
    XvaStreamOps ops = { head, chunk, &seen };
    g_autoptr(XvaStream) stream = xva_stream_new(&ops);
    size_t piece = 1 + data[0] * 97;
    for (size_t at = 1; at < size; at += piece)
        if (!xva_stream_feed(stream, data + at, MIN(piece, size - at), NULL))
            return 0;
    xva_stream_finish(stream, NULL);
    return 0;
}
