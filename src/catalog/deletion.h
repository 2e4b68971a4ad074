/* The one place that decides whether a backup, or what may be one, goes. Retention, the clean-up,
 * repair and the deletions of the API all pass here. Private to the catalog.
 *
 * What is deleted is deleted from a listing that did not fail (Points). A point goes only when a
 * newer one is verified, and never the last one, unless a person said so (`all`). A disk that no
 * point names goes when it never was a point, or when its deletion was journaled, or when a newer
 * point is verified; otherwise its metadata was lost, and the disk is what can be salvaged. */
#pragma once

#include "catalog/points.h"

/* Whether a point can be restored as far as can be told without reading its blocks: its disks open
 * with their chains and are those of a sound manifest; an archive has its length. Else why not. */
bool deletion_is_verified(Catalog *catalog, const char *vm, json_t *point, GError **error);

/* `doomed`: the "_filename"s. STATE says why not. */
bool deletion_allows_points(Catalog *catalog, const char *vm, const Points *points,
                            const GPtrArray *doomed, bool all, GError **error);
/* A disk, a block directory or an archive that no point names, by its name ("<date>…"). STATE; what
 * XO's cache still knows of it is kept in .cadenza/quarantine/. */
bool deletion_allows_orphan(Catalog *catalog, const char *vm, const Points *points,
                            const char *name, GError **error);

/* Ends deletions of points that a crash interrupted; *changed when there were any. */
bool deletion_resume(Catalog *catalog, const char *vm, bool *changed, GError **error);
