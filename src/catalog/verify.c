/* Is the content what was once written? A disk whose blocks are compared with the manifests as they
 * are read, and the reading of all of it. */
#include "catalog/chain.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/known.h"

#include <string.h>

typedef struct {
    Disk base;
    Disk *inner;
    BlockMap *known;
    char *path;
    CatalogVerified verified;
} CheckedDisk;

/* What a manifest names was there, if only as zeros. */
static bool checked_has(Disk *base, guint32 block)
{
    CheckedDisk *disk = (CheckedDisk *) base;
    guint8 hash[BLOCK_HASH_BYTES];
    return disk_has(disk->inner, block) || block_map_get(disk->known, block, hash);
}

static bool checked_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    CheckedDisk *disk = (CheckedDisk *) base;
    guint8 expected[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
    if (!disk_has(disk->inner, block)) {
        memset(buffer, 0, DISK_BLOCK_BYTES);
    } else {
        if (!disk_read_block(disk->inner, block, buffer, error)) {
            g_prefix_error(error, "%s: block %u: ", disk->path, block);
            return false;
        }
        disk->verified.n_blocks++;
    }
    if (!block_map_get(disk->known, block, expected))
        return true;
    block_hash(buffer, found);
    if (memcmp(expected, found, sizeof found) != 0 &&
        !MUTANT(checked_believes)) { /* mutant: catalog_read */
        err_set(error, ERR_CORRUPT, "%s: block %u is not what was backed up", disk->path, block);
        return false;
    }
    disk->verified.n_verified++;
    return true;
}

static void checked_close(Disk *base)
{
    CheckedDisk *disk = (CheckedDisk *) base;
    disk_close(disk->inner);
    if (disk->known)
        block_map_free(disk->known);
    g_free(disk->path);
    g_free(disk);
}

static const struct disk_ops checked_ops = { checked_has, checked_read_block, checked_close };

Disk *catalog_disk_open_checked(Catalog *catalog, const char *vm, const char *path, GError **error)
{
    g_autoptr(GPtrArray) members = NULL;
    CheckedDisk *disk = g_new0(CheckedDisk, 1);
    disk->base.ops = &checked_ops;
    disk->path = g_strdup(path);
    disk->inner = chain_read(catalog, vm, path, &members, error);
    if (disk->inner)
        disk->known = known_content(catalog, vm, disk->inner, members, error);
    if (!disk->known) {
        checked_close(&disk->base);
        return NULL;
    }
    disk->base.info = disk->inner->info;
    return &disk->base;
}

CatalogVerified catalog_disk_verified(Disk *disk)
{
    return disk->ops == &checked_ops ? ((CheckedDisk *) disk)->verified : (CatalogVerified){ 0 };
}

bool catalog_verify(Catalog *catalog, const char *vm, const char *path, CatalogVerified *verified,
                    GError **error)
{
    *verified = (CatalogVerified){ 0 };
    g_autoptr(Disk) disk = catalog_disk_open_checked(catalog, vm, path, error);
    g_autofree void *buffer = g_malloc(DISK_BLOCK_BYTES);
    for (guint32 block = 0; disk && block < disk->info.n_blocks; block++)
        if (disk_has(disk, block) && !disk_read_block(disk, block, buffer, error))
            return false;
    if (disk)
        *verified = catalog_disk_verified(disk);
    return disk != NULL;
}
