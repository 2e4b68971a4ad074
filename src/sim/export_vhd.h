/* The frame of a VHD stream as a pool exports it: everything but the blocks.
 *
 * In order: footer copy, dynamic header, an empty sector, the BAT at 2048 padded to a sector, then
 * for each present block in increasing order a sector of ones and 2 MiB, then the footer.
 * Big-endian. (Microsoft's Virtual Hard Disk Image Format 1.0; the layout is that of xapi's
 * exporter.) Pure. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct {
    guint64 size_bytes;
    const guint8 *uid;        /* 16 bytes */
    const guint8 *parent_uid; /* NULL: a full export, type dynamic; else differencing */
    const char *parent_name;  /* file name of the parent, with parent_uid */
    const guint8 *present;    /* one bit per block, LSB first */
} ExportVhd;

enum { VHD_SECTOR_BYTES = 512 };
/* The largest virtual size a VHD can have: 2040 GiB. */
#define VHD_MAX_SIZE_BYTES 2190433320960ull

guint32 export_vhd_n_blocks(const ExportVhd *vhd);
bool export_vhd_has(const ExportVhd *vhd, guint32 block);
/* All before the first block. */
GByteArray *export_vhd_head(const ExportVhd *vhd);
void export_vhd_footer(const ExportVhd *vhd, guint8 footer[VHD_SECTOR_BYTES]);
/* The length of the whole stream. */
guint64 export_vhd_bytes(const ExportVhd *vhd);
