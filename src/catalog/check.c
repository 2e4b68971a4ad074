/* catalog_check: one VM after the other, from its listing to its last block. Nothing is changed, so
 * that it may be run over a backup that is being written. */
#include "catalog/checking.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

#define LOCK_FRESH_NS (30 * G_GINT64_CONSTANT(1000000000))

static const struct {
    const char *name;
    FindingGrade grade;
    const char *remedy;
} kinds[] = {
#define F(kind, word, level, text) [FINDING_##kind] = { word, GRADE_##level, text },
#include "catalog/findings.def"
#undef F
};

static const char *const fixes[] = {
    [FIX_NONE] = "",
    [FIX_METADATA] = "write the metadata anew from the cache",
    [FIX_FOOTER] = "restore the footer from its other copy",
    [FIX_ALIAS] = "let the alias name",
    [FIX_MERGE] = "end the merge",
    [FIX_QUARANTINE] = "move to the quarantine",
    [FIX_DROP] = "delete",
    [FIX_FORK] = "put the newer disk on the older",
    [FIX_SIZES] = "write size and kind as the disks are",
    [FIX_CACHE] = "write the cache anew",
};

FindingGrade finding_grade(const CatalogFinding *finding)
{
    return kinds[finding->kind].grade;
}

const char *finding_name(const CatalogFinding *finding)
{
    return kinds[finding->kind].name;
}

const char *finding_remedy(const CatalogFinding *finding)
{
    return kinds[finding->kind].remedy;
}

const char *finding_fix(const CatalogFinding *finding)
{
    return fixes[finding->fix];
}

static void finding_free(gpointer data)
{
    CatalogFinding *finding = data;
    g_free(finding->vm);
    g_free(finding->path);
    g_free(finding->words);
    g_free(finding->to);
    g_free(finding);
}

void catalog_report_free(CatalogReport *report)
{
    if (!report)
        return;
    g_ptr_array_unref(report->findings);
    g_free(report);
}

FindingGrade catalog_report_worst(const CatalogReport *report)
{
    FindingGrade worst = GRADE_NOTE;
    for (guint i = 0; i < report->findings->len; i++)
        worst = MAX(worst, finding_grade(report->findings->pdata[i]));
    return worst;
}

/* --- one VM --- */

void checking_found(Checking *checking, FindingKind kind, FindingFix fix, const char *path,
                    gint64 block, const char *to, const char *format, ...)
{
    CatalogFinding *finding = g_new0(CatalogFinding, 1);
    va_list args;
    va_start(args, format);
    *finding = (CatalogFinding){ .kind = kind,
                                 .fix = fix,
                                 .vm = g_strdup(checking->vm),
                                 .path = g_strdup(path),
                                 .block = block,
                                 .words = g_strdup_vprintf(format, args),
                                 .to = g_strdup(to) };
    va_end(args);
    g_ptr_array_add(checking->report->findings, finding);
}

void checking_unreadable(Checking *checking, const char *path, const GError *error)
{
    checking->unreadable = true;
    checking_found(checking, FINDING_UNREADABLE, FIX_NONE, path, -1, NULL, "%s", error->message);
}

bool checking_is_io(const GError *error)
{
    static const ErrCode damage[] = { ERR_NOT_FOUND,   ERR_CORRUPT, ERR_TRUNCATED,
                                      ERR_UNSUPPORTED, ERR_LIMIT,   ERR_INVALID };
    for (unsigned i = 0; i < G_N_ELEMENTS(damage); i++)
        if (err_is(error, damage[i]))
            return false;
    return true;
}

static bool is_locked(Checking *checking)
{
    g_autofree char *folder = layout_vm(checking->vm, NULL),
                    *lock = g_strconcat(folder, ".lock", NULL);
    RemoteStat st;
    return remote_stat(checking->catalog->remote, lock, &st, NULL) &&
           g_get_real_time() * 1000 - st.mtime_ns < LOCK_FRESH_NS;
}

static void read_lineages(Checking *checking)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *vdis = layout_vm(checking->vm, "vdis");
    g_autoptr(GPtrArray) names = lineage_list(checking->catalog, checking->vm, &failure);
    if (!names)
        checking_unreadable(checking, vdis, failure);
    for (guint i = 0; names && i < names->len; i++) {
        g_autoptr(GError) error = NULL;
        Lineage *lineage = lineage_read(checking->catalog, checking->vm, names->pdata[i], &error);
        g_autofree char *path = layout_vm(checking->vm, names->pdata[i]);
        if (lineage)
            g_ptr_array_add(checking->lineages, lineage);
        else
            checking_unreadable(checking, path, error);
    }
}

static void check_read(Checking *checking)
{
    CatalogReport *report = checking->report;
    report->n_points += (guint) json_array_size(checking->points->points);
    read_lineages(checking);
    for (guint i = 0; i < checking->lineages->len; i++) {
        Lineage *lineage = checking->lineages->pdata[i];
        report->n_disks += lineage->members->len;
        check_lineage(checking, lineage);
        check_blocks(checking, lineage);
    }
    check_points(checking);
    check_litter(checking);
}

static void free_blocks(gpointer blocks)
{
    g_array_unref(blocks);
}

static void free_lineage(gpointer lineage)
{
    lineage_free(lineage);
}

static void check_vm(Catalog *catalog, const char *vm, bool deep, bool own, CatalogReport *report)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(Points) points = points_read(catalog, vm, false, &failure);
    g_autoptr(GPtrArray) lineages = g_ptr_array_new_with_free_func(free_lineage);
    g_autoptr(GHashTable) damaged = g_hash_table_new_full(NULL, NULL, NULL, free_blocks);
    g_autoptr(GHashTable) mended = g_hash_table_new(NULL, NULL),
                          broken = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) manifests = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *folder = layout_vm(vm, NULL);
    Checking checking = { .catalog = catalog,
                          .vm = vm,
                          .deep = deep,
                          .report = report,
                          .points = points,
                          .lineages = lineages,
                          .damaged = damaged,
                          .mended = mended,
                          .broken = broken,
                          .manifests = manifests };
    report->n_vms++;
    if (!points) {
        checking_unreadable(&checking, folder, failure);
        return;
    }
    checking.in_use = !own && is_locked(&checking);
    if (checking.in_use)
        checking_found(&checking, FINDING_IN_USE, FIX_NONE, folder, -1, NULL,
                       "it is locked: a backup or a clean-up is under way");
    check_read(&checking);
}

static CatalogReport *report_new(void)
{
    CatalogReport *report = g_new0(CatalogReport, 1);
    report->findings = g_ptr_array_new_with_free_func(finding_free);
    return report;
}

CatalogReport *checking_run(Catalog *catalog, const char *vm, bool deep, bool own)
{
    CatalogReport *report = report_new();
    check_vm(catalog, vm, deep, own, report);
    return report;
}

CatalogReport *catalog_check(Catalog *catalog, const char *vm, bool deep)
{
    if (vm)
        return checking_run(catalog, vm, deep, false);
    g_autoptr(GError) failure = NULL;
    CatalogReport *report = report_new();
    Checking whole = { .catalog = catalog, .vm = "", .report = report };
    g_autoptr(GPtrArray) vms = catalog_vms(catalog, &failure);
    if (!vms)
        checking_unreadable(&whole, LAYOUT_VMS, failure);
    for (guint i = 0; vms && i < vms->len; i++)
        check_vm(catalog, vms->pdata[i], deep, false, report);
    return report;
}
