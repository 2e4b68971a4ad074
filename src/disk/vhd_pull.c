/* A VHD that arrives as a disk to be read: what the table names is there, and each block can be had
 * once, in the order in which blocks come. */
#include "disk/disk.h"

#include "base/error.h"

#include <string.h>

enum { PIECE_BYTES = 256 << 10 };

typedef struct {
    Disk disk;
    VhdStream *stream;
    DiskSource source;
    void *user;
    guint8 *present; /* a bit for each block */
    guint8 *into;    /* of the block that is wanted */
    guint32 wanted;
    bool begun, came;
    guint8 piece[PIECE_BYTES];
} Pull;

static bool on_head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    Pull *pull = user;
    guint32 n;
    pull->disk.info = *info;
    pull->present = g_malloc0(info->n_blocks / 8 + 1);
    const guint32 *blocks = vhd_stream_blocks(pull->stream, &n);
    for (guint32 i = 0; i < n; i++)
        pull->present[blocks[i] / 8] |= (guint8) (1 << blocks[i] % 8);
    pull->begun = true;
    return true;
}

static bool on_block(guint32 block, const void *data, void *user, GError **error)
{
    Pull *pull = user;
    if (pull->into && block == pull->wanted) {
        memcpy(pull->into, data, DISK_BLOCK_BYTES);
        pull->came = true;
    } else if (pull->into && block > pull->wanted) {
        err_set(error, ERR_UNSUPPORTED, "the blocks of the VHD do not come in order");
        return false;
    }
    return true;
}

/* Some bytes; 0 at the end, -1 with an error. */
static gssize feed(Pull *pull, GError **error)
{
    gssize n = pull->source(pull->piece, sizeof pull->piece, pull->user, error);
    if (n > 0 && !vhd_stream_feed(pull->stream, pull->piece, (gsize) n, error))
        return -1;
    return n;
}

static bool feed_until(Pull *pull, const bool *done, GError **error)
{
    while (!*done) {
        gssize n = feed(pull, error);
        if (n == 0)
            err_set(error, ERR_TRUNCATED, "the VHD ends too early");
        if (n <= 0)
            return false;
    }
    return true;
}

static bool has(Disk *disk, guint32 block)
{
    return ((Pull *) disk)->present[block / 8] >> block % 8 & 1;
}

static bool read_block(Disk *disk, guint32 block, void *buffer, GError **error)
{
    Pull *pull = (Pull *) disk;
    pull->into = buffer;
    pull->wanted = block;
    pull->came = false;
    bool ok = feed_until(pull, &pull->came, error);
    pull->into = NULL;
    return ok;
}

static void pull_close(Disk *disk)
{
    Pull *pull = (Pull *) disk;
    vhd_stream_free(pull->stream);
    g_free(pull->present);
    g_free(pull);
}

Disk *vhd_pull_open(DiskSource source, void *user, GError **error)
{
    static const struct disk_ops ops = { .has = has,
                                         .read_block = read_block,
                                         .close = pull_close };
    Pull *pull = g_new0(Pull, 1);
    const VhdStreamOps on = { .head = on_head, .block = on_block, .user = pull };
    pull->disk.ops = &ops;
    pull->stream = vhd_stream_new(&on);
    pull->source = source;
    pull->user = user;
    if (feed_until(pull, &pull->begun, error))
        return &pull->disk;
    pull_close(&pull->disk);
    return NULL;
}

bool vhd_pull_finish(Disk *disk, GError **error)
{
    Pull *pull = (Pull *) disk;
    gssize n;
    while ((n = feed(pull, error)) > 0)
        ;
    return n == 0 && vhd_stream_finish(pull->stream, error);
}
