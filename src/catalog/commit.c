/* The moment a point begins to exist: its JSON. */
#include "catalog/layout.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/manifest.h"
#include "catalog/member.h"
#include "catalog/metadata.h"
#include "catalog/readback.h"

#include <stdlib.h>
#include <string.h>

/* --- commit --- */

static FinishedDisk *take_finished(Catalog *catalog, const char *vm, const char *path)
{
    g_autofree char *key = g_strjoin("/", vm, path, NULL);
    gpointer old_key = NULL, finished = NULL;
    pthread_mutex_lock(&catalog->lock);
    g_hash_table_steal_extended(catalog->finished, key, &old_key, &finished);
    pthread_mutex_unlock(&catalog->lock);
    g_free(old_key);
    return finished;
}

/* Every disk must be there; those written through this catalog are named in the manifest. */
static Manifest *manifest_of(Catalog *catalog, const char *vm, const char *date, json_t *metadata,
                             GError **error)
{
    g_autoptr(Manifest) manifest = manifest_new(vm, date);
    const char *ref;
    json_t *stored;
    json_object_foreach (json_object_get(metadata, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored), *whole = layout_vm(vm, path);
        g_auto(MemberPlace) place = { 0 };
        if (!member_locate(catalog, whole, &place, error))
            return NULL;
        FinishedDisk *finished = take_finished(catalog, vm, path);
        if (!finished)
            continue;
        manifest_set(manifest, path, &finished->info, finished->map);
        finished_disk_free(finished);
    }
    return g_steal_pointer(&manifest);
}

/* Disks are named block by block in a manifest; an archive has a checksum of its own. */
static bool name_content(Catalog *catalog, const char *vm, const char *date, json_t *metadata,
                         GError **error)
{
    if (metadata_is_full(metadata)) {
        RemoteStat st;
        g_autofree char *xva = metadata_path(json_object_get(metadata, "xva"));
        g_autofree char *whole = layout_vm(vm, xva);
        return remote_stat(catalog->remote, whole, &st, error);
    }
    g_autoptr(Manifest) manifest = manifest_of(catalog, vm, date, metadata, error);
    return manifest && manifest_write(catalog, manifest, error);
}

static bool put_metadata(Catalog *catalog, const char *path, json_t *metadata, GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *text = json_dumps(metadata, JSON_COMPACT);
    bool ok = text &&
              remote_put(catalog->remote, path, text, strlen(text), REMOTE_PUT_NEW, &failure) &&
              read_back_file(catalog, path, text, strlen(text), &failure);
    free(text);
    if (ok)
        return true;
    if (failure && !err_is(failure, ERR_EXISTS)) /* it may have got its name before the failure */
        remote_drop(catalog->remote, path, NULL);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else
        err_set(error, ERR_INVALID, "the metadata of %s cannot be written as JSON", path);
    return false;
}

char *catalog_commit(Catalog *catalog, const char *vm, gint64 time_ms, json_t *metadata,
                     GError **error)
{
    g_autofree char *date = catalog_date(time_ms), *name = g_strconcat(date, ".json", NULL);
    if (!layout_check_name("VM uuid", vm, error) || !metadata_check(metadata, name, error))
        return NULL;
    if (metadata_time(metadata) != time_ms) {
        err_set(error, ERR_INVALID, "the timestamp of the metadata is not that of %s", name);
        return NULL;
    }
    g_autofree char *path = layout_vm(vm, name);
    if (!name_content(catalog, vm, date, metadata, error))
        return NULL;
    CRASH_POINT(catalog_commit_manifest);
    if (!put_metadata(catalog, path, metadata, error))
        return NULL;
    CRASH_POINT(catalog_commit_point);
    cache_refresh(catalog, vm);
    return g_strconcat("/", path, NULL);
}
