/* What the parts of catalog_clean share. Private to the catalog. */
#pragma once

#include "catalog/lineage.h"
#include "catalog/points.h"

/* What a point's metadata says of a disk. */
typedef struct {
    bool differencing;
    guint64 size_bytes;
} DiskHead;

typedef struct {
    Catalog *catalog;
    const char *vm;
    bool merge, remove;
    Points *points;
    CatalogCleaned *out;
    GHashTable *heads; /* "vdis/<job>/<vdi>/<name>" → DiskHead, as the files are in the end */
    bool changed;      /* anything at all */
} Cleaning;

/* A warning of the task log: XO's form, {message, data: {path, …}}. */
void cleaning_warn(Cleaning *cleaning, const char *path, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* Whether the rules of deletion let go what no point names; else it is warned about. */
bool cleaning_may_drop(Cleaning *cleaning, const char *name);

/* --- clean.c, for repair --- */

/* Makes size and isVhdDifferencing of all points of a VM true; `merges`: after having ended those
 * that were interrupted. */
bool cleaning_mend(Catalog *catalog, const char *vm, bool merges, GError **error);

/* --- merge.c --- */

/* Merges names[0] (the oldest) and those after it into one disk that has the last name. Durable and
 * resumable at every step. `old`: the note of an interrupted merge of the same, or NULL. */
bool merge_run(Cleaning *cleaning, const char *relative, GPtrArray *names, const MergeState *old,
               GError **error);

/* --- resume.c --- */

/* Ends what was interrupted in a lineage. *frozen: something there is not understood, so nothing in
 * it may be merged or deleted; it was warned about. */
bool merges_resume(Cleaning *cleaning, const char *relative, bool *frozen, GError **error);

/* --- mend.c --- */

/* The heads and ends of disks that XO was writing when it died. */
bool ancestors_mend(Cleaning *cleaning, Lineage *lineage, bool *mended, GError **error);

/* --- revive.c --- */

/* Metadata that cannot be read, from XO's cache. */
bool metadata_revive(Cleaning *cleaning, bool *revived, GError **error);

/* --- fork.c --- */

/* The first fork of the lineage that can be: the newer of two disks on one is put on the older's
 * branch. What cannot be is warned about. After *moved the lineage must be read again. */
bool forks_straighten(Cleaning *cleaning, Lineage *lineage, bool *moved, GError **error);

/* --- growth.c --- */

/* Every block directory of the lineage gets room for the largest disk that stands on it. */
bool lineage_make_room(Cleaning *cleaning, Lineage *lineage, GError **error);

/* --- refresh.c --- */

/* Writes size and isVhdDifferencing of every point as the files are; points of disks that are not
 * understood stay as they are. */
bool metadata_refresh(Cleaning *cleaning, GError **error);

/* --- leftovers.c --- */

/* Deletes what interrupted transfers and merges left, in a lineage and in the VM's folder. */
bool leftovers_of_lineage(Cleaning *cleaning, Lineage *lineage, GError **error);
bool leftovers_of_vm(Cleaning *cleaning, GError **error);
/* Copies metadata that cannot be read to .cadenza/quarantine/: XO deletes it. */
bool quarantine(Cleaning *cleaning, GError **error);
/* Manifests of points and disks that are no more. `dates`: of the disks that are there. */
bool manifests_clean(Cleaning *cleaning, GHashTable *dates, GError **error);
/* Deletes a disk: its name first, then its data. */
bool member_drop(Catalog *catalog, const char *folder, const char *name, const MemberPlace *place,
                 GError **error);
