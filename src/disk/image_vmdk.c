/* A stream-optimized VMDK, which is what an OVA holds: header, text, grains of 64 KiB behind
 * markers, the tables at the end of what they name, the directory at the end of all.
 *
 * Grains are "compressed" by deflate's way of storing: the length of the image is known before its
 * first byte, as a tar wants it, and nothing has to be read twice. */
#include "disk/image_format.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "disk/vmdk.h"

#include <string.h>
#include <zlib.h>

enum {
    GRAIN_BYTES = 64 << 10,
    GRAIN_SECTORS = GRAIN_BYTES / VMDK_SECTOR_BYTES,
    BLOCK_GRAINS = DISK_BLOCK_BYTES / GRAIN_BYTES,
    TABLE_GRAINS = 512, /* entries of a grain table */
    TABLE_BYTES = TABLE_GRAINS * 4,
    TABLE_BLOCKS = TABLE_GRAINS / BLOCK_GRAINS,
    HEAD_SECTORS = 128,
    TEXT_SECTORS = 20,
    STORED_MAX = 65535, /* of one stored block of deflate */
    STORED_BYTES = 2 + 5 + STORED_MAX + 5 + (GRAIN_BYTES - STORED_MAX) + 4,
    /* Of a grain in the file. */
    PACKED_BYTES = (VMDK_MARKER_BYTES + STORED_BYTES + VMDK_SECTOR_BYTES - 1) / VMDK_SECTOR_BYTES *
                   VMDK_SECTOR_BYTES,
};

typedef enum { HEAD, GRAINS, FOOTER } Part;

typedef struct {
    Image base;
    guint64 n_grains, directory_sector;
    guint32 n_tables, table, block, grain; /* the next of each */
    Part part;
    guint8 *data; /* a block of the disk */
    guint8 *out;
    guint32 *places;    /* of the grains of the present table, sectors, as they are written */
    guint32 *directory; /* of the tables, the same */
} Vmdk;

static void put32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, 4);
}

static void put64(guint8 *at, guint64 value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, 8);
}

/* --- The layout --- */

static guint32 grains_of(const Vmdk *vmdk, guint32 block)
{
    guint64 left = vmdk->n_grains - (guint64) block * BLOCK_GRAINS;
    return (guint32) MIN(left, BLOCK_GRAINS);
}

static bool table_has(Disk *disk, guint32 table)
{
    for (guint32 i = 0; i < TABLE_BLOCKS; i++) {
        guint32 block = table * TABLE_BLOCKS + i;
        if (block < disk->info.n_blocks && disk_has(disk, block))
            return true;
    }
    return false;
}

static guint64 directory_bytes(const Vmdk *vmdk)
{
    return ((guint64) vmdk->n_tables * 4 + VMDK_SECTOR_BYTES - 1) / VMDK_SECTOR_BYTES *
           VMDK_SECTOR_BYTES;
}

static guint64 count_bytes(const Vmdk *vmdk, Disk *disk)
{
    guint64 n = HEAD_SECTORS * VMDK_SECTOR_BYTES;
    for (guint32 block = 0; block < disk->info.n_blocks; block++)
        if (disk_has(disk, block))
            n += grains_of(vmdk, block) * (guint64) PACKED_BYTES;
    for (guint32 table = 0; table < vmdk->n_tables; table++)
        if (table_has(disk, table))
            n += VMDK_SECTOR_BYTES + TABLE_BYTES;
    return n + VMDK_SECTOR_BYTES + directory_bytes(vmdk) + 3 * VMDK_SECTOR_BYTES;
}

static Image *open_image(Disk *disk, GError **error)
{
    Vmdk *vmdk = g_new0(Vmdk, 1);
    vmdk->base.disk = disk;
    vmdk->n_grains = (disk->info.size_bytes + GRAIN_BYTES - 1) / GRAIN_BYTES;
    vmdk->n_tables = (guint32) ((vmdk->n_grains + TABLE_GRAINS - 1) / TABLE_GRAINS);
    vmdk->base.total_bytes = count_bytes(vmdk, disk);
    if (vmdk->base.total_bytes / VMDK_SECTOR_BYTES > G_MAXUINT32) {
        err_set(error, ERR_LIMIT,
                "the data of the disk is too much for a VMDK, which ends at 2 TiB");
        g_free(vmdk);
        return NULL;
    }
    vmdk->data = block_buffer_take(DISK_BLOCK_BYTES);
    vmdk->out = g_malloc(MAX(HEAD_SECTORS * VMDK_SECTOR_BYTES,
                             VMDK_SECTOR_BYTES + MAX(PACKED_BYTES, directory_bytes(vmdk))));
    vmdk->places = g_new0(guint32, TABLE_GRAINS);
    vmdk->directory = g_new0(guint32, vmdk->n_tables);
    return &vmdk->base;
}

static void close_image(Image *base)
{
    Vmdk *vmdk = (Vmdk *) base;
    block_buffer_give(vmdk->data);
    g_free(vmdk->out);
    g_free(vmdk->places);
    g_free(vmdk->directory);
    g_free(vmdk);
}

/* --- Its parts --- */

static guint32 here(const Vmdk *vmdk)
{
    return (guint32) (vmdk->base.made_bytes / VMDK_SECTOR_BYTES);
}

static void fill_header(const Vmdk *vmdk, guint8 *out, guint64 directory)
{
    guint64 sectors = (vmdk->base.disk->info.size_bytes + VMDK_SECTOR_BYTES - 1) /
                      VMDK_SECTOR_BYTES;
    memcpy(out, "KDMV", 4);
    put32(out + 4, 3);
    put32(out + 8, VMDK_NEWLINES | VMDK_COMPRESSED | VMDK_MARKERS);
    put64(out + 12, sectors);
    put64(out + 20, GRAIN_SECTORS);
    put64(out + 28, 1);
    put64(out + 36, TEXT_SECTORS);
    put32(out + 44, TABLE_GRAINS);
    put64(out + 56, directory);
    put64(out + 64, HEAD_SECTORS);
    memcpy(out + 73, "\n \r\n", 4);
    out[77] = 1; /* deflate */
}

static void fill_text(const Vmdk *vmdk, char *out)
{
    guint64 sectors = (vmdk->base.disk->info.size_bytes + VMDK_SECTOR_BYTES - 1) /
                      VMDK_SECTOR_BYTES;
    guint64 cylinders = MIN(sectors / (255 * 63), 65535);
    g_snprintf(out, TEXT_SECTORS * VMDK_SECTOR_BYTES,
               "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
               "createType=\"streamOptimized\"\n\n# Extent description\n"
               "RDONLY %" G_GUINT64_FORMAT " SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\n"
               "ddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"%" G_GUINT64_FORMAT
               "\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\n"
               "ddb.virtualHWVersion = \"8\"\n",
               sectors, cylinders);
}

static guint64 make_head(Vmdk *vmdk)
{
    memset(vmdk->out, 0, HEAD_SECTORS * VMDK_SECTOR_BYTES);
    fill_header(vmdk, vmdk->out, VMDK_AT_END);
    fill_text(vmdk, (char *) vmdk->out + VMDK_SECTOR_BYTES);
    return HEAD_SECTORS * VMDK_SECTOR_BYTES;
}

/* One stored block of deflate; what follows it. */
static guint8 *store(guint8 *at, const guint8 *data, guint16 n, bool last)
{
    guint16 length = GUINT16_TO_LE(n), inverse = GUINT16_TO_LE((guint16) ~n);
    *at++ = last;
    memcpy(at, &length, 2);
    memcpy(at + 2, &inverse, 2);
    memcpy(at + 4, data, n);
    return at + 4 + n;
}

static guint64 make_grain(Vmdk *vmdk)
{
    const guint8 *data = vmdk->data + (gsize) vmdk->grain * GRAIN_BYTES;
    guint64 number = (guint64) vmdk->block * BLOCK_GRAINS + vmdk->grain;
    memset(vmdk->out, 0, PACKED_BYTES);
    put64(vmdk->out, number * GRAIN_SECTORS);
    put32(vmdk->out + 8, STORED_BYTES);
    guint8 *at = vmdk->out + VMDK_MARKER_BYTES;
    *at++ = 0x78; /* a zlib stream, no preset dictionary */
    *at++ = 0x01;
    at = store(at, data, STORED_MAX, false);
    at = store(at, data + STORED_MAX, GRAIN_BYTES - STORED_MAX, true);
    guint32 sum = GUINT32_TO_BE((guint32) adler32(adler32(0, NULL, 0), data, GRAIN_BYTES));
    memcpy(at, &sum, 4);
    put32((guint8 *) &vmdk->places[number % TABLE_GRAINS], here(vmdk));
    return PACKED_BYTES;
}

static guint64 make_marker(Vmdk *vmdk, guint64 n_sectors, guint32 type)
{
    memset(vmdk->out, 0, VMDK_SECTOR_BYTES);
    put64(vmdk->out, n_sectors);
    put32(vmdk->out + VMDK_MARKER_BYTES, type);
    return VMDK_SECTOR_BYTES;
}

static guint64 make_table(Vmdk *vmdk)
{
    put32((guint8 *) &vmdk->directory[vmdk->table],
          here(vmdk) + (MUTANT(vmdk_table_place)
                            ? 0
                            : 1)); /* mutant: system:test_disk_files.Files.test_formats */
    make_marker(vmdk, TABLE_BYTES / VMDK_SECTOR_BYTES, VMDK_GRAIN_TABLE);
    memcpy(vmdk->out + VMDK_SECTOR_BYTES, vmdk->places, TABLE_BYTES);
    memset(vmdk->places, 0, TABLE_BYTES);
    return VMDK_SECTOR_BYTES + TABLE_BYTES;
}

static guint64 make_directory(Vmdk *vmdk)
{
    guint64 n = directory_bytes(vmdk);
    vmdk->directory_sector = here(vmdk) + 1;
    make_marker(vmdk, n / VMDK_SECTOR_BYTES, VMDK_GRAIN_DIRECTORY);
    memset(vmdk->out + VMDK_SECTOR_BYTES, 0, n);
    memcpy(vmdk->out + VMDK_SECTOR_BYTES, vmdk->directory, (gsize) vmdk->n_tables * 4);
    return VMDK_SECTOR_BYTES + n;
}

/* The header again, now that the directory's place is known; and the mark of the end. */
static guint64 make_end(Vmdk *vmdk)
{
    make_marker(vmdk, 1, VMDK_FOOTER);
    memset(vmdk->out + VMDK_SECTOR_BYTES, 0, 2 * VMDK_SECTOR_BYTES);
    fill_header(vmdk, vmdk->out + VMDK_SECTOR_BYTES, vmdk->directory_sector);
    return 3 * VMDK_SECTOR_BYTES;
}

/* --- In order --- */

/* The next block that is there and belongs to the present table; false: the table is complete. */
static bool find_block(Vmdk *vmdk)
{
    const Disk *disk = vmdk->base.disk;
    while (vmdk->block < disk->info.n_blocks && vmdk->block / TABLE_BLOCKS == vmdk->table) {
        if (disk_has(vmdk->base.disk, vmdk->block))
            return true;
        vmdk->block++;
    }
    return false;
}

static guint64 next_grain(Vmdk *vmdk, GError **error)
{
    if (vmdk->grain == 0 && !disk_read_block(vmdk->base.disk, vmdk->block, vmdk->data, error))
        return 0;
    guint64 n = make_grain(vmdk);
    if (++vmdk->grain == grains_of(vmdk, vmdk->block)) {
        vmdk->grain = 0;
        vmdk->block++;
    }
    return n;
}

/* The number of bytes that were made; 0 with an error. */
static guint64 make_next(Vmdk *vmdk, GError **error)
{
    if (vmdk->part == HEAD) {
        vmdk->part = GRAINS;
        return make_head(vmdk);
    }
    for (; vmdk->table < vmdk->n_tables; vmdk->table++) {
        if (find_block(vmdk))
            return next_grain(vmdk, error);
        if (table_has(vmdk->base.disk, vmdk->table)) {
            guint64 n = make_table(vmdk);
            vmdk->table++;
            return n;
        }
    }
    if (vmdk->part == GRAINS) {
        vmdk->part = FOOTER;
        return make_directory(vmdk);
    }
    return make_end(vmdk);
}

static bool next_piece(Image *base, ImagePiece *piece, GError **error)
{
    Vmdk *vmdk = (Vmdk *) base;
    piece->data = vmdk->out;
    piece->n_bytes = make_next(vmdk, error);
    return piece->n_bytes != 0;
}

const struct image_format image_vmdk = { "vmdk", open_image, next_piece, close_image };
