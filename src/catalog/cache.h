/* XO's cache.json.gz: gzip of { "/xo-vm-backups/<vm>/<date>.json": <metadata + _filename + id> }.
 * Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* The object, and when it was written; NULL when there is none or it cannot be read, which is never
 * an error: the files are the truth. */
json_t *cache_read(Catalog *catalog, const char *vm, gint64 *mtime_ns);
/* Of each entry, what metadata_parse_brief reads. */
json_t *cache_read_brief(Catalog *catalog, const char *vm, gint64 *mtime_ns);
/* Lists again and replaces it; when that cannot be done it is removed. Never fails. */
void cache_refresh(Catalog *catalog, const char *vm);
/* Replaces it by what `points` (as catalog_points gives) say. When that cannot be written the old
 * one is removed: a stale cache hides or invents backups in XO. Warns in the log, never fails. */
void cache_write(Catalog *catalog, const char *vm, json_t *points);
