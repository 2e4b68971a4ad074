/* What was once written? What each member of a chain brought is known from the manifest of its
 * point; the newest word on a block counts. */
#include "catalog/known.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/chain.h"
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
    if (manifest && uid && !manifest_is(manifest, path + strlen(folder) + 1, uid, error)) {
        g_autofree char *words = member_words(catalog, path);
        g_prefix_error(error, "%s: ", words);
        return NULL;
    }
    if (manifest)
        return manifest_get(manifest, path + strlen(folder) + 1, error);
    if (failure && !err_is(failure, ERR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static Disk *open_file(Catalog *catalog, const char *path)
{
    g_auto(MemberPlace) place = { 0 };
    return member_locate(catalog, path, &place, NULL) ? member_open(catalog, &place, true, NULL)
                                                      : NULL;
}

/* A block of a member that no row names (another program wrote it, or merged it in) makes unknown
 * what older members say of it. A member that is gone does so for all blocks: its content is in the
 * ancestor that took its place. `map` may be NULL. */
static void forget(Catalog *catalog, const char *path, BlockMap *map, BlockMap *known)
{
    guint8 hash[BLOCK_HASH_BYTES];
    g_autoptr(Disk) disk = open_file(catalog, path);
    if (!disk && !map)
        block_map_clear(known);
    for (guint32 block = 0; disk && block < disk->info.n_blocks; block++)
        if (disk_has(disk, block) && !(map && block_map_get(map, block, hash)) &&
            !(map && MUTANT(known_trusts_older))) /* mutant: catalog_foreign */
            block_map_drop(known, block);
}

BlockMap *known_content(Catalog *catalog, const char *vm, Disk *disk, GPtrArray *members,
                        GError **error)
{
    g_autoptr(BlockMap) known = block_map_new();
    for (guint i = members->len; i-- > 0;) {
        const ChainPart *part = members->pdata[i];
        GError *failure = NULL;
        const DiskUid *uid = i == 0 ? &disk->info.uid : NULL;
        g_autoptr(BlockMap) map = map_of(catalog, vm, part->disk, uid, &failure);
        if (failure) {
            g_propagate_error(error, failure);
            return NULL;
        }
        forget(catalog, part->file, map, known);
        if (map)
            block_map_add(known, map);
    }
    return g_steal_pointer(&known);
}
