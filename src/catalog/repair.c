/* catalog_repair: what the check found, made right one finding at a time, in the order of the
 * fixes: first what brings data back, then what moves it aside, then what tidies up. The dry run is
 * the same walk without the steps. Nothing is deleted that could be a backup: what cannot be
 * mended is moved to .cadenza/quarantine/<vm>/, under the name it had, beside a note. */
#include "catalog/cache.h"
#include "catalog/checking.h"
#include "catalog/cleaning.h"
#include "catalog/deletion.h"
#include "catalog/metadata.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

#define MAX_PASSES   4u /* what is mended shows what is left to mend */
#define MAX_HOMONYMS 1000u
#define LOCK_WAIT_MS 5000u

typedef struct {
    Catalog *catalog;
    const char *vm;
    bool deep, dry_run;
    CatalogRepaired *repaired;
    bool merges_ended, sizes_refreshed; /* once a pass: each does the whole VM */
    bool changed;
} Repair;

void catalog_repaired_free(CatalogRepaired *repaired)
{
    if (!repaired)
        return;
    g_ptr_array_unref(repaired->done);
    g_ptr_array_unref(repaired->failed);
    g_free(repaired);
}

/* --- the quarantine --- */

/* Where it goes; a name that is taken gets a number. */
static char *place_in_quarantine(Repair *repair, const char *path, GError **error)
{
    g_autofree char *folder = layout_vm(repair->vm, NULL), *inside = g_strconcat(folder, "/", NULL);
    const char *rest = g_str_has_prefix(path, inside) ? path + strlen(inside)
                                                      : path + strlen(LAYOUT_OURS "/");
    for (unsigned i = 0; i < MAX_HOMONYMS; i++) {
        g_autoptr(GError) absent = NULL;
        RemoteStat st;
        g_autofree char *name = i ? g_strdup_printf("%s.%u", rest, i) : g_strdup(rest);
        g_autofree char *to = layout_ours("quarantine", repair->vm, name);
        if (remote_stat(repair->catalog->remote, to, &st, &absent))
            continue;
        if (err_is(absent, ERR_NOT_FOUND))
            return g_steal_pointer(&to);
        g_propagate_error(error, g_steal_pointer(&absent));
        return NULL;
    }
    err_set(error, ERR_LIMIT, "the quarantine holds %u of %s already", MAX_HOMONYMS, rest);
    return NULL;
}

/* Before the move: what, where to, why. */
static bool write_note(Repair *repair, const char *from, const char *to, const char *why,
                       GError **error)
{
    g_autofree char *path = g_strconcat(to, ".note", NULL);
    json_t *note = json_pack("{s:i,s:o,s:o,s:o,s:I}", "version", 1, "from",
                             json_text_of_bytes(from), "to", json_text_of_bytes(to), "why",
                             json_text_of_bytes(why), "time",
                             (json_int_t) (g_get_real_time() / 1000));
    char *text = json_dumps(note, JSON_INDENT(1));
    bool ok = remote_put(repair->catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error);
    free(text);
    json_decref(note);
    return ok;
}

/* A link to nothing is there, though nothing can be read through it. */
static bool is_named(Repair *repair, const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autoptr(GPtrArray) names = remote_list(repair->catalog->remote, folder, NULL);
    return names && g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL);
}

/* Absent is success: it was moved with another. */
static bool move_aside(Repair *repair, const char *path, const char *why, GError **error)
{
    RemoteStat st;
    Remote *remote = repair->catalog->remote;
    g_autoptr(GError) absent = NULL;
    if (!remote_stat(remote, path, &st, &absent) && err_is(absent, ERR_NOT_FOUND) &&
        !is_named(repair, path))
        return true;
    g_autofree char *to = place_in_quarantine(repair, path, error);
    g_autofree char *folder = to ? g_path_get_dirname(to) : NULL;
    bool ok = to && remote_make_folder(remote, folder, error) &&
              write_note(repair, path, to, why, error);
    ok = ok && remote_rename(remote, path, to, error);
    return ok;
}

static bool copy_manifest(Repair *repair, const char *path, GError **error)
{
    g_autofree char *name = g_path_get_basename(path), *date = layout_date_of(name);
    g_autofree char *file = g_strconcat(date ? date : "none", ".json", NULL),
                    *from = layout_ours("manifests", repair->vm, file),
                    *kept = g_strconcat("manifests/", file, NULL),
                    *to = layout_ours("quarantine", repair->vm, kept);
    g_autoptr(GBytes) text = remote_get(repair->catalog->remote, from, METADATA_MAX_BYTES, NULL);
    gsize n = 0;
    const void *data = text ? g_bytes_get_data(text, &n) : NULL;
    return !text ||
           remote_put(repair->catalog->remote, to, data ? data : "", n, REMOTE_PUT_OVER, error);
}

static bool move_archive(Repair *repair, const char *path, const char *why, GError **error)
{
    json_t *point = catalog_point(repair->catalog, path, NULL);
    g_autofree char *xva =
        point && metadata_is_full(point) ? metadata_path(json_object_get(point, "xva")) : NULL;
    g_autofree char *whole = xva ? layout_vm(repair->vm, xva) : NULL,
                    *checksum = xva ? g_strconcat(whole, ".checksum", NULL) : NULL;
    json_decref(point);
    return !xva ||
           (move_aside(repair, whole, why, error) && move_aside(repair, checksum, why, error));
}

/* A point: its JSON first, so that what is listed has its data. A disk: its alias, then its data.
 */
static bool quarantine_one(Repair *repair, const CatalogFinding *finding, GError **error)
{
    g_auto(MemberPlace) place = { 0 };
    const char *path = finding->path, *why = finding->words;
    if (g_str_has_suffix(path, ".json") && !g_str_has_prefix(path, LAYOUT_OURS)) {
        json_t *point = catalog_point(repair->catalog, path, NULL);
        bool full = point && metadata_is_full(point);
        json_decref(point);
        return (!full || move_archive(repair, path, why, error)) &&
               move_aside(repair, path, why, error);
    }
    if (layout_is_alias(path))
        member_locate(repair->catalog, path, &place, NULL);
    return copy_manifest(repair, path, error) && move_aside(repair, path, why, error) &&
           (!place.data || move_aside(repair, place.data, why, error));
}

/* --- the other fixes --- */

static bool fix_metadata(Repair *repair, const CatalogFinding *finding, GError **error)
{
    gint64 mtime_ns;
    g_autofree char *key = g_strconcat("/", finding->path, NULL);
    json_t *cache = cache_read(repair->catalog, repair->vm, &mtime_ns);
    json_t *entry = json_object_get(cache, key);
    bool ok = entry && metadata_check(entry, key, error) &&
              move_aside(repair, finding->path, finding->words, error);
    if (!entry)
        err_set(error, ERR_NOT_FOUND, "the cache does not name %s any more", key);
    if (ok) {
        json_object_del(entry, "id");
        json_object_del(entry, "_filename");
        char *text = json_dumps(entry, JSON_COMPACT);
        ok = remote_put(repair->catalog->remote, finding->path, text, strlen(text), REMOTE_PUT_OVER,
                        error);
        free(text);
    }
    json_decref(cache);
    return ok;
}

static bool fix_footer(Repair *repair, const CatalogFinding *finding, GError **error)
{
    g_autoptr(Bytes)
        bytes = remote_bytes(repair->catalog->remote, finding->path, REMOTE_UPDATE, error);
    return bytes && vhd_footers_restore(bytes, error);
}

static bool fix_alias(Repair *repair, const CatalogFinding *finding, GError **error)
{
    return remote_put(repair->catalog->remote, finding->path, finding->to, strlen(finding->to),
                      REMOTE_PUT_OVER, error);
}

static bool fix_merge(Repair *repair, const CatalogFinding *finding, GError **error)
{
    bool again = repair->merges_ended;
    repair->merges_ended = true;
    return again || cleaning_mend(repair->catalog, repair->vm, true, error);
}

static bool is_orphan(const CatalogFinding *finding)
{
    return finding->kind == FINDING_ORPHAN_DISK || finding->kind == FINDING_ORPHAN_DATA ||
           finding->kind == FINDING_ORPHAN_ARCHIVE;
}

/* Orphans by the rules of deletion, on a fresh listing. */
static bool fix_drop(Repair *repair, const CatalogFinding *finding, GError **error)
{
    g_auto(MemberPlace) place = { 0 };
    g_autofree char *name = g_path_get_basename(finding->path),
                    *folder = g_path_get_dirname(finding->path);
    if (is_orphan(finding)) {
        g_autoptr(Points) points = points_read(repair->catalog, repair->vm, false, error);
        if (!points || !deletion_allows_orphan(repair->catalog, repair->vm, points, name, error))
            return false;
    }
    if (finding->kind != FINDING_ORPHAN_DISK)
        return remote_drop_tree(repair->catalog->remote, finding->path, error);
    return member_locate(repair->catalog, finding->path, &place, error) &&
           member_drop(repair->catalog, folder, name, &place, error);
}

static bool fix_fork(Repair *repair, const CatalogFinding *finding, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(finding->path),
                    *name = g_path_get_basename(finding->path), *vm = layout_vm(repair->vm, NULL);
    if (!cleaning_mend(repair->catalog, repair->vm, true, error))
        return false;
    g_autoptr(Lineage)
        lineage = lineage_read(repair->catalog, repair->vm, folder + strlen(vm) + 1, error);
    const Member *base = lineage ? lineage_find(lineage, name) : NULL;
    if (lineage && base && base->n_children > 1)
        err_set(error, ERR_STATE, "two disks still stand on it: the log says why");
    return lineage && (!base || base->n_children < 2);
}

static bool fix_sizes(Repair *repair, const CatalogFinding *finding, GError **error)
{
    bool again = repair->sizes_refreshed;
    repair->sizes_refreshed = true;
    return again || cleaning_mend(repair->catalog, repair->vm, false, error);
}

static bool fix_cache(Repair *repair, const CatalogFinding *finding, GError **error)
{
    return points_refresh_cache(repair->catalog, repair->vm, error);
}

static bool (*const steps[])(Repair *repair, const CatalogFinding *finding, GError **error) = {
    [FIX_METADATA] = fix_metadata, [FIX_FOOTER] = fix_footer,         [FIX_ALIAS] = fix_alias,
    [FIX_MERGE] = fix_merge,       [FIX_QUARANTINE] = quarantine_one, [FIX_DROP] = fix_drop,
    [FIX_FORK] = fix_fork,         [FIX_SIZES] = fix_sizes,           [FIX_CACHE] = fix_cache,
};

/* --- the walk --- */

static void step(Repair *repair, const CatalogFinding *finding)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *text = g_strdup_printf("%s%s%s: %s (%s)", finding_fix(finding),
                                            finding->to ? " " : "", finding->to ? finding->to : "",
                                            finding->path, finding->words);
    if (repair->dry_run || steps[finding->fix](repair, finding, &failure)) {
        g_ptr_array_add(repair->repaired->done, g_steal_pointer(&text));
        repair->changed = true;
        return;
    }
    g_ptr_array_add(repair->repaired->failed, g_strdup_printf("%s: %s", text, failure->message));
}

/* Why this VM is left alone; NULL: it is not. */
static const CatalogFinding *obstacle(const CatalogReport *report)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const CatalogFinding *finding = report->findings->pdata[i];
        if ((finding_grade(finding) == GRADE_UNREADABLE &&
             !MUTANT(repair_ignores_read_errors)) || /* mutant: catalog_check:test_unreadable */
            finding->kind == FINDING_IN_USE)
            return finding;
    }
    return NULL;
}

/* False when there was nothing to do, or something failed. */
static bool pass(Repair *repair)
{
    guint n_failed = repair->repaired->failed->len;
    g_autoptr(CatalogReport)
        report = checking_run(repair->catalog, repair->vm, repair->deep, !repair->dry_run);
    const CatalogFinding *why = obstacle(report);
    if (why) {
        g_ptr_array_add(
            repair->repaired->failed,
            g_strdup_printf("VM %s is left alone: %s: %s", repair->vm, why->path, why->words));
        return false;
    }
    repair->changed = repair->merges_ended = repair->sizes_refreshed = false;
    for (FindingFix fix = FIX_NONE + 1; fix < G_N_ELEMENTS(steps); fix++)
        for (guint i = report->findings->len; i-- > 0;) { /* disks before what names them */
            const CatalogFinding *finding = report->findings->pdata[i];
            if (finding->fix == fix)
                step(repair, finding);
        }
    return repair->changed && repair->repaired->failed->len == n_failed;
}

static void repair_vm(Repair *repair)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(RemoteLock) lock = NULL;
    if (!repair->dry_run) {
        lock = catalog_lock(repair->catalog, repair->vm, LOCK_WAIT_MS, &failure);
        if (!lock) {
            g_ptr_array_add(repair->repaired->failed, g_strdup(failure->message));
            return;
        }
    }
    for (unsigned i = 0; i < MAX_PASSES; i++)
        if (!pass(repair) || repair->dry_run)
            return;
}

CatalogRepaired *catalog_repair(Catalog *catalog, const char *vm, bool deep, bool dry_run)
{
    CatalogRepaired *repaired = g_new0(CatalogRepaired, 1);
    g_autoptr(GError) failure = NULL;
    repaired->done = g_ptr_array_new_with_free_func(g_free);
    repaired->failed = g_ptr_array_new_with_free_func(g_free);
    Repair repair = {
        .catalog = catalog, .vm = vm, .deep = deep, .dry_run = dry_run, .repaired = repaired
    };
    g_autoptr(GPtrArray) vms = vm ? NULL : catalog_vms(catalog, &failure);
    if (vm)
        repair_vm(&repair);
    else if (!vms)
        g_ptr_array_add(repaired->failed, g_strdup(failure->message));
    for (guint i = 0; vms && i < vms->len; i++) {
        repair.vm = vms->pdata[i];
        repair_vm(&repair);
    }
    return repaired;
}
