/* The head of a flat VHD, read and checked: shared by the reader and the merge. For the files of
 * disk/ only. */
#pragma once

#include "disk/vhd_table.h"

typedef struct {
    guint8 raw_footer[VHD_FOOTER_BYTES], raw_header[VHD_HEADER_BYTES];
    VhdFooter footer;
    VhdHeader header;
    VhdTable table; /* header.n_entries long */
    DiskInfo info;
    guint64 file_bytes;
} VhdFlat;

/* `merging`: an interrupted merge may have overwritten the footer at the end, which is then not
 * looked at. */
bool vhd_flat_load(Bytes *bytes, bool merging, VhdFlat *flat, GError **error);
void vhd_flat_clear(VhdFlat *flat);
/* The first byte where blocks may lie. */
guint64 vhd_flat_start(const VhdFlat *flat);
