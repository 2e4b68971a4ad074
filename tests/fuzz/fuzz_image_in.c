/* An image that arrives: bytes of its disk, or a word on what is wrong; never more than it holds.
 * The first byte chooses the format. */
#include "disk/image_in.h"

#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} Bytes;

static gssize take(void *data, gsize n, void *user, GError **error)
{
    Bytes *bytes = user;
    n = MIN(n, bytes->left);
    memcpy(data, bytes->at, n);
    bytes->at += n;
    bytes->left -= n;
    return (gssize) n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = { "raw", "vmdk", "qcow2" };
    enum { MAX_READS = 200 };
    g_autoptr(GError) error = NULL;
    g_autofree char *out = g_malloc(65536);
    if (!size)
        return 0;
    Bytes bytes = { data + 1, size - 1 };
    g_autoptr(ImageIn) in = image_in_new(formats[data[0] % 3], (gint64) size - 1, take, &bytes,
                                         g_get_tmp_dir(), &error);
    g_assert_true(in ? !error : error != NULL);
    for (guint i = 0; in && i < MAX_READS && image_in_read(in, out, 65536, &error) > 0; i++)
        ;
    return 0;
}
