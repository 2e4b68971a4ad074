/* What lies about: leftovers of interrupted work, data that nothing names, a cache that is not
 * true. Where something could not be read, or is broken, nothing is called an orphan. */
#include "catalog/checking.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/metadata.h"

#include <string.h>

static void leftover(Checking *checking, const char *folder, const char *name)
{
    g_autofree char *path = g_strjoin("/", folder, name, NULL);
    checking_found(checking, FINDING_TEMPORARY, FIX_DROP, path, -1, NULL,
                   "an interrupted transfer left it");
}

static void check_names(Checking *checking, const char *folder, const GPtrArray *names)
{
    for (guint i = 0; i < names->len; i++)
        if (layout_is_temporary(names->pdata[i]))
            leftover(checking, folder, names->pdata[i]);
}

/* --- disks --- */

static bool is_whole(Checking *checking, const Lineage *lineage)
{
    for (guint i = 0; i < lineage->members->len; i++)
        if (((Member *) lineage->members->pdata[i])->fault)
            return false;
    return !lineage->states->len && !g_hash_table_contains(checking->mended, lineage);
}

static void check_orphans(Checking *checking, const Lineage *lineage)
{
    for (guint i = lineage->members->len; i-- > 0;) {
        const Member *member = lineage->members->pdata[i];
        g_autofree char *path = g_strjoin("/", lineage->folder, member->name, NULL);
        if (!member->needed && !member->in_use)
            checking_found(checking, FINDING_ORPHAN_DISK, FIX_DROP, path, -1, NULL,
                           "no backup needs it");
    }
}

static void check_data(Checking *checking, const Lineage *lineage)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GHashTable) claimed = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *folder = g_strjoin("/", lineage->folder, "data", NULL);
    g_autoptr(GPtrArray) names = remote_list(checking->catalog->remote, folder, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND))
        checking_unreadable(checking, folder, failure);
    for (guint i = 0; i < lineage->members->len; i++) {
        const Member *member = lineage->members->pdata[i];
        if (member->place.data)
            g_hash_table_add(claimed, member->place.data);
    }
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *path = g_strjoin("/", folder, names->pdata[i], NULL);
        if (!g_hash_table_contains(claimed, path))
            checking_found(checking, FINDING_ORPHAN_DATA, FIX_DROP, path, -1, NULL,
                           "no alias names it");
    }
}

static bool has_broken(Checking *checking)
{
    return g_hash_table_size(checking->broken) || g_hash_table_size(checking->points->unreadable);
}

static void check_disks(Checking *checking)
{
    for (guint i = 0; i < checking->lineages->len; i++) {
        const Lineage *lineage = checking->lineages->pdata[i];
        check_names(checking, lineage->folder, lineage->names);
        if (!is_whole(checking, lineage) || checking->unreadable || has_broken(checking))
            continue;
        check_orphans(checking, lineage);
        check_data(checking, lineage);
    }
}

/* --- archives --- */

static bool is_named(Checking *checking, const char *file, const char *date)
{
    gsize i;
    json_t *point;
    g_autofree char *metadata = g_strconcat(date, ".json", NULL);
    json_array_foreach (checking->points->points, i, point) {
        g_autofree char *xva = metadata_path(json_object_get(point, "xva"));
        if (xva && g_str_has_prefix(file, xva))
            return true;
    }
    return g_hash_table_contains(checking->points->unreadable, metadata);
}

static void check_archives(Checking *checking)
{
    g_autofree char *folder = layout_vm(checking->vm, NULL);
    for (guint i = 0; i < checking->points->names->len; i++) {
        const char *name = checking->points->names->pdata[i];
        g_autofree char *date = layout_date_of(name), *path = g_strjoin("/", folder, name, NULL);
        bool archive = g_str_has_suffix(name, ".xva") || g_str_has_suffix(name, ".xva.checksum");
        if (date && archive && !is_named(checking, name, date) && !has_broken(checking))
            checking_found(checking, FINDING_ORPHAN_ARCHIVE, FIX_DROP, path, -1, NULL,
                           "no backup names it");
    }
}

/* --- the cache --- */

/* Sizes may lag behind; what a backup is must be right. */
static bool same_entry(json_t *entry, json_t *point)
{
    static const char *const free_members[] = { "_filename", "id", "size", "isVhdDifferencing" };
    json_t *left = json_copy(entry), *right = json_copy(point);
    for (unsigned i = 0; i < G_N_ELEMENTS(free_members); i++) {
        json_object_del(left, free_members[i]);
        json_object_del(right, free_members[i]);
    }
    bool same = json_equal(left, right);
    json_decref(left);
    json_decref(right);
    return same;
}

static const char *cache_fault(json_t *cache, json_t *points)
{
    gsize i;
    json_t *point;
    if (!cache)
        return "it cannot be read";
    json_array_foreach (points, i, point) {
        json_t *entry =
            json_object_get(cache, json_string_value(json_object_get(point, "_filename")));
        if (!entry)
            return "it lacks a backup that is there";
        if (!same_entry(entry, point))
            return "a backup in it is not as its metadata says";
    }
    return json_object_size(cache) == json_array_size(points) ||
                   MUTANT(check_cache_by_points) /* mutant: catalog_check:test_damages */
               ? NULL
               : "it names a backup that is gone";
}

static void check_cache(Checking *checking)
{
    gint64 mtime_ns;
    g_autofree char *path = layout_vm(checking->vm, LAYOUT_CACHE);
    bool there =
        g_ptr_array_find_with_equal_func(checking->points->names, LAYOUT_CACHE, g_str_equal, NULL);
    if (!there) {
        if (json_array_size(checking->points->points))
            checking_found(checking, FINDING_CACHE_ABSENT, FIX_CACHE, path, -1, NULL,
                           "there is none");
        return;
    }
    json_t *cache = cache_read(checking->catalog, checking->vm, &mtime_ns);
    const char *fault = cache_fault(cache, checking->points->points);
    if (fault)
        checking_found(checking, FINDING_CACHE_STALE, FIX_CACHE, path, -1, NULL, "%s", fault);
    json_decref(cache);
}

/* --- our own folder --- */

static bool has_disk_of(Checking *checking, const char *date)
{
    for (guint i = 0; i < checking->lineages->len; i++) {
        const Lineage *lineage = checking->lineages->pdata[i];
        for (guint j = 0; j < lineage->members->len; j++)
            if (g_str_has_prefix(((Member *) lineage->members->pdata[j])->name, date))
                return true;
    }
    return false;
}

static GPtrArray *list_ours(Checking *checking, const char *kind, char **folder)
{
    g_autoptr(GError) failure = NULL;
    *folder = layout_ours(kind, checking->vm, NULL);
    GPtrArray *names = remote_list(checking->catalog->remote, *folder, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND))
        checking_unreadable(checking, *folder, failure);
    if (names)
        check_names(checking, *folder, names);
    return names;
}

static void check_manifests(Checking *checking)
{
    g_autofree char *folder = NULL;
    g_autoptr(GPtrArray) names = list_ours(checking, "manifests", &folder);
    for (guint i = 0; names && i < names->len && !checking->unreadable; i++) {
        const char *name = names->pdata[i];
        g_autofree char *date = layout_date_of(name), *path = g_strjoin("/", folder, name, NULL);
        if (date && !has_disk_of(checking, date) &&
            !g_ptr_array_find_with_equal_func(checking->points->names, name, g_str_equal, NULL))
            checking_found(checking, FINDING_MANIFEST_ORPHAN, FIX_DROP, path, -1, NULL,
                           "neither a backup nor a disk of this date is there");
    }
}

void check_litter(Checking *checking)
{
    g_autofree char *folder = layout_vm(checking->vm, NULL);
    if (checking->in_use)
        return;
    check_names(checking, folder, checking->points->names);
    check_disks(checking);
    check_archives(checking);
    check_manifests(checking);
    check_cache(checking);
}
