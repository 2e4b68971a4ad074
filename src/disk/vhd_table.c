/* A table from a file is hostile until every entry is known to lie in the file, apart from the
 * others. */
#include "disk/vhd_table.h"

#include "base/error.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

void vhd_table_clear(VhdTable *table)
{
    g_clear_pointer(&table->sectors, g_free);
    table->n = 0;
}

void vhd_table_init(VhdTable *table, guint32 n)
{
    table->n = n;
    table->sectors = g_new(guint32, MAX(n, 1));
    memset(table->sectors, 0xff, n * sizeof *table->sectors);
}

static int by_sector(const void *a, const void *b, void *user)
{
    const guint32 *sectors = user;
    guint32 x = sectors[*(const guint32 *) a], y = sectors[*(const guint32 *) b];
    return x < y ? -1 : x > y;
}

guint32 *vhd_table_order(const VhdTable *table, guint32 *n_present)
{
    guint32 n = vhd_table_n_present(table), at = 0;
    bool sorted = true;
    guint32 *order = g_new(guint32, MAX(n, 1));
    for (guint32 block = 0; block < table->n; block++) {
        if (table->sectors[block] == VHD_UNUSED)
            continue;
        if (at && table->sectors[order[at - 1]] > table->sectors[block])
            sorted = false;
        order[at++] = block;
    }
    if (!sorted)
        qsort_r(order, n, sizeof *order, by_sector, table->sectors);
    *n_present = n;
    return order;
}

static bool check_places(const VhdTable *table, guint64 start_bytes, guint64 end_bytes,
                         GError **error)
{
    guint32 n;
    g_autofree guint32 *order = vhd_table_order(table, &n);
    guint64 free_from = start_bytes;
    for (guint32 i = 0; i < n; i++) {
        guint64 at = table->sectors[order[i]] * (guint64) VHD_SECTOR_BYTES;
        if (at < free_from) {
            err_set(error, ERR_CORRUPT, "block %u of the VHD overlaps its header or another block",
                    order[i]);
            return false;
        }
        free_from = at + VHD_STORED_BYTES;
        if (free_from > end_bytes && !MUTANT(vhd_table_end)) { /* mutant: disk_vhd */
            err_set(error, ERR_TRUNCATED, "block %u of the VHD lies past the end of the file",
                    order[i]);
            return false;
        }
    }
    return true;
}

bool vhd_table_parse(VhdTable *table, const guint8 *raw, guint32 n, guint64 start_bytes,
                     guint64 end_bytes, GError **error)
{
    vhd_table_init(table, n);
    for (guint32 block = 0; block < n; block++)
        table->sectors[block] = vhd_get32(raw + 4 * (gsize) block);
    return check_places(table, start_bytes, end_bytes, error);
}

guint8 *vhd_table_format(const VhdTable *table)
{
    guint64 n_bytes = vhd_table_bytes(table->n);
    guint8 *raw = g_malloc(n_bytes);
    memset(raw, 0xff, n_bytes);
    for (guint32 block = 0; block < table->n; block++)
        vhd_put32(raw + 4 * (gsize) block, table->sectors[block]);
    return raw;
}

guint32 vhd_table_n_present(const VhdTable *table)
{
    guint32 n = 0;
    for (guint32 block = 0; block < table->n; block++)
        n += table->sectors[block] != VHD_UNUSED;
    return n;
}

guint64 vhd_table_end(const VhdTable *table, guint64 start_bytes)
{
    guint64 end = start_bytes;
    for (guint32 block = 0; block < table->n; block++)
        if (table->sectors[block] != VHD_UNUSED)
            end = MAX(end, table->sectors[block] * (guint64) VHD_SECTOR_BYTES + VHD_STORED_BYTES);
    return end;
}
