/* A tar with the description of a machine in it, then the description alone: what can be read of
 * it, or a word on what is wrong. */
#include "disk/ovf.h"
#include "disk/tar.h"

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

static void parse(const char *text, gsize n)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Ovf) ovf = ovf_parse(text, n, &error);
    g_assert_true(ovf ? !error : error != NULL);
    if (!ovf)
        return;
    g_autofree guint64 *lengths = g_new0(guint64, ovf->disks->len + 1);
    g_autofree char *again = ovf_write(ovf, lengths);
    g_autoptr(Ovf) second = ovf_parse(again, strlen(again), NULL);
    g_assert_true(!g_utf8_validate(again, -1, NULL) || second != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    Bytes bytes = { data, size };
    g_autoptr(TarIn) tar = tar_in_new(take, &bytes);
    const char *name;
    guint64 n;
    while (tar_in_next(tar, &name, &n, &error) && name) {
        char piece[1024];
        gssize got = tar_in_read(piece, sizeof piece, tar, &error);
        if (got > 0)
            parse(piece, (gsize) got);
        g_clear_error(&error);
    }
    parse((const char *) data, size);
    return 0;
}
