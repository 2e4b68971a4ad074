/* The block allocation table of a flat VHD in memory: where each block lies, in sectors. For the
 * files of disk/ only. */
#pragma once

#include "disk/vhd_format.h"

typedef struct {
    guint32 n;
    guint32 *sectors; /* of the bitmap, VHD_UNUSED when absent */
} VhdTable;

void vhd_table_clear(VhdTable *table);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VhdTable, vhd_table_clear)

/* All unused. */
void vhd_table_init(VhdTable *table, guint32 n);
/* From `raw`, 4 * n bytes. CORRUPT when blocks overlap each other, or lie outside start…end. */
bool vhd_table_parse(VhdTable *table, const guint8 *raw, guint32 n, guint64 start_bytes,
                     guint64 end_bytes, GError **error);
/* As stored, vhd_table_bytes(n) long, filled with 0xFF; copy. */
guint8 *vhd_table_format(const VhdTable *table);
guint32 vhd_table_n_present(const VhdTable *table);
/* Block numbers in the order they lie in the file; n_present of them; copy. */
guint32 *vhd_table_order(const VhdTable *table, guint32 *n_present);
/* The first byte after the last block, or `start_bytes` when there is none. */
guint64 vhd_table_end(const VhdTable *table, guint64 start_bytes);
