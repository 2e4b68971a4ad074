/* Memory for what lives long: records and views. Cells of like size lie together in pages of their
 * own, apart from the short-lived memory of parsing and answering; else a server that follows a
 * busy pool grows with every change, as its heap becomes holes. Thread-safe. */
#pragma once

#include <glib.h>

typedef struct Cells Cells;

Cells *cells_new(void);
/* Cells that are in use stay; the last one freed takes everything along. */
void cells_unref(Cells *cells);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cells, cells_unref)

/* n bytes, aligned for any type; never NULL. Free with cell_free, from any thread. */
void *cell_new(Cells *cells, gsize n);
void cell_free(void *cell);
