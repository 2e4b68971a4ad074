/* XO writes over the metadata of a point after a merge. When it dies in that moment, its cache
 * still has what the file said; size and isVhdDifferencing are made true afterwards. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/metadata.h"

#include <stdlib.h>
#include <string.h>

/* What the cache says of this file, as the file would say it; new reference, or NULL. */
static json_t *remembered(Cleaning *cleaning, json_t *cache, const char *name)
{
    g_autofree char *path = layout_vm(cleaning->vm, name), *key = g_strconcat("/", path, NULL);
    json_t *entry = json_object_get(cache, key);
    if (!entry || !metadata_check(entry, key, NULL))
        return NULL;
    g_autofree char *date = catalog_date(metadata_time(entry));
    if (!date || !g_str_has_prefix(name, date))
        return NULL;
    json_t *point = json_copy(entry);
    json_object_del(point, "_filename");
    json_object_del(point, "id");
    json_object_del(point, "isImmutable");
    return point;
}

static bool put_back(Cleaning *cleaning, const char *name, json_t *point, GError **error)
{
    g_autofree char *path = layout_vm(cleaning->vm, name);
    char *text = json_dumps(point, JSON_COMPACT);
    bool ok =
        remote_put(cleaning->catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error);
    free(text);
    if (ok)
        cleaning_warn(cleaning, path, "it was cut, and is restored from the cache");
    return ok;
}

bool metadata_revive(Cleaning *cleaning, bool *revived, GError **error)
{
    gint64 mtime_ns;
    GHashTableIter iter;
    gpointer name;
    bool ok = true;
    *revived = false;
    if (!g_hash_table_size(cleaning->points->unreadable) ||
        MUTANT(revive_nothing)) /* mutant: catalog_foreign:test_cut_metadata */
        return true;
    json_t *cache = cache_read(cleaning->catalog, cleaning->vm, &mtime_ns);
    g_hash_table_iter_init(&iter, cleaning->points->unreadable);
    while (ok && g_hash_table_iter_next(&iter, &name, NULL)) {
        json_t *point = remembered(cleaning, cache, name);
        ok = !point || put_back(cleaning, name, point, error);
        *revived = *revived || point;
        json_decref(point);
    }
    json_decref(cache);
    cleaning->changed = cleaning->changed || *revived;
    return ok;
}
