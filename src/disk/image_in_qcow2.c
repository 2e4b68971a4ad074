/* qcow2 read in the order of its disk: what comes in the file before its turn waits (QEMU's qcow2
 * specification, docs/interop/qcow2.txt; all integers are big-endian). */
#include "disk/image_in_format.h"
#include "disk/image_spool.h"

#include "base/error.h"
#include "base/mutant.h"
#include "disk/vhd_format.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum {
    MAX_L1_BYTES = 32 << 20,
    HEADER_BYTES = 112,
    MIN_CLUSTER_BITS = 9,
    MAX_CLUSTER_BITS = 21,
    SECTOR_BYTES = 512,
    MAX_ZSTD_WINDOW_BITS = 23,
    PLAIN_DEFLATE = -15, /* no header; the largest window */
};
#define PLACE_BITS     0x00fffffffffffe00ull
#define COMPRESSED_BIT (1ull << 62)
#define ZERO_BIT       1ull
#define ZSTD_FEATURE   8ull
/* dirty, corrupt: of the reference counts, which nobody reads here */
#define KNOWN_FEATURES (3ull | ZSTD_FEATURE)
/* What may wait of one image. */
#define MAX_SPOOL_BYTES (G_GUINT64_CONSTANT(1) << 42)

typedef struct {
    guint bits;
    guint32 n_l1;
    guint8 *l1;
    guint8 *l2; /* of the disk from l2_at on */
    guint64 l2_at;
    bool has_l2;
    guint64 cluster; /* the next, of the disk */
    guint8 *packed;  /* room for twice a cluster; NULL: none was compressed yet */
    z_stream *zlib;
    ZSTD_DCtx *zstd; /* NULL: the header says zlib */
    ImageSpool *spool;
} Qcow2;

static bool corrupt(GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "the qcow2 image is damaged: %s", what);
    return false;
}

static bool unsupported(GError **error, const char *what)
{
    err_set(error, ERR_UNSUPPORTED,
            "the qcow2 image %s: write it anew with `qemu-img convert -O qcow2`", what);
    return false;
}

static bool ended(GError **error)
{
    err_set(error, ERR_TRUNCATED, "the qcow2 image ends before what its tables name");
    return false;
}

/* --- The head --- */

static bool check_version(const guint8 *head, GError **error)
{
    guint32 version = vhd_get32(head + 4);
    guint64 features = version == 3 ? vhd_get64(head + 72) : 0;
    if (memcmp(head, "QFI\xfb", 4) != 0)
        return corrupt(error, "it does not begin as one");
    if (version != 2 && version != 3)
        return unsupported(error, "is of another version than 2 and 3");
    if (features & ~KNOWN_FEATURES)
        return unsupported(error, "uses features that are not known here");
    if (features & ZSTD_FEATURE && (vhd_get32(head + 100) <= 104 || head[104] != 1))
        return unsupported(error, "is compressed in a way that is not known here");
    return true;
}

static bool check_head(const guint8 *head, GError **error)
{
    guint32 bits = vhd_get32(head + 20);
    if (!check_version(head, error))
        return false;
    if (vhd_get64(head + 8))
        return unsupported(error, "needs another image below it");
    if (vhd_get32(head + 32))
        return unsupported(error, "is encrypted");
    if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS)
        return corrupt(error, "its clusters are of a strange size");
    return true;
}

static bool take_all(Qcow2 *image, guint64 at, void *data, gsize n, GError **error)
{
    gsize got = n;
    return image_spool_read(image->spool, at, data, &got, true, error) &&
           (got == n || ended(error));
}

static bool read_l1(ImageIn *in, guint64 at, GError **error)
{
    Qcow2 *image = in->state;
    gsize n = (gsize) image->n_l1 * 8;
    guint64 covered = (guint64) 1 << (2 * image->bits - 3); /* by one entry of L1 */
    if (image->n_l1 > MAX_L1_BYTES / 8 ||
        in->size_bytes / covered + (in->size_bytes % covered != 0) > image->n_l1)
        return corrupt(error, "its first table is of a strange size");
    image->l1 = g_malloc0(n);
    return !n || take_all(image, at, image->l1, n, error);
}

static bool qcow2_open(ImageIn *in, GError **error)
{
    guint8 head[HEADER_BYTES] = { 0 };
    Qcow2 *image = in->state = g_new0(Qcow2, 1);
    image->spool = image_spool_new(in->source, in->user, in->folder, MAX_SPOOL_BYTES);
    if (!take_all(image, 0, head, sizeof head, error) || !check_head(head, error))
        return false;
    image->bits = vhd_get32(head + 20);
    image->n_l1 = vhd_get32(head + 36);
    in->size_bytes = vhd_get64(head + 24);
    in->cluster_bytes = (gsize) 1 << image->bits;
    image->l2 = g_malloc(in->cluster_bytes);
    if (vhd_get32(head + 4) == 3 && vhd_get64(head + 72) & ZSTD_FEATURE) {
        image->zstd = ZSTD_createDCtx();
        ZSTD_DCtx_setParameter(image->zstd, ZSTD_d_windowLogMax, MAX_ZSTD_WINDOW_BITS);
    }
    return read_l1(in, vhd_get64(head + 40), error);
}

/* --- Clusters --- */

static bool read_plain(ImageIn *in, guint64 at, guint64 offset, GError **error)
{
    const Qcow2 *image = in->state;
    gsize n = in->cluster_bytes;
    if (!image_spool_read(image->spool, at, in->cluster, &n, true, error))
        return false;
    if (n < MIN(in->cluster_bytes, in->size_bytes - offset)) /* the last one may be short */
        return ended(error);
    memset(in->cluster + n, 0, in->cluster_bytes - n);
    return true;
}

static bool inflate_cluster(Qcow2 *image, guint8 *out, gsize n_out, gsize n)
{
    if (!image->zlib) {
        image->zlib = g_new0(z_stream, 1);
        if (inflateInit2(image->zlib, PLAIN_DEFLATE) != Z_OK) {
            g_clear_pointer(&image->zlib, g_free);
            return false;
        }
    }
    inflateReset(image->zlib);
    image->zlib->next_in = image->packed;
    image->zlib->avail_in = (uInt) n;
    image->zlib->next_out = out;
    image->zlib->avail_out = (uInt) n_out;
    int how = inflate(image->zlib, Z_FINISH);
    return (how == Z_STREAM_END || how == Z_BUF_ERROR) && !image->zlib->avail_out;
}

static bool expand_zstd(const Qcow2 *image, guint8 *out, gsize n_out, gsize n)
{
    ZSTD_inBuffer from = { image->packed, n, 0 };
    ZSTD_outBuffer to = { out, n_out, 0 };
    ZSTD_DCtx_reset(image->zstd, ZSTD_reset_session_only);
    while (to.pos < n_out) {
        gsize before = to.pos + from.pos, how = ZSTD_decompressStream(image->zstd, &to, &from);
        if (ZSTD_isError(how) || to.pos + from.pos == before)
            return false;
    }
    return true;
}

/* Its place counts bytes, its length sectors, of which the last may be the next cluster's first. */
static bool read_packed(ImageIn *in, guint64 entry, GError **error)
{
    Qcow2 *image = in->state;
    guint shift = 62 - (image->bits - 8);
    guint64 at = entry & (((guint64) 1 << shift) - 1);
    guint64 n_sectors = (entry & (COMPRESSED_BIT - 1)) >> shift;
    gsize n = (gsize) ((n_sectors + 1) * SECTOR_BYTES - at % SECTOR_BYTES);
    const gsize want = n;
    bool once = MUTANT(qcow2_sector_lost); /* mutant: disk_image_in */
    if (!image->packed)
        image->packed = g_malloc(2 * in->cluster_bytes);
    if (!image_spool_read(image->spool, at, image->packed, &n, once, error))
        return false;
    bool ok = image->zstd ? expand_zstd(image, in->cluster, in->cluster_bytes, n)
                          : inflate_cluster(image, in->cluster, in->cluster_bytes, n);
    if (!ok && n < want) /* the last one of all may be short */
        return ended(error);
    return ok || corrupt(error, "a cluster cannot be decompressed");
}

/* --- The order of the disk --- */

/* The table for that place; *none: there are only zeros. */
static bool find_l2(Qcow2 *image, guint64 l1_index, bool *none, GError **error)
{
    guint64 at = vhd_get64(image->l1 + 8 * l1_index) & PLACE_BITS;
    *none = at == 0;
    if (!at || (image->has_l2 && image->l2_at == l1_index))
        return true;
    image->l2_at = l1_index;
    image->has_l2 = true;
    return take_all(image, at, image->l2, (gsize) 1 << image->bits, error);
}

static bool read_entry(ImageIn *in, guint64 entry, guint64 offset, GError **error)
{
    in->place = offset;
    in->place_bytes = in->cluster_bytes;
    return entry & COMPRESSED_BIT ? read_packed(in, entry, error)
                                  : read_plain(in, entry & PLACE_BITS, offset, error);
}

static bool qcow2_next(ImageIn *in, GError **error)
{
    Qcow2 *image = in->state;
    guint64 n_entries = (guint64) 1 << (image->bits - 3);
    while (image->cluster << image->bits < in->size_bytes) {
        guint64 l1_index = image->cluster / n_entries;
        bool none;
        if (!find_l2(image, l1_index, &none, error))
            return false;
        if (none) {
            image->cluster = (l1_index + 1) * n_entries;
            continue;
        }
        guint64 entry = vhd_get64(image->l2 + 8 * (image->cluster % n_entries));
        guint64 offset = image->cluster++ << image->bits;
        if (entry & COMPRESSED_BIT || (entry & PLACE_BITS && !(entry & ZERO_BIT)))
            return read_entry(in, entry, offset, error);
    }
    in->ended = true;
    return true;
}

static void qcow2_close(ImageIn *in)
{
    Qcow2 *image = in->state;
    if (!image)
        return;
    if (image->zlib)
        inflateEnd(image->zlib);
    g_free(image->zlib);
    ZSTD_freeDCtx(image->zstd);
    image_spool_free(image->spool);
    g_free(image->l1);
    g_free(image->l2);
    g_free(image->packed);
    g_free(image);
}

const struct image_in_format image_in_qcow2 = { "qcow2", qcow2_open, qcow2_next, qcow2_close };
