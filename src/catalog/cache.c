/* The cache belongs to XO: we read it to save parsing when it agrees with the folder, and keep it
 * true for XO after every change of ours. */
#include "catalog/cache.h"

#include "base/error.h"
#include "base/log.h"
#include "catalog/metadata.h"
#include "catalog/points.h"
#include "codec/codec.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_MAX_BYTES          (256u << 20)
#define CACHE_EXPANDED_MAX_BYTES (1024u << 20)

static json_t *read_cache(Catalog *catalog, const char *vm, bool brief, gint64 *mtime_ns)
{
    g_autofree char *path = layout_vm(vm, LAYOUT_CACHE);
    RemoteStat st;
    if (!remote_stat(catalog->remote, path, &st, NULL))
        return NULL;
    g_autoptr(GBytes) packed = remote_get(catalog->remote, path, CACHE_MAX_BYTES, NULL);
    if (!packed)
        return NULL;
    static const JsonWant entries[] = { { "*", metadata_brief }, { NULL } };
    gsize n;
    const void *data = g_bytes_get_data(packed, &n);
    g_autoptr(GBytes)
        text = codec_expand_all(codec_find("gzip"), data, n, CACHE_EXPANDED_MAX_BYTES, NULL);
    if (!text)
        return NULL;
    data = g_bytes_get_data(text, &n);
    json_t *cache = brief ? json_part(data, n, entries, NULL)
                          : json_loadb(data, n, JSON_ALLOW_NUL, NULL);
    if (cache && !json_is_object(cache))
        g_clear_pointer(&cache, json_decref);
    *mtime_ns = st.mtime_ns;
    return cache;
}

json_t *cache_read(Catalog *catalog, const char *vm, gint64 *mtime_ns)
{
    return read_cache(catalog, vm, false, mtime_ns);
}

json_t *cache_read_brief(Catalog *catalog, const char *vm, gint64 *mtime_ns)
{
    return read_cache(catalog, vm, true, mtime_ns);
}

static json_t *cache_of(json_t *points)
{
    json_t *cache = json_object(), *point;
    gsize i;
    json_array_foreach (points, i, point) {
        json_t *name = json_object_get(point, "_filename"), *entry = json_object();
        json_object_set(entry, "_filename", name);
        json_object_set(entry, "id", name);
        json_object_update(entry, point);
        json_object_set_new(cache, json_string_value(name), entry);
    }
    return cache;
}

static bool cache_put(Catalog *catalog, const char *path, json_t *cache, GError **error)
{
    char *text = json_dumps(cache, JSON_COMPACT);
    gsize n = text ? strlen(text) : 0;
    const Codec *gzip = codec_find("gzip");
    gsize room = codec_bound(gzip, n);
    g_autofree void *packed = g_malloc(room);
    gsize n_packed = text ? codec_compress(gzip, text, n, packed, room, error) : 0;
    free(text);
    return n_packed && remote_put(catalog->remote, path, packed, n_packed, REMOTE_PUT_OVER, error);
}

void cache_write(Catalog *catalog, const char *vm, json_t *points)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *path = layout_vm(vm, LAYOUT_CACHE);
    json_t *cache = cache_of(points);
    if (!cache_put(catalog, path, cache, &error)) {
        log_warning("catalog", "the cache of VM %s could not be written, removing it: %s", vm,
                    error ? error->message : "out of memory");
        remote_drop(catalog->remote, path, NULL);
    }
    json_decref(cache);
}

void cache_refresh(Catalog *catalog, const char *vm)
{
    g_autoptr(GError) error = NULL;
    if (points_refresh_cache(catalog, vm, &error))
        return;
    g_autofree char *path = layout_vm(vm, LAYOUT_CACHE);
    log_warning("catalog", "removing the cache of VM %s, which may be stale: %s", vm,
                error->message);
    remote_drop(catalog->remote, path, NULL);
}
