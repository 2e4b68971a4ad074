/* What the parts of catalog_check share. Private to the catalog. */
#pragma once

#include "catalog/check.h"
#include "catalog/lineage.h"
#include "catalog/points.h"

typedef struct {
    Catalog *catalog;
    const char *vm;
    bool deep;
    bool in_use;     /* somebody holds the VM's lock: unfinished things are expected */
    bool unreadable; /* of something nobody knows what it is: nothing may follow from its absence */
    CatalogReport *report;
    Points *points;
    GPtrArray *lineages;    /* Lineage */
    GHashTable *damaged;    /* Member to GArray of the blocks that cannot be believed */
    GHashTable *mended;     /* lineages of which repair will first mend a part */
    GHashTable *broken;     /* points (json_t) that cannot be restored */
    GHashTable *manifests;  /* dates whose manifest was told of already */
    guint n_unnamed_points; /* without a manifest */
} Checking;

/* Adds a finding. path from the root; block -1 for none; to may be NULL. */
void checking_found(Checking *checking, FindingKind kind, FindingFix fix, const char *path,
                    gint64 block, const char *to, const char *format, ...) G_GNUC_PRINTF(7, 8);
/* A failure of the storage: UNREADABLE. */
void checking_unreadable(Checking *checking, const char *path, const GError *error);
/* Whether a failure is the storage's, not the data's. */
bool checking_is_io(const GError *error);

/* catalog_check of one VM; `own`: the caller holds its lock. */
CatalogReport *checking_run(Catalog *catalog, const char *vm, bool deep, bool own);

/* --- check_lineage.c --- */

/* Heads, names, links, aliases and merge notes of a folder of disks. */
void check_lineage(Checking *checking, Lineage *lineage);
/* A merge that is not finished has a part in it: what it holds may be its neighbour's. */
bool check_is_merging(const Lineage *lineage, const char *name);
Lineage *check_lineage_of(Checking *checking, const char *path);

/* --- check_blocks.c --- */

/* Each disk against its manifest, its blocks against its table; deep: reads them. */
void check_blocks(Checking *checking, Lineage *lineage);

/* --- check_points.c --- */

/* Which backups can be restored; what only broken ones need. */
void check_points(Checking *checking);

/* --- check_litter.c --- */

/* Leftovers, orphans, XO's cache, our own folder. */
void check_litter(Checking *checking);
