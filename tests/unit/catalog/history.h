/* A VM with one disk and a history: points written through the catalog, whose content is known. */
#pragma once

#include "fixture.h"

#define HISTORY_VM      "01a62e8f-4657-4319-a253-3c954a20d3e6"
#define HISTORY_JOB     "96186fd6-f530-42bd-a3ae-ed723750b12f"
#define HISTORY_VDI     "b79fb305-52bf-40d7-aa8a-1150287bde61"
#define HISTORY_LINEAGE "vdis/" HISTORY_JOB "/" HISTORY_VDI

enum { HISTORY_MAX_BLOCKS = 12, HISTORY_MAX_POINTS = 8 };

typedef struct {
    Repo *repo;
    guint32 n_blocks;               /* of the disk by now; the last one is half */
    guint8 now[HISTORY_MAX_BLOCKS]; /* what each block holds; 0: zeros, never written */
    unsigned n_points;
    char *paths[HISTORY_MAX_POINTS]; /* as catalog_commit gave */
    char *disks[HISTORY_MAX_POINTS]; /* relative to the VM's folder */
    char *sums[HISTORY_MAX_POINTS];  /* XXH3 of the whole disk */
    char *last_name;                 /* of the newest disk */
} History;

History *history_new(const char *options, guint32 n_blocks);
void history_free(History *history);
/* Writes what blocks now hold: "012" changes blocks 0, 1, 2. A delta unless `full`. The disk first
 * grows to n_blocks when that is more. */
void history_add(History *history, const char *changed, bool full, guint32 n_blocks);
/* Every point from `first` on that is listed reads as it was written, and verifies; n listed. */
void history_check(History *history, unsigned first, unsigned n);
/* XXH3 of the whole disk, as in sums. */
char *disk_sum(Disk *disk);
/* Deletes the JSON of a point, as retention does. */
void history_delete(History *history, unsigned point);
/* Names in the lineage's folder, joined by spaces. */
char *history_listing(History *history, const char *folder);
/* The size and "differencing" that the metadata of a point gives. */
void history_metadata(History *history, unsigned point, gint64 *size_bytes, bool *differencing);
/* Nothing is half-written anywhere in the repository. */
void history_no_temporaries(History *history);
/* Cleans with merge and remove; fails the test on an error. *cleaned may be NULL. */
void history_clean(History *history, CatalogCleaned *cleaned);
/* Every listed point has its disk under its own name: what XO would look for. */
void history_check_names(History *history);
