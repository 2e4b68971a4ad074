/* A digest over names, sizes, times and inodes, down to the data folders. */
#include "catalog/index.h"

#include "base/log.h"
#include "base/mutant.h"
#include "codec/hash.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_VERSION   1
#define INDEX_MAX_BYTES (64u << 10)
#define INDEX_MAX_DEPTH 5u /* vdis/<job>/<vdi>/data/<date>.vhd */

static bool walk(Catalog *catalog, const char *path, unsigned depth, Hash *hash)
{
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, path, NULL);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *child = g_strjoin("/", path, names->pdata[i], NULL);
        RemoteStat st;
        if (!remote_stat(catalog->remote, child, &st, NULL))
            return false;
        g_autofree char *row = g_strdup_printf(
            "%s\n%" G_GUINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GUINT64_FORMAT " %d\n", child,
            st.is_folder ? 0 : st.size_bytes,
            st.is_folder && depth < INDEX_MAX_DEPTH ? 0 : st.mtime_ns, st.inode, st.is_folder);
        hash_add(hash, row, strlen(row));
        if (st.is_folder && depth < INDEX_MAX_DEPTH && !walk(catalog, child, depth + 1, hash))
            return false;
    }
    return names != NULL;
}

/* NULL when the folder cannot be listed. */
static char *digest(Catalog *catalog, const char *vm)
{
    g_autoptr(Hash) hash = hash_new(HASH_XXH3);
    g_autofree char *folder = layout_vm(vm, NULL);
    return walk(catalog, folder, 0, hash) ? hash_end_hex(hash) : NULL;
}

static char *path_of(const char *vm)
{
    g_autofree char *name = g_strconcat(vm, ".json", NULL);
    return layout_ours("index", name, NULL);
}

bool index_is_clean(Catalog *catalog, const char *vm, bool merge, bool remove)
{
    g_autofree char *path = path_of(vm);
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, INDEX_MAX_BYTES, NULL);
    if (!text)
        return false;
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    json_t *index = json_loadb(data, n, 0, NULL);
    bool covers = json_integer_value(json_object_get(index, "version")) == INDEX_VERSION &&
                  (!merge || json_is_true(json_object_get(index, "merge"))) &&
                  (!remove || json_is_true(json_object_get(index, "remove")));
    g_autofree char *now = covers ? digest(catalog, vm) : NULL;
    bool clean = now && g_strcmp0(now, json_string_value(json_object_get(index, "digest"))) == 0;
    json_decref(index);
    return clean;
}

void index_write(Catalog *catalog, const char *vm, bool merge, bool remove)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *now = digest(catalog, vm), *path = path_of(vm);
    if (!now)
        return;
    json_t *index = json_pack("{s:i,s:b,s:b,s:s}", "version", INDEX_VERSION, "merge", merge,
                              "remove", remove, "digest", now);
    char *text = json_dumps(index, JSON_COMPACT);
    if (!remote_put(catalog->remote, path, text, strlen(text), REMOTE_PUT_VOLATILE, &error))
        log_warning("catalog", "the index of VM %s could not be written: %s", vm, error->message);
    free(text);
    json_decref(index);
}
