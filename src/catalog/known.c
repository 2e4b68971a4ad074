/* What was once written? What each member of a chain brought is known from the manifest of its
 * point; the newest word on a block counts. */
#include "catalog/known.h"

#include "base/error.h"
#include "catalog/manifest.h"
#include "catalog/member.h"

#include <string.h>

/* What its own manifest says of a member; NULL without an error when there is none. */
static BlockMap *map_of(Catalog *catalog, const char *vm, const char *path, const DiskUid *uid,
                        GError **error)
{
    g_autofree char *folder = layout_vm(vm, NULL), *name = g_path_get_basename(path);
    g_autofree char *date = layout_date_of(name);
    g_autoptr(GError) failure = NULL;
    g_autoptr(Manifest) manifest = date ? manifest_read(catalog, vm, date, &failure) : NULL;
    if (manifest && uid && !manifest_is(manifest, path + strlen(folder) + 1, uid, error))
        return NULL;
    if (manifest)
        return manifest_get(manifest, path + strlen(folder) + 1, error);
    if (failure && !err_is(failure, ERR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

/* A member without a manifest makes unknown what older ones say of its blocks; of all blocks when
 * it is gone (its content is in the ancestor that took its place). */
static bool forget(Catalog *catalog, const char *path, BlockMap *known, GError **error)
{
    g_auto(MemberPlace) place = { 0 };
    RemoteStat st;
    if (!remote_stat(catalog->remote, path, &st, NULL)) {
        block_map_clear(known);
        return true;
    }
    g_autoptr(Disk) disk = member_locate(catalog, path, &place, error)
                               ? member_open(catalog, &place, true, error)
                               : NULL;
    for (guint32 block = 0; disk && block < disk->info.n_blocks; block++)
        if (disk_has(disk, block))
            block_map_drop(known, block);
    return disk != NULL;
}

BlockMap *known_content(Catalog *catalog, const char *vm, Disk *disk, GPtrArray *members,
                        GError **error)
{
    g_autoptr(BlockMap) known = block_map_new();
    for (guint i = members->len; i-- > 0;) {
        GError *failure = NULL;
        const DiskUid *uid = i == 0 ? &disk->info.uid : NULL;
        g_autoptr(BlockMap) map = map_of(catalog, vm, members->pdata[i], uid, &failure);
        if (map)
            block_map_add(known, map);
        else if (failure || !forget(catalog, members->pdata[i], known, &failure)) {
            g_propagate_error(error, failure);
            return NULL;
        }
    }
    return g_steal_pointer(&known);
}
