/* What interrupted transfers leave: hidden files, data folders that no alias names, archives
 * without metadata. Only what is known to be such is deleted; anything else is told of and stays.
 */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/manifest.h"
#include "catalog/metadata.h"

#include <string.h>

enum { STALE_MS = 600000 }; /* twice the usual patience with a repository */

static bool drop(Cleaning *cleaning, const char *path, bool tree, const char *why, GError **error)
{
    if (why)
        cleaning_warn(cleaning, path, "%s", why);
    cleaning->changed = true;
    cleaning->out->n_dropped++;
    return tree ? remote_drop_tree(cleaning->catalog->remote, path, error)
                : remote_drop(cleaning->catalog->remote, path, error);
}

/* --- a lineage --- */

static bool drop_temporaries(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    for (guint i = 0; i < lineage->names->len; i++) {
        g_autofree char *path = g_strjoin("/", lineage->folder, lineage->names->pdata[i], NULL);
        if (layout_is_temporary(lineage->names->pdata[i]) &&
            !drop(cleaning, path, false, NULL, error))
            return false;
    }
    return true;
}

static bool sweep_members(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        const Member *member = lineage->members->pdata[i];
        if (member->place.is_directory && !member->fault &&
            !member_sweep(cleaning->catalog, member->place.data, false, error))
            return false;
    }
    return true;
}

/* The data of every alias; false when one cannot be followed, so that nobody knows what it names.
 */
static bool claim(Lineage *lineage, GHashTable *claimed)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (!layout_is_alias(member->name))
            continue;
        if (!member->place.data && !err_is(member->fault, ERR_NOT_FOUND))
            return false;
        if (member->place.data)
            g_hash_table_add(claimed, member->place.data);
    }
    return true;
}

static bool drop_unclaimed(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    g_autoptr(GHashTable) claimed = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) failure = NULL;
    g_autofree char *data = g_strjoin("/", lineage->folder, "data", NULL);
    g_autoptr(GPtrArray) names = remote_list(cleaning->catalog->remote, data, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    if (!names || !claim(lineage, claimed))
        return true;
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_strjoin("/", data, names->pdata[i], NULL);
        if (!g_hash_table_contains(claimed, path) && cleaning_may_drop(cleaning, names->pdata[i]) &&
            !drop(cleaning, path, true, "no alias references this block directory", error))
            return false;
    }
    return true;
}

static bool is_empty(Lineage *lineage)
{
    for (guint i = 0; i < lineage->names->len; i++)
        if (strcmp(lineage->names->pdata[i], "data") != 0)
            return false;
    return true;
}

bool leftovers_of_lineage(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    if (!drop_temporaries(cleaning, lineage, error) || !sweep_members(cleaning, lineage, error) ||
        !drop_unclaimed(cleaning, lineage, error))
        return false;
    if (!is_empty(lineage))
        return true;
    g_autofree char *job = g_path_get_dirname(lineage->folder);
    if (!drop(cleaning, lineage->folder, true, NULL, error))
        return false;
    g_autoptr(GPtrArray) siblings = remote_list(cleaning->catalog->remote, job, error);
    return siblings && (siblings->len || remote_drop_tree(cleaning->catalog->remote, job, error));
}

/* --- the VM's folder --- */

static bool is_archive_of(const char *name, const char *date)
{
    const char *rest = name + strlen(date);
    return strcmp(rest, ".xva") == 0 || strcmp(rest, ".xva.checksum") == 0;
}

static bool is_claimed(Cleaning *cleaning, const char *name, const char *date)
{
    gsize i;
    json_t *point;
    g_autofree char *unreadable = g_strconcat(date, ".json", NULL);
    if (g_hash_table_contains(cleaning->points->unreadable, unreadable))
        return true;
    json_array_foreach (cleaning->points->points, i, point) {
        g_autofree char *xva = metadata_path(json_object_get(point, "xva"));
        if (xva && g_str_has_prefix(name, xva))
            return true;
    }
    return false;
}

bool leftovers_of_vm(Cleaning *cleaning, GError **error)
{
    for (guint i = 0; i < cleaning->points->names->len; i++) {
        const char *name = cleaning->points->names->pdata[i];
        g_autofree char *path = layout_vm(cleaning->vm, name), *date = layout_date_of(name);
        bool orphan = date && is_archive_of(name, date) && !is_claimed(cleaning, name, date);
        if (orphan && !cleaning_may_drop(cleaning, name))
            continue;
        if ((orphan || layout_is_temporary(name)) &&
            !drop(cleaning, path, false, orphan ? "unused XVA" : NULL, error))
            return false;
    }
    return true;
}

bool quarantine(Cleaning *cleaning, GError **error)
{
    Remote *remote = cleaning->catalog->remote;
    GHashTableIter iter;
    gpointer name, reason;
    g_hash_table_iter_init(&iter, cleaning->points->unreadable);
    while (g_hash_table_iter_next(&iter, &name, &reason)) {
        g_autofree char *path = layout_vm(cleaning->vm, name);
        g_autofree char *copy = layout_ours("quarantine", cleaning->vm, name);
        cleaning_warn(cleaning, path, "%s; it and its disks are kept", (char *) reason);
        g_autoptr(GBytes) text = remote_get(remote, path, METADATA_MAX_BYTES, NULL);
        gsize n = 0;
        const void *data = text ? g_bytes_get_data(text, &n) : NULL;
        if (text && !remote_put(remote, copy, data ? data : "", n, REMOTE_PUT_OVER, error))
            return false;
    }
    return true;
}

/* --- manifests --- */

bool manifests_clean(Cleaning *cleaning, GHashTable *dates, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *folder = layout_ours("manifests", cleaning->vm, NULL);
    g_autoptr(GPtrArray) names = remote_list(cleaning->catalog->remote, folder, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *path = g_strjoin("/", folder, name, NULL), *date = layout_date_of(name);
        bool kept = date ? g_ptr_array_find_with_equal_func(cleaning->points->names, name,
                                                            g_str_equal, NULL) ||
                               g_hash_table_contains(dates, date)
                         : !layout_is_temporary(name);
        if (!kept && !remote_drop(cleaning->catalog->remote, path, error))
            return false;
    }
    return true;
}

/* --- folders that all VMs share --- */

/* ".<digits>.<vm>.….tmp" */
static bool is_half_written(const char *name, const char *vm)
{
    const char *rest = layout_is_temporary(name) ? strchr(name + 1, '.') + 1 : "";
    gsize n = strlen(vm);
    return strncmp(rest, vm, n) == 0 && rest[n] == '.';
}

/* By its name and by the storage's clock. */
static bool is_stale(Catalog *catalog, const char *name, const char *path)
{
    gint64 now_ms = g_get_real_time() / 1000;
    RemoteStat st;
    return layout_is_temporary(name) && g_str_has_suffix(name, ".tmp") &&
           (g_ascii_strtoll(name + 1, NULL, 10) < now_ms - STALE_MS ||
            MUTANT(sweep_takes_all)) && /* mutant: catalog_clean */
           remote_stat(catalog->remote, path, &st, NULL) &&
           !st.is_folder && st.mtime_ns / 1000000 < now_ms - STALE_MS;
}

/* `vm` NULL: of any, but old. */
static bool sweep(Catalog *catalog, const char *kind, const char *vm, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *folder = layout_ours(kind, NULL, NULL);
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, folder, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *path = g_strjoin("/", folder, names->pdata[i], NULL);
        bool ours = vm ? is_half_written(names->pdata[i], vm)
                       : is_stale(catalog, names->pdata[i], path);
        if (ours && !remote_drop(catalog->remote, path, error))
            return false;
    }
    return true;
}

bool catalog_sweep(Catalog *catalog, const char *vm, GError **error)
{
    return sweep(catalog, "index", vm, error) && sweep(catalog, "deletions", vm, error);
}

bool catalog_sweep_stale(Catalog *catalog, GError **error)
{
    return sweep(catalog, "index", NULL, error) && sweep(catalog, "deletions", NULL, error);
}
