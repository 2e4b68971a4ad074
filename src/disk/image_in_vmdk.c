/* VMDK as in an OVA: a header, then compressed grains, each behind a marker that says where it
 * belongs; the tables between and behind them are passed over. */
#include "disk/image_in_format.h"

#include "base/error.h"
#include "disk/vmdk.h"

#include <string.h>
#include <zlib.h>

/* A header says this much and no more. */
enum { MAX_HEAD_SECTORS = 1 << 21, MAX_TABLE_SECTORS = 1 << 22 };

typedef struct {
    guint64 capacity; /* sectors */
    guint32 grain_sectors;
    bool ends_with_marker; /* its tables are at the end: so is the mark of the end */
    guint8 *packed;
    gsize packed_room;
} Vmdk;

static guint32 get32(const guint8 *at)
{
    guint32 value;
    memcpy(&value, at, 4);
    return GUINT32_FROM_LE(value);
}

static guint64 get64(const guint8 *at)
{
    guint64 value;
    memcpy(&value, at, 8);
    return GUINT64_FROM_LE(value);
}

static bool corrupt(GError **error, const char *what)
{
    err_set(error, ERR_CORRUPT, "the VMDK is damaged: %s", what);
    return false;
}

static bool check_head(const guint8 *head, GError **error)
{
    guint32 wanted = VMDK_COMPRESSED | VMDK_MARKERS, flags = get32(head + 8);
    if (memcmp(head, "KDMV", 4) != 0) {
        err_set(error, ERR_UNSUPPORTED,
                "this is no VMDK of one file: write it anew with `qemu-img convert -O vmdk -o "
                "subformat=streamOptimized`");
        return false;
    }
    if ((flags & wanted) == wanted)
        return true;
    err_set(error, ERR_UNSUPPORTED,
            "this VMDK is not stream-optimized: write it anew with `qemu-img convert -O vmdk -o "
            "subformat=streamOptimized`");
    return false;
}

static bool vmdk_open(ImageIn *in, GError **error)
{
    guint8 head[VMDK_SECTOR_BYTES];
    Vmdk *vmdk = in->state = g_new0(Vmdk, 1);
    if (!image_in_take(in, head, sizeof head, error) || !check_head(head, error))
        return false;
    guint64 grain = get64(head + 20), overhead = get64(head + 64);
    vmdk->capacity = get64(head + 12);
    vmdk->ends_with_marker = get64(head + 56) == VMDK_AT_END;
    if (grain < 1 || grain > 2048 || (grain & (grain - 1)))
        return corrupt(error, "its grains are of a strange size");
    if (overhead < 1 || overhead > MAX_HEAD_SECTORS)
        return corrupt(error, "its head is of a strange size");
    if (vmdk->capacity > IMAGE_IN_MAX_BYTES / VMDK_SECTOR_BYTES)
        return corrupt(error, "its disk is of a strange size");
    vmdk->grain_sectors = (guint32) grain;
    in->size_bytes = vmdk->capacity * VMDK_SECTOR_BYTES;
    in->cluster_bytes = (gsize) grain * VMDK_SECTOR_BYTES;
    vmdk->packed_room = 2 * in->cluster_bytes + VMDK_SECTOR_BYTES;
    vmdk->packed = g_malloc(vmdk->packed_room);
    return image_in_skip(in, (overhead - 1) * VMDK_SECTOR_BYTES, error);
}

/* The sector that the marker began is in packed already. */
static bool read_grain(ImageIn *in, Vmdk *vmdk, guint64 sector, guint32 n_bytes, GError **error)
{
    gsize whole = (VMDK_MARKER_BYTES + (gsize) n_bytes + VMDK_SECTOR_BYTES - 1) /
                  VMDK_SECTOR_BYTES * VMDK_SECTOR_BYTES;
    if (whole > vmdk->packed_room)
        return corrupt(error, "a grain is too large");
    if (sector >= vmdk->capacity || sector % vmdk->grain_sectors)
        return corrupt(error, "a grain belongs nowhere");
    if (!image_in_take(in, vmdk->packed + VMDK_SECTOR_BYTES, whole - VMDK_SECTOR_BYTES, error))
        return false;
    uLongf n = in->cluster_bytes;
    if (uncompress(in->cluster, &n, vmdk->packed + VMDK_MARKER_BYTES, n_bytes) != Z_OK)
        return corrupt(error, "a grain cannot be decompressed");
    memset(in->cluster + n, 0, in->cluster_bytes - n);
    in->place = sector * VMDK_SECTOR_BYTES;
    in->place_bytes = in->cluster_bytes;
    return true;
}

/* Tables and what else is no data; true also at the end. */
static bool pass_over(ImageIn *in, guint64 n_sectors, guint32 type, GError **error)
{
    if (type > VMDK_FOOTER || n_sectors > MAX_TABLE_SECTORS)
        return corrupt(error, "a marker says nothing");
    in->ended = type == VMDK_END;
    return in->ended || image_in_skip(in, n_sectors * VMDK_SECTOR_BYTES, error);
}

static bool vmdk_next(ImageIn *in, GError **error)
{
    Vmdk *vmdk = in->state;
    while (!in->ended) {
        gsize n = VMDK_SECTOR_BYTES;
        if (!image_in_take_some(in, vmdk->packed, &n, error))
            return false;
        if (n == 0 && !vmdk->ends_with_marker) { /* as qemu-img leaves it */
            in->ended = true;
            return true;
        }
        if (n < VMDK_SECTOR_BYTES) {
            err_set(error, ERR_TRUNCATED, "the VMDK ends after %" G_GUINT64_FORMAT " bytes",
                    in->position);
            return false;
        }
        guint64 value = get64(vmdk->packed);
        guint32 n_bytes = get32(vmdk->packed + 8);
        if (n_bytes)
            return read_grain(in, vmdk, value, n_bytes, error);
        if (!pass_over(in, value, get32(vmdk->packed + VMDK_MARKER_BYTES), error))
            return false;
    }
    return true;
}

static void vmdk_close(ImageIn *in)
{
    Vmdk *vmdk = in->state;
    if (vmdk)
        g_free(vmdk->packed);
    g_free(vmdk);
}

const struct image_in_format image_in_vmdk = { "vmdk", vmdk_open, vmdk_next, vmdk_close };
