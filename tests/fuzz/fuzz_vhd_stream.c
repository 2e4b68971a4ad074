/* A VHD stream from anywhere, in pieces whose size the first byte chooses. */
#include "disk/disk.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    *(guint32 *) user = info->n_blocks;
    return true;
}

static bool block(guint32 number, const void *data, void *user, GError **error)
{
    g_assert_cmpuint(number, <, *(guint32 *) user);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    guint32 n_blocks = 0;
    VhdStreamOps ops = { head, block, &n_blocks };
    g_autoptr(VhdStream) stream = vhd_stream_new(&ops);
    size_t piece = 1 + data[0] * 97;
    for (size_t at = 1; at < size; at += piece)
        if (!vhd_stream_feed(stream, data + at, MIN(piece, size - at), NULL))
            return 0;
    vhd_stream_finish(stream, NULL);
    return 0;
}
