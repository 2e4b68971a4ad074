/* The rules, and the deletion of points: journaled first, so that one that is cut short is ended by
 * the next clean-up instead of looking like lost metadata. */
#include "catalog/deletion.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/chain.h"
#include "catalog/manifest.h"
#include "catalog/metadata.h"

#include <stdlib.h>
#include <string.h>

#define JOURNAL_VERSION   1
#define JOURNAL_MAX_BYTES (4u << 20)

/* --- verified --- */

static const char *filename_of(json_t *point)
{
    return json_string_value(json_object_get(point, "_filename"));
}

static bool archive_is_there(Catalog *catalog, const char *vm, json_t *point, GError **error)
{
    RemoteStat st;
    g_autofree char *xva = metadata_path(json_object_get(point, "xva")), *path = layout_vm(vm, xva);
    guint64 expected = (guint64) json_integer_value(json_object_get(point, "size"));
    if (!remote_stat(catalog->remote, path, &st, error))
        return false;
    if (!expected || st.size_bytes == expected)
        return true;
    err_set(error, ERR_TRUNCATED, "%s has not the length that its metadata says", path);
    return false;
}

static bool disks_are_there(Catalog *catalog, const char *vm, const char *date, json_t *point,
                            GError **error)
{
    const char *ref;
    json_t *stored;
    g_autoptr(Manifest) manifest = manifest_read(catalog, vm, date, error);
    if (!manifest)
        return false;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        DiskUid uid;
        g_autofree char *path = metadata_path(stored);
        g_autoptr(Disk) disk = chain_read(catalog, vm, path, NULL, error);
        if (!disk || !manifest_is(manifest, path, &disk->info.uid, error))
            return false;
        if (!manifest_uid(manifest, path, &uid)) {
            err_set(error, ERR_STATE, "no manifest names %s", path);
            return false;
        }
    }
    return true;
}

bool deletion_is_verified(Catalog *catalog, const char *vm, json_t *point, GError **error)
{
    g_autofree char *name = g_path_get_basename(filename_of(point)), *date = layout_date_of(name);
    if (metadata_is_full(point))
        return archive_is_there(catalog, vm, point, error);
    if (date)
        return disks_are_there(catalog, vm, date, point, error);
    err_set(error, ERR_STATE, "%s has no date", name);
    return false;
}

static bool is_doomed(const GPtrArray *doomed, const char *filename)
{
    return doomed &&
           g_ptr_array_find_with_equal_func((GPtrArray *) doomed, filename, g_str_equal, NULL);
}

/* A kept point newer than `name` ("<date>…") that is verified; *why is what is wrong with the
 * newest. */
static bool newer_is_verified(Catalog *catalog, const char *vm, const Points *points,
                              const GPtrArray *doomed, const char *name, GError **why)
{
    for (gsize i = json_array_size(points->points); i-- > 0;) {
        json_t *point = json_array_get(points->points, i);
        g_autofree char *kept = g_path_get_basename(filename_of(point));
        if (is_doomed(doomed, filename_of(point)) || strcmp(kept, name) <= 0)
            continue;
        if (deletion_is_verified(catalog, vm, point, why && !*why ? why : NULL) ||
            MUTANT(deletion_trusts_any)) { /* mutant: catalog_deletion */
            g_clear_error(why);
            return true;
        }
    }
    if (why && !*why)
        err_set(why, ERR_NOT_FOUND, "there is none");
    return false;
}

/* --- points --- */

static const char *newest_of(const GPtrArray *doomed)
{
    const char *newest = "";
    for (guint i = 0; i < doomed->len; i++)
        if (strcmp(doomed->pdata[i], newest) > 0)
            newest = doomed->pdata[i];
    return newest;
}

bool deletion_allows_points(Catalog *catalog, const char *vm, const Points *points,
                            const GPtrArray *doomed, bool all, GError **error)
{
    g_autoptr(GError) why = NULL;
    if (all || !doomed->len)
        return true;
    if (doomed->len == json_array_size(points->points) &&
        !MUTANT(delete_takes_last)) { /* mutant: catalog_deletion */
        err_set(error, ERR_STATE, "this would delete the last readable backup of VM %s on %s", vm,
                remote_name(catalog->remote));
        return false;
    }
    g_autofree char *name = g_path_get_basename(newest_of(doomed));
    if (newer_is_verified(catalog, vm, points, doomed, name, &why))
        return true;
    err_set(error, ERR_STATE,
            "nothing is deleted of VM %s on %s: no backup newer than %s is verified: %s", vm,
            remote_name(catalog->remote), name, why->message);
    return false;
}

/* --- what no point names --- */

/* What XO's cache knows of a point that is gone, unless it was kept already; 1 known, 0 not, -1
 * there is no cache. */
static int cache_knows(Catalog *catalog, const char *vm, const char *date)
{
    gint64 mtime_ns;
    g_autofree char *name = g_strconcat(date, ".json", NULL), *path = layout_vm(vm, name);
    g_autofree char *key = g_strconcat("/", path, NULL),
                    *kept = layout_ours("quarantine", vm, name);
    RemoteStat st;
    if (remote_stat(catalog->remote, kept, &st, NULL))
        return 1;
    json_t *cache = cache_read(catalog, vm, &mtime_ns), *entry = json_object_get(cache, key);
    int known = !cache ? -1 : entry != NULL;
    if (entry) {
        json_object_del(entry, "id");
        json_object_del(entry, "_filename");
        char *text = json_dumps(entry, JSON_COMPACT);
        remote_put(catalog->remote, kept, text, strlen(text), REMOTE_PUT_OVER, NULL);
        free(text);
    }
    json_decref(cache);
    return known;
}

bool deletion_allows_orphan(Catalog *catalog, const char *vm, const Points *points,
                            const char *name, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *date = layout_date_of(name);
    if (!date || cache_knows(catalog, vm, date) <= 0 ||
        newer_is_verified(catalog, vm, points, NULL, date, &why) ||
        MUTANT(deletion_drops_lost)) /* mutant: catalog_deletion */
        return true;
    err_set(error, ERR_STATE,
            "%s is kept: its backup was not deleted, its metadata was lost, and no newer backup is "
            "verified (%s)",
            name, why->message);
    return false;
}

/* --- deleting points --- */

static char *journal_path(const char *vm)
{
    g_autofree char *name = g_strconcat(vm, ".json", NULL);
    return layout_ours("deletions", name, NULL);
}

static bool journal_write(Catalog *catalog, const char *vm, const GPtrArray *doomed, bool all,
                          GError **error)
{
    g_autofree char *path = journal_path(vm);
    json_t *names = json_array();
    for (guint i = 0; i < doomed->len; i++)
        json_array_append_new(names, json_string(doomed->pdata[i]));
    json_t *document =
        json_pack("{s:i,s:b,s:o}", "version", JOURNAL_VERSION, "all", all, "points", names);
    char *text = json_dumps(document, JSON_COMPACT);
    bool ok = remote_put(catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error);
    free(text);
    json_decref(document);
    CRASH_POINT(deletion_journaled);
    return ok;
}

static bool journal_drop(Catalog *catalog, const char *vm, GError **error)
{
    g_autofree char *path = journal_path(vm);
    bool ok = remote_drop(catalog->remote, path, error);
    CRASH_POINT(deletion_closed);
    return ok;
}

static int newest_first(gconstpointer a, gconstpointer b)
{
    return -strcmp(*(const char *const *) a, *(const char *const *) b);
}

static json_t *point_named(const Points *points, const char *name)
{
    gsize i;
    json_t *point;
    json_array_foreach (points->points, i, point)
        if (strcmp(filename_of(point), name) == 0)
            return point;
    return NULL;
}

/* Known points of this VM, without doubles, newest first. */
static GPtrArray *select_points(const Points *points, const char *const *paths, GError **error)
{
    g_autoptr(GPtrArray) selected = g_ptr_array_new();
    for (; *paths; paths++) {
        g_autofree char *name = g_strconcat(**paths == '/' ? "" : "/", *paths, NULL);
        json_t *point = point_named(points, name);
        if (!point) {
            err_set(error, ERR_NOT_FOUND, "there is no readable backup %s", *paths);
            return NULL;
        }
        if (!is_doomed(selected, filename_of(point)))
            g_ptr_array_add(selected, (gpointer) filename_of(point));
    }
    g_ptr_array_sort(selected, newest_first);
    return g_steal_pointer(&selected);
}

/* The JSON first: what is listed always has its data. Disks are left to catalog_clean, which may
 * merge them. */
static bool delete_one(Catalog *catalog, const char *vm, json_t *point, GError **error)
{
    const char *path = filename_of(point) + 1;
    g_autofree char *name = g_path_get_basename(path), *date = layout_date_of(name);
    if (!remote_drop(catalog->remote, path, error))
        return false;
    CRASH_POINT(catalog_delete_point);
    if (!metadata_is_full(point))
        return true;
    g_autofree char *xva = metadata_path(json_object_get(point, "xva")),
                    *whole = layout_vm(vm, xva);
    g_autofree char *checksum = g_strconcat(whole, ".checksum", NULL);
    bool ok = remote_drop(catalog->remote, whole, error);
    return ok && remote_drop(catalog->remote, checksum, error) &&
           (!date || manifest_drop(catalog, vm, date, error));
}

static bool delete_all(Catalog *catalog, const char *vm, const Points *points,
                       const GPtrArray *doomed, GError **error)
{
    bool ok = true;
    for (guint i = 0; i < doomed->len && ok; i++)
        ok = delete_one(catalog, vm, point_named(points, doomed->pdata[i]), error);
    cache_refresh(catalog, vm);
    CRASH_POINT(deletion_cached);
    return ok && journal_drop(catalog, vm, error);
}

bool catalog_delete(Catalog *catalog, const char *vm, const char *const *paths, bool all,
                    GError **error)
{
    g_autoptr(Points) points = points_read(catalog, vm, false, error);
    g_autoptr(GPtrArray) doomed = points ? select_points(points, paths, error) : NULL;
    if (!doomed || !deletion_allows_points(catalog, vm, points, doomed, all, error))
        return false;
    return !doomed->len || (journal_write(catalog, vm, doomed, all, error) &&
                            delete_all(catalog, vm, points, doomed, error));
}

/* --- after a crash --- */

/* Those that are still there. */
static GPtrArray *still_there(const Points *points, json_t *names)
{
    GPtrArray *found = g_ptr_array_new();
    gsize i;
    json_t *name;
    json_array_foreach (names, i, name) {
        json_t *point = json_is_string(name) ? point_named(points, json_string_value(name)) : NULL;
        if (point)
            g_ptr_array_add(found, (gpointer) filename_of(point));
    }
    g_ptr_array_sort(found, newest_first);
    return found;
}

static bool resume(Catalog *catalog, const char *vm, json_t *journal, GError **error)
{
    g_autoptr(GError) refused = NULL;
    bool all = json_is_true(json_object_get(journal, "all"));
    g_autoptr(Points) points = points_read(catalog, vm, false, error);
    if (!points)
        return false;
    g_autoptr(GPtrArray) left = still_there(points, json_object_get(journal, "points"));
    if (deletion_allows_points(catalog, vm, points, left, all, &refused))
        return delete_all(catalog, vm, points, left, error);
    log_warning("catalog", "an interrupted deletion is given up: %s", refused->message);
    return journal_drop(catalog, vm, error);
}

bool deletion_resume(Catalog *catalog, const char *vm, bool *changed, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = journal_path(vm);
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, JOURNAL_MAX_BYTES, &failure);
    if (!text && err_is(failure, ERR_NOT_FOUND))
        return true;
    if (!text) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    json_t *journal = json_loadb(data ? data : "", n, 0, NULL);
    *changed = true;
    bool ok = resume(catalog, vm, journal, error);
    json_decref(journal);
    return ok;
}
