/* Points as the API shows them, and our index of them: .cadenza/index/<vm>.points.json holds what a
 * listing found, with a digest over names, sizes, times and inodes of the metadata files it was
 * made of. While the digest is the same no metadata is read. */
#include "catalog/points.h"

#include "base/json_part.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mutant.h"
#include "codec/hash.h"

#include <string.h>

#define LISTING_VERSION   1
#define LISTING_MAX_BYTES (64u << 20)
/* A file may change again without a new time within a tick of the clock of its file system; the
 * coarsest have seconds. */
#define SETTLED_NS (2 * G_GINT64_CONSTANT(1000000000))

/* Of the metadata files of a VM. *settled: none has changed just now. NULL: it cannot be said. */
static char *digest_of(Catalog *catalog, const char *vm, bool *settled)
{
    g_autofree char *folder = layout_vm(vm, NULL);
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, folder, NULL);
    g_autoptr(Hash) hash = hash_new(HASH_XXH3);
    gint64 now_ns = g_get_real_time() * 1000;
    *settled = true;
    for (guint i = 0; names && i < names->len; i++) {
        const char *name = names->pdata[i];
        RemoteStat st;
        if (!layout_is_metadata(name))
            continue;
        g_autofree char *path = g_strjoin("/", folder, name, NULL);
        if (!remote_stat(catalog->remote, path, &st, NULL))
            return NULL;
        gint64 row[] = { (gint64) st.size_bytes, MUTANT(listing_ignores_time) ? 0 : st.mtime_ns,
                         (gint64) st.inode }; /* mutant: catalog_points */
        hash_add(hash, name, strlen(name) + 1);
        hash_add(hash, row, sizeof row);
        *settled = *settled && now_ns - st.mtime_ns > SETTLED_NS;
    }
    return names ? hash_end_hex(hash) : NULL;
}

static char *path_of(const char *vm)
{
    g_autofree char *name = g_strconcat(vm, ".points.json", NULL);
    return layout_ours("index", name, NULL);
}

/* --- Most fields are the same in all points of a VM: they are written, and parsed, once. --- */

/* Those of the first view that all have alike; a new reference. */
static json_t *common_of(json_t *views)
{
    json_t *common = json_copy(json_array_get(views, 0)), *view, *value;
    const char *key;
    void *next;
    gsize i;
    json_array_foreach (views, i, view)
        json_object_foreach_safe (common, next, key, value)
            if (!json_equal(json_object_get(view, key), value))
                json_object_del(common, key);
    return common;
}

static json_t *rows_of(json_t *views, json_t *common)
{
    json_t *rows = json_array(), *view, *value;
    const char *key;
    gsize i;
    json_array_foreach (views, i, view) {
        json_t *row = json_object();
        json_object_foreach (view, key, value)
            if (!json_object_get(common, key))
                json_object_set_nocheck(row, key, value);
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *views_of(json_t *common, json_t *rows)
{
    json_t *views = json_array(), *row;
    gsize i;
    json_array_foreach (rows, i, row) {
        json_t *view = json_copy(common);
        json_object_update(view, row);
        json_array_append_new(views, view);
    }
    return views;
}

/* --- The file --- */

/* The views of the index, a new reference; NULL when there is none of this digest. */
static json_t *index_read(Catalog *catalog, const char *vm, const char *digest)
{
    g_autofree char *path = path_of(vm);
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, LISTING_MAX_BYTES, NULL);
    if (!text)
        return NULL;
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    json_t *index = json_part(data, n, NULL, NULL), *rows = json_object_get(index, "rows");
    json_t *common = json_object_get(index, "common");
    bool good = json_integer_value(json_object_get(index, "version")) == LISTING_VERSION &&
                g_strcmp0(json_string_value(json_object_get(index, "digest")), digest) == 0 &&
                json_is_object(common) && json_is_array(rows);
    json_t *views = good ? views_of(common, rows) : NULL;
    json_decref(index);
    return views;
}

/* Best effort: what a power cut tears is not readable, and made again. */
static void index_put(Catalog *catalog, const char *vm, const char *digest, json_t *views)
{
    g_autofree char *path = path_of(vm);
    g_autoptr(GError) error = NULL;
    json_t *common = common_of(views);
    json_t *index = json_pack("{s:i, s:s, s:O, s:o}", "version", LISTING_VERSION, "digest", digest,
                              "common", common, "rows", rows_of(views, common));
    json_decref(common);
    g_autoptr(GString) text = g_string_new(NULL);
    json_write_value(text, index);
    json_decref(index);
    if (!remote_put(catalog->remote, path, text->str, text->len, REMOTE_PUT_VOLATILE, &error))
        log_debug("catalog", "the index of VM %s was not written: %s", vm, error->message);
}

static json_t *read_views(Catalog *catalog, const char *vm, json_t **problems, GError **error)
{
    g_autoptr(Points) points = points_show(catalog, vm, error);
    if (!points)
        return NULL;
    json_t *views = json_array(), *point;
    gsize i;
    json_array_foreach (points->points, i, point)
        json_array_append_new(views, catalog_view(point, ""));
    *problems = points_problems(points);
    return views;
}

/* In the index they belong to no remote: a folder may be one under several names. */
static void adopt(json_t *views, const char *remote_id)
{
    json_t *view;
    gsize i;
    json_array_foreach (views, i, view) {
        const char *id = json_string_value(json_object_get(view, "id"));
        json_object_set_new(view, "backupRepository", json_string(remote_id));
        g_autofree char *whole = g_strconcat(remote_id, id ? id : "", NULL);
        json_object_set_new(view, "id", json_string(whole));
    }
}

json_t *catalog_views(Catalog *catalog, const char *vm, const char *remote_id, json_t **problems,
                      GError **error)
{
    bool settled;
    *problems = NULL;
    if (!layout_check_name("VM uuid", vm, error))
        return NULL;
    g_autofree char *digest = digest_of(catalog, vm, &settled);
    json_t *views = digest ? index_read(catalog, vm, digest) : NULL;
    if (!views) {
        views = read_views(catalog, vm, problems, error);
        bool keep = views && digest && settled && json_array_size(*problems) == 0;
        if (keep && json_array_size(views) > 0)
            index_put(catalog, vm, digest, views);
    }
    if (!*problems)
        *problems = json_array();
    adopt(views, remote_id);
    return views;
}
