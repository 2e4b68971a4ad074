/* Is the content what was once written? What each member of the chain brought is known from the
 * manifest of its point; the newest word on a block counts. */
#include "catalog/chain.h"

#include "base/error.h"
#include "base/log.h"
#include "catalog/manifest.h"
#include "catalog/member.h"

#include <string.h>

/* What its own manifest says of a member; NULL without an error when there is none. */
static BlockMap *map_of(Catalog *catalog, const char *vm, const char *path, GError **error)
{
    g_autofree char *folder = layout_vm(vm, NULL), *name = g_path_get_basename(path);
    g_autofree char *date = layout_date_of(name);
    g_autoptr(GError) failure = NULL;
    g_autoptr(Manifest) manifest = date ? manifest_read(catalog, vm, date, &failure) : NULL;
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

static BlockMap *known_content(Catalog *catalog, const char *vm, GPtrArray *members, GError **error)
{
    g_autoptr(BlockMap) known = block_map_new();
    for (guint i = members->len; i-- > 0;) {
        GError *failure = NULL;
        g_autoptr(BlockMap) map = map_of(catalog, vm, members->pdata[i], &failure);
        if (map)
            block_map_add(known, map);
        else if (failure || !forget(catalog, members->pdata[i], known, &failure)) {
            g_propagate_error(error, failure);
            return NULL;
        }
    }
    return g_steal_pointer(&known);
}

static bool compare(Disk *disk, BlockMap *known, CatalogVerified *verified, const char *path,
                    GError **error)
{
    g_autofree void *buffer = g_malloc(DISK_BLOCK_BYTES);
    for (guint32 block = 0; block < disk->info.n_blocks; block++) {
        guint8 expected[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
        bool named = block_map_get(known, block, expected);
        if (disk_has(disk, block)) {
            if (!disk_read_block(disk, block, buffer, error))
                return false;
            verified->n_blocks++;
        } else {
            memset(buffer, 0, named ? DISK_BLOCK_BYTES : 0);
        }
        if (!named)
            continue;
        block_hash(buffer, found);
        if (memcmp(expected, found, sizeof found) != 0) {
            err_set(error, ERR_CORRUPT, "%s: block %u is not what was backed up", path, block);
            return false;
        }
        verified->n_verified++;
    }
    return true;
}

bool catalog_verify(Catalog *catalog, const char *vm, const char *path, CatalogVerified *verified,
                    GError **error)
{
    g_autoptr(GPtrArray) members = NULL;
    *verified = (CatalogVerified){ 0 };
    g_autoptr(Disk) disk = chain_read(catalog, vm, path, &members, error);
    g_autoptr(BlockMap) known = disk ? known_content(catalog, vm, members, error) : NULL;
    return known && compare(disk, known, verified, path, error);
}
