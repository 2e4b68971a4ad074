/* Fields are written at their offsets by number, as the format's tables give them. */
#include "sim/export_vhd.h"

#include "base/mutant.h"
#include "sim/vhd_tree.h"

#include <string.h>

enum { HEADER_BYTES = 1024, BAT_OFFSET = 2048, EMPTY_SECTOR_OFFSET = 1536 };
enum { TYPE_DYNAMIC = 3, TYPE_DIFFERENCING = 4 };
#define BLOCK_SECTORS ((VHD_BLOCK_BYTES + VHD_SECTOR_BYTES) / VHD_SECTOR_BYTES)

static void put32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_BE(value);
    memcpy(at, &value, 4);
}

static void put64(guint8 *at, guint64 value)
{
    value = GUINT64_TO_BE(value);
    memcpy(at, &value, 8);
}

static void put_checksum(guint8 *structure, gsize n, gsize at)
{
    guint32 sum = 0;
    put32(structure + at, 0);
    for (gsize i = 0; i < n; i++)
        sum += structure[i];
    put32(structure + at, ~sum);
}

guint32 export_vhd_n_blocks(const ExportVhd *vhd)
{
    return (guint32) ((vhd->size_bytes + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES);
}

bool export_vhd_has(const ExportVhd *vhd, guint32 block)
{
    return vhd->present[block / 8] >> (block % 8) & 1;
}

static gsize bat_bytes(const ExportVhd *vhd)
{
    gsize n = (gsize) export_vhd_n_blocks(vhd) * 4;
    return (n + VHD_SECTOR_BYTES - 1) / VHD_SECTOR_BYTES * VHD_SECTOR_BYTES;
}

/* The calculation of the specification's appendix. */
static void put_geometry(guint8 *at, guint64 size_bytes)
{
    guint64 sectors = MIN(size_bytes / VHD_SECTOR_BYTES, 65535ull * 16 * 255);
    guint32 per_track, heads;
    guint64 tracks;
    if (sectors >= 65535ull * 16 * 63) {
        per_track = 255;
        heads = 16;
        tracks = sectors / per_track;
    } else {
        per_track = 17;
        tracks = sectors / per_track;
        heads = MAX((guint32) ((tracks + 1023) / 1024), 4);
        if (tracks >= (guint64) heads * 1024 || heads > 16) {
            per_track = 31;
            heads = 16;
            tracks = sectors / per_track;
        }
        if (tracks >= (guint64) heads * 1024) {
            per_track = 63;
            heads = 16;
            tracks = sectors / per_track;
        }
    }
    guint64 cylinders = tracks / heads;
    at[0] = (guint8) (cylinders >> 8);
    at[1] = (guint8) cylinders;
    at[2] = (guint8) heads;
    at[3] = (guint8) per_track;
}

void export_vhd_footer(const ExportVhd *vhd, guint8 footer[VHD_SECTOR_BYTES])
{
    memset(footer, 0, VHD_SECTOR_BYTES);
    memcpy(footer, "conectix", 8);
    put32(footer + 8, 2); /* reserved feature bit, always set */
    put32(footer + 12, 0x00010000);
    put64(footer + 16, VHD_SECTOR_BYTES); /* of the dynamic header */
    memcpy(footer + 28, "caml", 4);
    put32(footer + 32, 1);
    put64(footer + 40, vhd->size_bytes);
    put64(footer + 48, vhd->size_bytes);
    put_geometry(footer + 56, vhd->size_bytes);
    put32(footer + 60, vhd->parent_uid ? TYPE_DIFFERENCING : TYPE_DYNAMIC);
    memcpy(footer + 68, vhd->uid, 16);
    put_checksum(footer, VHD_SECTOR_BYTES, 64);
}

static void put_parent(const ExportVhd *vhd, guint8 *header)
{
    memcpy(header + 40, vhd->parent_uid, 16);
    for (gsize i = 0; vhd->parent_name[i] && i < 255; i++)
        header[64 + 2 * i + 1] = (guint8) vhd->parent_name[i]; /* UTF-16BE of an ASCII name */
    guint8 *locator = header + 576;
    memcpy(locator, "MacX", 4);
    put32(locator + 4, 1); /* sectors */
    put32(locator + 8, (guint32) (strlen("file://./") + strlen(vhd->parent_name)));
    put64(locator + 16, EMPTY_SECTOR_OFFSET);
}

static void put_header(const ExportVhd *vhd, guint8 header[HEADER_BYTES])
{
    memcpy(header, "cxsparse", 8);
    memset(header + 8, 0xff, 8);
    put64(header + 16, BAT_OFFSET);
    put32(header + 24, 0x00010000);
    put32(header + 28, export_vhd_n_blocks(vhd));
    put32(header + 32, VHD_BLOCK_BYTES);
    if (vhd->parent_uid)
        put_parent(vhd, header);
    put_checksum(header, HEADER_BYTES, 36);
}

GByteArray *export_vhd_head(const ExportVhd *vhd)
{
    gsize n = BAT_OFFSET + bat_bytes(vhd);
    GByteArray *head = g_byte_array_sized_new((guint) n);
    g_byte_array_set_size(head, (guint) n);
    memset(head->data, 0, BAT_OFFSET);
    memset(head->data + BAT_OFFSET, 0xff, n - BAT_OFFSET);
    export_vhd_footer(vhd, head->data);
    put_header(vhd, head->data + VHD_SECTOR_BYTES);
    guint32 sector = (guint32) (n / VHD_SECTOR_BYTES);
    for (guint32 block = 0; block < export_vhd_n_blocks(vhd); block++)
        if (export_vhd_has(vhd, block)) {
            put32(head->data + BAT_OFFSET + 4 * (gsize) block, sector);
            sector += BLOCK_SECTORS +
                      MUTANT(sim_export_bat_off_by_one); /* mutant: sim_export_vhd */
        }
    return head;
}

guint64 export_vhd_bytes(const ExportVhd *vhd)
{
    guint64 n = BAT_OFFSET + bat_bytes(vhd) + VHD_SECTOR_BYTES;
    for (guint32 block = 0; block < export_vhd_n_blocks(vhd); block++)
        n += export_vhd_has(vhd, block) ? VHD_BLOCK_BYTES + VHD_SECTOR_BYTES : 0;
    return n;
}
