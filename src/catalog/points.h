/* The restore points of one VM, with what could not be read. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

typedef struct {
    GPtrArray *names; /* all that is in the VM's folder, sorted; empty when there is no folder */
    json_t *points;   /* oldest first, each with "_filename" */
    GHashTable *unreadable; /* name of a <date>.json to the reason: its content is not metadata */
} Points;

/* use_cache: XO's cache is taken when it agrees with the folder. An I/O error on the listing or on
 * any file fails the whole: what decides about deleting must not mistake it for absence. */
Points *points_read(Catalog *catalog, const char *vm, bool use_cache, GError **error);
/* To be shown: with the cache, and of each point only what metadata_parse_brief reads. A file that
 * cannot be read is among the unreadable; when none can, that is an error. */
Points *points_show(Catalog *catalog, const char *vm, GError **error);
/* What the unreadable are, as an array of texts; a new reference. */
json_t *points_problems(const Points *points);
void points_free(Points *points);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Points, points_free)
/* Lists again and brings XO's cache up to date. */
bool points_refresh_cache(Catalog *catalog, const char *vm, GError **error);
