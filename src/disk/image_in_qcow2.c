/* qcow2 read from its beginning to its end: tables name what comes behind them. What they name is
 * kept by its place in the file, as runs, since clusters mostly follow each other. */
#include "disk/image_in_format.h"

#include "base/error.h"
#include "disk/vhd_format.h"

#include <string.h>

enum {
    MAX_RUNS = 1 << 18,
    MAX_L1_BYTES = 32 << 20,
    HEADER_BYTES = 104,
    MIN_CLUSTER_BITS = 9,
    MAX_CLUSTER_BITS = 21,
};
#define PLACE_BITS     0x00fffffffffffe00ull
#define COMPRESSED_BIT (1ull << 62)
#define ZERO_BIT       1ull
#define KNOWN_FEATURES 3ull /* dirty, corrupt: of the reference counts, which nobody reads here */

typedef enum { L1, L2, DATA } Kind;

/* Clusters that follow each other in the file, and on the disk. */
typedef struct {
    guint64 at; /* in the file */
    Kind kind;
    guint64 offset; /* on the disk */
    guint64 n;
} Run;

typedef struct {
    guint bits;
    guint32 n_l1;
    GTree *runs; /* by place in the file */
    Run *last;   /* of data, to be made longer */
} Qcow2;

static int by_place(const void *a, const void *b, void *user)
{
    const guint64 *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

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

static bool add_run(ImageIn *in, Run run, GError **error)
{
    Qcow2 *image = in->state;
    if (run.at < in->position)
        return unsupported(error, "has data before the table that names it");
    if (g_tree_nnodes(image->runs) >= MAX_RUNS)
        return unsupported(error, "is in too many pieces");
    if (g_tree_lookup(image->runs, &run.at))
        return corrupt(error, "two entries name the same place");
    Run *kept = g_memdup2(&run, sizeof run);
    g_tree_insert(image->runs, &kept->at, kept);
    image->last = run.kind == DATA ? kept : NULL;
    return true;
}

static bool add_data(ImageIn *in, guint64 at, guint64 offset, GError **error)
{
    Qcow2 *image = in->state;
    Run *last = image->last;
    guint64 size = 1ull << image->bits;
    if (last && last->at + last->n * size == at && last->offset + last->n * size == offset) {
        last->n++;
        return true;
    }
    return add_run(in, (Run){ at, DATA, offset, 1 }, error);
}

/* --- The head --- */

static bool check_head(const guint8 *head, GError **error)
{
    guint32 version = vhd_get32(head + 4), bits = vhd_get32(head + 20);
    if (memcmp(head, "QFI\xfb", 4) != 0)
        return corrupt(error, "it does not begin as one");
    if (version != 2 && version != 3)
        return unsupported(error, "is of another version than 2 and 3");
    if (vhd_get64(head + 8))
        return unsupported(error, "needs another image below it");
    if (vhd_get32(head + 32))
        return unsupported(error, "is encrypted");
    if (version == 3 && vhd_get64(head + 72) & ~KNOWN_FEATURES)
        return unsupported(error, "uses features that are not known here");
    if (bits < MIN_CLUSTER_BITS || bits > MAX_CLUSTER_BITS)
        return corrupt(error, "its clusters are of a strange size");
    return true;
}

static bool qcow2_open(ImageIn *in, GError **error)
{
    guint8 head[HEADER_BYTES] = { 0 };
    Qcow2 *image = in->state = g_new0(Qcow2, 1);
    image->runs = g_tree_new_full(by_place, NULL, NULL, g_free);
    if (!image_in_take(in, head, sizeof head, error) || !check_head(head, error))
        return false;
    image->bits = vhd_get32(head + 20);
    image->n_l1 = vhd_get32(head + 36);
    in->size_bytes = vhd_get64(head + 24);
    in->cluster_bytes = (gsize) 1 << image->bits;
    guint64 covered = (guint64) 1 << (2 * image->bits - 3); /* by one entry of L1 */
    if (image->n_l1 > MAX_L1_BYTES / 8 ||
        in->size_bytes / covered + (in->size_bytes % covered != 0) > image->n_l1)
        return corrupt(error, "its first table is of a strange size");
    return !image->n_l1 || add_run(in, (Run){ vhd_get64(head + 40), L1, 0, 1 }, error);
}

/* --- Tables --- */

static bool read_l1(ImageIn *in, GError **error)
{
    const Qcow2 *image = in->state;
    guint64 covered = (guint64) 1 << (2 * image->bits - 3);
    g_autofree guint8 *table = g_malloc((gsize) image->n_l1 * 8);
    if (!image_in_take(in, table, (gsize) image->n_l1 * 8, error))
        return false;
    for (guint32 i = 0; i < image->n_l1; i++) {
        guint64 at = vhd_get64(table + 8 * (gsize) i) & PLACE_BITS;
        if (at && !add_run(in, (Run){ at, L2, i * covered, 1 }, error))
            return false;
    }
    return true;
}

static bool read_l2(ImageIn *in, guint64 offset, GError **error)
{
    const Qcow2 *image = in->state;
    gsize size = (gsize) 1 << image->bits;
    g_autofree guint8 *table = g_malloc(size);
    if (!image_in_take(in, table, size, error))
        return false;
    for (gsize i = 0; i < size / 8; i++) {
        guint64 entry = vhd_get64(table + 8 * i), at = entry & PLACE_BITS;
        if (entry & COMPRESSED_BIT)
            return unsupported(error, "is compressed");
        if (at && !(entry & ZERO_BIT) && !add_data(in, at, offset + (i << image->bits), error))
            return false;
    }
    return true;
}

/* --- Data --- */

static bool read_data(ImageIn *in, Run *run, GError **error)
{
    in->place = run->offset;
    in->place_bytes = in->cluster_bytes;
    gsize n = in->cluster_bytes;
    if (!image_in_take_some(in, in->cluster, &n, error))
        return false;
    if (n < MIN(in->cluster_bytes, in->size_bytes - MIN(run->offset, in->size_bytes))) {
        err_set(error, ERR_TRUNCATED, "the qcow2 image ends after %" G_GUINT64_FORMAT " bytes",
                in->position);
        return false;
    }
    memset(in->cluster + n, 0, in->cluster_bytes - n);
    return true;
}

/* Takes the first thing in the file off the list; one cluster of it when it is data. */
static Run take_first(Qcow2 *image)
{
    GTreeNode *node = g_tree_node_first(image->runs);
    Run *run = g_tree_node_value(node), first = *run;
    guint64 size = 1ull << image->bits;
    if (image->last == run)
        image->last = NULL;
    g_tree_remove(image->runs, &first.at);
    if (first.kind == DATA && first.n > 1) {
        Run *rest = g_new(Run, 1);
        *rest = (Run){ first.at + size, DATA, first.offset + size, first.n - 1 };
        g_tree_insert(image->runs, &rest->at, rest);
    }
    return first;
}

static bool qcow2_next(ImageIn *in, GError **error)
{
    Qcow2 *image = in->state;
    while (g_tree_nnodes(image->runs)) {
        Run run = take_first(image);
        if (run.at < in->position)
            return corrupt(error, "two entries name the same place");
        if (!image_in_skip(in, run.at - in->position, error))
            return false;
        if (run.kind == DATA)
            return read_data(in, &run, error);
        if (!(run.kind == L1 ? read_l1(in, error) : read_l2(in, run.offset, error)))
            return false;
    }
    in->ended = true;
    return true;
}

static void qcow2_close(ImageIn *in)
{
    Qcow2 *image = in->state;
    if (image)
        g_tree_unref(image->runs);
    g_free(image);
}

const struct image_in_format image_in_qcow2 = { "qcow2", qcow2_open, qcow2_next, qcow2_close };
