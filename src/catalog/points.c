/* Listing a VM's folder. Many files are read as one: either all that is there is known, readable or
 * named as unreadable, or the listing fails. */
#include "catalog/points.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/metadata.h"

#include <stdlib.h>
#include <string.h>

enum { READ_CACHE = 1, READ_BRIEF = 2, READ_LENIENT = 4 };

void points_free(Points *points)
{
    if (!points)
        return;
    g_clear_pointer(&points->names, g_ptr_array_unref);
    g_hash_table_unref(points->unreadable);
    json_decref(points->points);
    g_free(points);
}

static bool names_read(Catalog *catalog, const char *vm, Points *points, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *folder = layout_vm(vm, NULL);
    points->names = remote_list(catalog->remote, folder, &failure);
    if (points->names)
        return true;
    if (err_is(failure, ERR_NOT_FOUND)) {
        points->names = g_ptr_array_new();
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static json_t *own_filename(json_t *point, const char *vm, const char *name)
{
    g_autofree char *path = layout_vm(vm, name);
    json_object_del(point, "id");
    json_object_set_new(point, "_filename", json_sprintf("/%s", path));
    return point;
}

/* Whether the cache names exactly these files, and is not older than any of them. */
static bool cache_agrees(Catalog *catalog, const char *vm, const Points *points, json_t *cache,
                         gint64 mtime_ns)
{
    gsize n_files = 0;
    for (guint i = 0; i < points->names->len; i++) {
        const char *name = points->names->pdata[i];
        if (!layout_is_metadata(name))
            continue;
        g_autofree char *path = layout_vm(vm, name);
        g_autofree char *key = g_strconcat("/", path, NULL);
        RemoteStat st;
        json_t *entry = json_object_get(cache, key);
        bool fresh = remote_stat(catalog->remote, path, &st, NULL) && st.mtime_ns <= mtime_ns;
        if (MUTANT(cache_ignores_time)) /* mutant: catalog_points */
            fresh = true;
        if (!entry || !fresh || !metadata_check(entry, key, NULL))
            return false;
        n_files++;
    }
    return n_files == json_object_size(cache) ||
           MUTANT(cache_ignores_names); /* mutant: catalog_points */
}

static bool take_cache(Catalog *catalog, const char *vm, bool brief, Points *points)
{
    gint64 mtime_ns;
    json_t *cache = brief ? cache_read_brief(catalog, vm, &mtime_ns)
                          : cache_read(catalog, vm, &mtime_ns),
           *entry;
    const char *key;
    bool agrees = cache && cache_agrees(catalog, vm, points, cache, mtime_ns);
    if (agrees)
        json_object_foreach (cache, key, entry)
            json_array_append(points->points, own_filename(entry, vm, strrchr(key, '/') + 1));
    json_decref(cache);
    return agrees;
}

static bool read_one(Catalog *catalog, const char *vm, const char *name, bool brief, Points *points,
                     GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = layout_vm(vm, name);
    json_t *point = NULL;
    if (!g_utf8_validate(name, -1, NULL)) { /* JSON cannot say which it is */
        g_hash_table_insert(points->unreadable, g_strdup(name),
                            g_strdup_printf("the name of %s is not UTF-8", path));
        return true;
    }
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, METADATA_MAX_BYTES, &failure);
    if (text) {
        gsize n;
        const void *data = g_bytes_get_data(text, &n);
        point = brief ? metadata_parse_brief(data, n, path, &failure)
                      : metadata_parse(data, n, path, &failure);
    } else if (err_is(failure, ERR_NOT_FOUND)) { /* deleted since the listing */
        return true;
    } else if (!err_is(failure, ERR_LIMIT) && !err_is(failure, ERR_CORRUPT)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    if (point)
        json_array_append_new(points->points, own_filename(point, vm, name));
    else
        g_hash_table_insert(points->unreadable, g_strdup(name), g_strdup(failure->message));
    return true;
}

/* For a person who looks: one bad sector must not hide the other backups. When nothing at all can
 * be read it is the storage. */
static bool passes_over(const GError *failure, unsigned flags)
{
    return (flags & READ_LENIENT) && (err_is(failure, ERR_IO) || err_is(failure, ERR_DENIED)) &&
           !MUTANT(listing_all_or_nothing); /* mutant: catalog_points */
}

static bool read_all(Catalog *catalog, const char *vm, unsigned flags, Points *points,
                     GError **error)
{
    g_autoptr(GError) first = NULL;
    for (guint i = 0; i < points->names->len; i++) {
        const char *name = points->names->pdata[i];
        g_autoptr(GError) failure = NULL;
        if (!layout_is_metadata(name) ||
            read_one(catalog, vm, name, flags & READ_BRIEF, points, &failure))
            continue;
        if (!passes_over(failure, flags)) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_hash_table_insert(points->unreadable, g_strdup(name), g_strdup(failure->message));
        if (!first)
            first = g_steal_pointer(&failure);
    }
    if (!first || json_array_size(points->points) > 0)
        return true;
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

static int by_time(const void *a, const void *b)
{
    json_t *left = *(json_t *const *) a, *right = *(json_t *const *) b;
    gint64 difference = metadata_time(left) - metadata_time(right);
    if (difference)
        return difference < 0 ? -1 : 1;
    return g_strcmp0(json_string_value(json_object_get(left, "_filename")),
                     json_string_value(json_object_get(right, "_filename")));
}

static void sort(json_t **points)
{
    gsize n = json_array_size(*points);
    g_autofree json_t **rows = g_new(json_t *, MAX(n, 1));
    json_t *sorted = json_array();
    for (gsize i = 0; i < n; i++)
        rows[i] = json_array_get(*points, i);
    qsort(rows, n, sizeof *rows, by_time);
    for (gsize i = 0; i < n; i++)
        json_array_append(sorted, rows[i]);
    json_decref(*points);
    *points = sorted;
}

static Points *read_folder(Catalog *catalog, const char *vm, unsigned flags, GError **error)
{
    if (!layout_check_name("VM uuid", vm, error))
        return NULL;
    g_autoptr(Points) points = g_new0(Points, 1);
    points->points = json_array();
    points->unreadable = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (!names_read(catalog, vm, points, error))
        return NULL;
    if (!((flags & READ_CACHE) && take_cache(catalog, vm, flags & READ_BRIEF, points)) &&
        !read_all(catalog, vm, flags, points, error))
        return NULL;
    sort(&points->points);
    return g_steal_pointer(&points);
}

Points *points_read(Catalog *catalog, const char *vm, bool use_cache, GError **error)
{
    return read_folder(catalog, vm, use_cache ? READ_CACHE : 0, error);
}

Points *points_show(Catalog *catalog, const char *vm, GError **error)
{
    return read_folder(catalog, vm, READ_CACHE | READ_BRIEF | READ_LENIENT, error);
}

json_t *points_problems(const Points *points)
{
    json_t *problems = json_array();
    GHashTableIter iter;
    gpointer reason;
    g_hash_table_iter_init(&iter, points->unreadable);
    while (g_hash_table_iter_next(&iter, NULL, &reason))
        json_array_append_new(problems, json_text_of_bytes(reason));
    return problems;
}

bool points_refresh_cache(Catalog *catalog, const char *vm, GError **error)
{
    g_autoptr(Points) points = points_read(catalog, vm, false, error);
    if (points)
        cache_write(catalog, vm, points->points);
    return points != NULL;
}

static json_t *read_points(Catalog *catalog, const char *vm, unsigned flags, json_t **problems,
                           GError **error)
{
    g_autoptr(Points) points = read_folder(catalog, vm, flags, error);
    if (problems)
        *problems = points ? points_problems(points) : json_array();
    return points ? json_incref(points->points) : NULL;
}

json_t *catalog_points(Catalog *catalog, const char *vm, json_t **problems, GError **error)
{
    return read_points(catalog, vm, READ_CACHE, problems, error);
}

json_t *catalog_points_afresh(Catalog *catalog, const char *vm, json_t **problems, GError **error)
{
    return read_points(catalog, vm, READ_LENIENT, problems, error);
}

json_t *catalog_point(Catalog *catalog, const char *path, GError **error)
{
    while (*path == '/')
        path++;
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    if (g_strv_length(parts) != 3 || strcmp(parts[0], LAYOUT_VMS) != 0 ||
        !layout_is_metadata(parts[2])) {
        err_set(error, ERR_INVALID, "\"%.300s\" is not the path of a backup", path);
        return NULL;
    }
    if (!layout_check_name("VM uuid", parts[1], error))
        return NULL;
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, METADATA_MAX_BYTES, error);
    if (!text)
        return NULL;
    gsize n;
    const void *data = g_bytes_get_data(text, &n);
    json_t *point = metadata_parse(data, n, path, error);
    return point ? own_filename(point, parts[1], parts[2]) : NULL;
}
