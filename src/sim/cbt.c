/* A log is a table from block of 32 cells to a mask: small while little is written. */
#include "sim/cbt.h"

#include "base/mutant.h"

enum { CELLS_PER_MASK = 32, CELL_BYTES = 64 << 10 };

struct CbtLog {
    CbtLog *before, *after;
    GHashTable *masks; /* block number → mask */
    bool broken;
};

CbtLog *cbt_log_new(void)
{
    CbtLog *log = g_new0(CbtLog, 1);
    log->masks = g_hash_table_new(NULL, NULL);
    return log;
}

CbtLog *cbt_log_next(CbtLog *log)
{
    CbtLog *next = cbt_log_new();
    next->before = log;
    next->after = log->after;
    if (log->after)
        log->after->before = next;
    log->after = next;
    return next;
}

static void add_mask(CbtLog *log, guint32 block, guint32 mask)
{
    guint32 present = GPOINTER_TO_UINT(g_hash_table_lookup(log->masks, GUINT_TO_POINTER(block)));
    g_hash_table_insert(log->masks, GUINT_TO_POINTER(block), GUINT_TO_POINTER(present | mask));
}

static void merge(CbtLog *into, const CbtLog *from)
{
    GHashTableIter iter;
    gpointer block, mask;
    g_hash_table_iter_init(&iter, from->masks);
    while (g_hash_table_iter_next(&iter, &block, &mask))
        add_mask(into, GPOINTER_TO_UINT(block), GPOINTER_TO_UINT(mask));
    into->broken |= from->broken;
}

void cbt_log_drop(CbtLog *log)
{
    if (!log)
        return;
    if (log->after) {
        if (!MUTANT(sim_cbt_drop_loses_marks)) /* mutant: sim_cbt */
            merge(log->after, log);
        log->after->before = log->before;
    }
    if (log->before)
        log->before->after = log->after;
    g_hash_table_unref(log->masks);
    g_free(log);
}

void cbt_log_mark(CbtLog *log, guint64 cell)
{
    if (log)
        add_mask(log, (guint32) (cell / CELLS_PER_MASK), 1u << (cell % CELLS_PER_MASK));
}

void cbt_log_break(CbtLog *log)
{
    log->broken = true;
}

static void add_bits(const CbtLog *log, guint8 *bits, guint64 n_cells)
{
    GHashTableIter iter;
    gpointer block, mask;
    g_hash_table_iter_init(&iter, log->masks);
    while (g_hash_table_iter_next(&iter, &block, &mask))
        for (guint i = 0; i < CELLS_PER_MASK; i++) {
            guint64 cell = (guint64) GPOINTER_TO_UINT(block) * CELLS_PER_MASK + i;
            if (GPOINTER_TO_UINT(mask) >> i & 1 && cell < n_cells)
                bits[cell / 8] |= (guint8) (0x80u >> (cell % 8));
        }
}

char *cbt_changed(const CbtLog *from, const CbtLog *to, guint64 size_bytes)
{
    guint64 n_cells = (size_bytes + CELL_BYTES - 1) / CELL_BYTES;
    gsize n_bytes = (gsize) ((n_cells + 7) / 8);
    g_autofree guint8 *bits = g_malloc0(n_bytes + 1);
    const CbtLog *log = to;
    for (; log && log != from; log = log->before) {
        if (log->broken)
            return NULL;
        add_bits(log, bits, n_cells);
    }
    return log ? g_base64_encode(bits, n_bytes) : NULL;
}
