/* A qcow2 image, version 3, clusters of 64 KiB, as a stream: all of its tables come first, which is
 * possible because the blocks that the disk has say how many clusters there will be. Source: QEMU's
 * docs/interop/qcow2.txt. All integers are big-endian.
 *
 *   header | L1 table | refcount table | refcount blocks | L2 tables | data, in the disk's order */
#include "disk/image_format.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "disk/vhd_format.h"

#include <string.h>

enum {
    CLUSTER_BITS = 16,
    CLUSTER_BYTES = 1 << CLUSTER_BITS,
    ENTRIES = CLUSTER_BYTES / 8,   /* 64-bit, of a table, in a cluster */
    REFCOUNTS = CLUSTER_BYTES / 2, /* 16-bit, in a refcount block */
    BLOCK_CLUSTERS = DISK_BLOCK_BYTES / CLUSTER_BYTES,
    L2_BLOCKS = ENTRIES / BLOCK_CLUSTERS, /* blocks of the disk that an L2 table covers */
    SECTOR_BYTES = 512,
    HEADER_BYTES = 104,
};
#define COPIED (1ull << 63) /* this reference is the only one */

typedef enum { HEADER, L1, REFCOUNT_TABLE, REFCOUNT_BLOCKS, L2, DATA, N_PARTS } Part;

typedef struct {
    Image base;
    guint64 n_disk_clusters;
    guint32 n_l1;                /* entries */
    guint64 n_clusters[N_PARTS]; /* of each part */
    guint64 start[N_PARTS];      /* first cluster of each */
    Part part;
    guint64 at;         /* cluster in the part */
    guint32 l1_index;   /* of the L2 tables made so far */
    guint64 n_l2_named; /* in the L1 entries made so far */
    guint64 n_mapped;   /* clusters that the L2 tables made so far name */
    guint32 block;      /* the next to send */
    guint8 *buffer;
} Qcow2;

static guint64 ceil_div(guint64 a, guint64 b)
{
    return a / b + (a % b != 0);
}

/* How many clusters a block of the disk takes: the last one may be short. */
static guint32 clusters_of(const Qcow2 *image, guint32 block)
{
    guint64 first = block * (guint64) BLOCK_CLUSTERS;
    return (guint32) MIN(image->n_disk_clusters - first, BLOCK_CLUSTERS);
}

static bool has_l2(const Disk *disk, guint32 l1_index)
{
    guint32 first = l1_index * L2_BLOCKS;
    for (guint32 i = 0; i < L2_BLOCKS; i++)
        if (disk_has((Disk *) disk, first + i))
            return true;
    return false;
}

static void count(Qcow2 *image, Disk *disk)
{
    guint64 *n = image->n_clusters;
    image->n_l1 = (guint32) ceil_div(image->n_disk_clusters, ENTRIES);
    n[HEADER] = 1;
    n[L1] = MAX(ceil_div(image->n_l1, ENTRIES), 1);
    for (guint32 i = 0; i < image->n_l1; i++)
        n[L2] += has_l2(disk, i);
    for (guint32 block = 0; block < disk->info.n_blocks; block++)
        if (disk_has(disk, block))
            n[DATA] += clusters_of(image, block);
    guint64 others = n[HEADER] + n[L1] + n[L2] + n[DATA], before;
    n[REFCOUNT_TABLE] = n[REFCOUNT_BLOCKS] = 1;
    do { /* they count themselves */
        before = n[REFCOUNT_TABLE] + n[REFCOUNT_BLOCKS];
        n[REFCOUNT_BLOCKS] = ceil_div(others + before, REFCOUNTS);
        n[REFCOUNT_TABLE] = ceil_div(n[REFCOUNT_BLOCKS], ENTRIES);
    } while (n[REFCOUNT_TABLE] + n[REFCOUNT_BLOCKS] != before);
}

static guint64 place(Qcow2 *image)
{
    guint64 at = 0;
    for (Part part = HEADER; part < N_PARTS; part++) {
        image->start[part] = at;
        at += image->n_clusters[part];
    }
    return at;
}

static Image *open_image(Disk *disk, GError **error)
{
    Qcow2 *image = g_new0(Qcow2, 1);
    image->base.disk = disk;
    image->n_disk_clusters = ceil_div(disk->info.size_bytes, CLUSTER_BYTES);
    count(image, disk);
    image->base.total_bytes = place(image) * CLUSTER_BYTES;
    image->buffer = block_buffer_take(DISK_BLOCK_BYTES);
    return &image->base;
}

static guint64 offset_of(const Qcow2 *image, Part part, guint64 cluster)
{
    return (image->start[part] + cluster) * CLUSTER_BYTES;
}

static void fill_header(Qcow2 *image, guint8 *out)
{
    guint64 size_bytes = ceil_div(image->base.disk->info.size_bytes, SECTOR_BYTES) * SECTOR_BYTES;
    memcpy(out, "QFI\xfb", 4);
    vhd_put32(out + 4, 3); /* version; 8 to 19: no backing file */
    vhd_put32(out + 20, CLUSTER_BITS);
    vhd_put64(out + 24, size_bytes); /* 32: no encryption */
    vhd_put32(out + 36, image->n_l1);
    vhd_put64(out + 40, offset_of(image, L1, 0));
    vhd_put64(out + 48, offset_of(image, REFCOUNT_TABLE, 0));
    vhd_put32(out + 56, (guint32) image->n_clusters[REFCOUNT_TABLE]); /* 60 to 95: no snapshots,
                                                                         no features */
    vhd_put32(out + 96, 4);                                           /* refcounts of 1 << 4 bits */
    vhd_put32(out + 100, HEADER_BYTES);
}

static void fill_l1(Qcow2 *image, guint8 *out)
{
    guint64 first = image->at * ENTRIES;
    for (guint64 i = 0; i < ENTRIES && first + i < image->n_l1; i++)
        if (has_l2(image->base.disk, (guint32) (first + i)))
            vhd_put64(out + 8 * i, COPIED | offset_of(image, L2, image->n_l2_named++));
}

static void fill_refcount_table(Qcow2 *image, guint8 *out)
{
    guint64 first = image->at * ENTRIES;
    for (guint64 i = 0; i < ENTRIES && first + i < image->n_clusters[REFCOUNT_BLOCKS]; i++)
        vhd_put64(out + 8 * i, offset_of(image, REFCOUNT_BLOCKS, first + i));
}

static void fill_refcounts(Qcow2 *image, guint8 *out)
{
    guint64 first = image->at * REFCOUNTS, end = image->base.total_bytes / CLUSTER_BYTES;
    for (guint64 i = 0; i < REFCOUNTS && first + i < end; i++)
        vhd_put16(out + 2 * i, 1);
}

static void fill_l2(Qcow2 *image, guint8 *out)
{
    while (!has_l2(image->base.disk, image->l1_index))
        image->l1_index++;
    guint32 first = image->l1_index++ * L2_BLOCKS;
    for (guint32 i = 0; i < L2_BLOCKS; i++) {
        guint32 n = disk_has(image->base.disk, first + i) ? clusters_of(image, first + i) : 0;
        for (guint32 k = 0; k < n; k++)
            vhd_put64(out + 8 * (i * (gsize) BLOCK_CLUSTERS + k),
                      COPIED | offset_of(image, DATA, image->n_mapped++));
    }
}

static bool next_data(Qcow2 *image, ImagePiece *piece, GError **error)
{
    Disk *disk = image->base.disk;
    while (!disk_has(disk, image->block))
        image->block++;
    piece->n_bytes = clusters_of(image, image->block) * (guint64) CLUSTER_BYTES;
    if (MUTANT(qcow2_last_block)) /* mutant: disk_image */
        piece->n_bytes = DISK_BLOCK_BYTES;
    return disk_read_block(disk, image->block++, image->buffer, error);
}

static bool next_piece(Image *base, ImagePiece *piece, GError **error)
{
    static void (*const fillers[])(Qcow2 *, guint8 *) = {
        [HEADER] = fill_header,
        [L1] = fill_l1,
        [REFCOUNT_TABLE] = fill_refcount_table,
        [REFCOUNT_BLOCKS] = fill_refcounts,
        [L2] = fill_l2,
    };
    Qcow2 *image = (Qcow2 *) base;
    while (image->part < DATA && image->at == image->n_clusters[image->part]) {
        image->part++;
        image->at = 0;
    }
    piece->data = image->buffer;
    if (image->part == DATA)
        return next_data(image, piece, error);
    piece->n_bytes = CLUSTER_BYTES;
    memset(image->buffer, 0, CLUSTER_BYTES);
    fillers[image->part](image, image->buffer);
    image->at++;
    return true;
}

static void close_image(Image *base)
{
    block_buffer_give(((Qcow2 *) base)->buffer);
    g_free(base);
}

const struct image_format image_qcow2 = { "qcow2", open_image, next_piece, close_image };
