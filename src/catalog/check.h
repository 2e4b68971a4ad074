/* Is a repository whole, and what can be put right? Needs no server; works on what XO wrote, where
 * structure and readability are looked at: it has no manifests. */
#pragma once

#include "catalog/catalog.h"

typedef enum { GRADE_NOTE, GRADE_UNTIDY, GRADE_UNREADABLE, GRADE_DAMAGED } FindingGrade;

typedef enum {
#define F(kind, name, grade, remedy) FINDING_##kind,
#include "catalog/findings.def"
#undef F
    N_FINDINGS
} FindingKind;

/* What repair does about it, in this order. */
typedef enum {
    FIX_NONE,
    FIX_METADATA,   /* write the JSON anew from XO's cache */
    FIX_FOOTER,     /* from its other copy */
    FIX_ALIAS,      /* let it name `to` */
    FIX_MERGE,      /* end the merges of the folder */
    FIX_QUARANTINE, /* move it out of the way, with a note */
    FIX_DROP,       /* delete it */
    FIX_FORK,       /* put the newer of two disks on the older */
    FIX_SIZES,      /* write size and kind as the files are */
    FIX_CACHE,      /* write XO's cache anew */
} FindingFix;

typedef struct {
    FindingKind kind;
    FindingFix fix;
    char *vm;
    char *path;   /* from the root of the repository */
    gint64 block; /* of 2 MiB, or -1 */
    char *words;  /* what is wrong */
    char *to;     /* for FIX_ALIAS; or NULL */
} CatalogFinding;

FindingGrade finding_grade(const CatalogFinding *finding);
const char *finding_name(const CatalogFinding *finding);
const char *finding_remedy(const CatalogFinding *finding);
/* "repair: restore the footer", "" when repair can do nothing about it. */
const char *finding_fix(const CatalogFinding *finding);

typedef struct {
    GPtrArray *findings; /* CatalogFinding, by VM; those of a folder together */
    guint n_vms, n_points, n_disks;
    guint64 n_blocks;   /* read */
    guint64 n_verified; /* of them, as their manifests say */
} CatalogReport;

void catalog_report_free(CatalogReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CatalogReport, catalog_report_free)
/* NOTE when there is nothing. */
FindingGrade catalog_report_worst(const CatalogReport *report);

/* Looks at one VM, or at all when it is NULL. deep: reads every block, and compares it with what
 * its manifest says; else heads, tables, names and links. Changes nothing and holds no lock. What
 * fails becomes a finding. Reads for hours. */
CatalogReport *catalog_check(Catalog *catalog, const char *vm, bool deep);

typedef struct {
    GPtrArray *done;   /* texts: what was done, or would be */
    GPtrArray *failed; /* texts: what could not be done, and why */
} CatalogRepaired;

void catalog_repaired_free(CatalogRepaired *repaired);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CatalogRepaired, catalog_repaired_free)
/* Looks (as catalog_check does), then fixes what can be fixed and moves the rest to
 * .cadenza/quarantine/, with a note beside it. A VM of which something could not be read is left
 * alone. dry_run: plans the same and does nothing. Takes the lock of each VM. */
CatalogRepaired *catalog_repair(Catalog *catalog, const char *vm, bool deep, bool dry_run);
