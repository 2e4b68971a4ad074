/* The words of a stream-optimized VMDK (VMware's Virtual Disk Format 1.1); numbers are
 * little-endian.
 */
#pragma once

#include <glib.h>

enum {
    VMDK_SECTOR_BYTES = 512,
    VMDK_MARKER_BYTES = 12, /* sector u64, length u32; of length 0: sectors u64, 0, type u32 */
    VMDK_NEWLINES = 1,
    VMDK_COMPRESSED = 1 << 16,
    VMDK_MARKERS = 1 << 17,
};
enum { VMDK_END, VMDK_GRAIN_TABLE, VMDK_GRAIN_DIRECTORY, VMDK_FOOTER };
#define VMDK_AT_END G_MAXUINT64 /* the directory's place is told by the footer */
