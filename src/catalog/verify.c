/* Is the content what was once written? A disk whose blocks are compared with the manifests as they
 * are read, and the reading of all of it. */
#include "catalog/chain.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "catalog/archive_disk.h"
#include "catalog/known.h"
#include "catalog/member.h"
#include "catalog/tables.h"

#include <string.h>

typedef struct {
    Disk base;
    Disk *inner;
    BlockMap *known;
    char *path;
    Catalog *catalog;
    GPtrArray *members; /* ChainPart, newest first */
    CatalogVerified verified;
} CheckedDisk;

/* What a manifest names was there, if only as zeros. */
static bool checked_has(Disk *base, guint32 block)
{
    CheckedDisk *disk = (CheckedDisk *) base;
    guint8 hash[BLOCK_HASH_BYTES];
    return disk_has(disk->inner, block) || block_map_get(disk->known, block, hash);
}

/* The file that holds a block, for messages. */
static char *holder_of(const CheckedDisk *disk, guint32 block)
{
    for (guint i = 0; i < disk->members->len; i++) {
        const ChainPart *part = disk->members->pdata[i];
        g_auto(MemberPlace) place = { 0 };
        g_autoptr(Disk) member = member_locate(disk->catalog, part->file, &place, NULL)
                                     ? member_open(disk->catalog, &place, true, NULL)
                                     : NULL;
        if (member && disk_has(member, block))
            return g_steal_pointer(&place.data);
    }
    return g_strdup(((const ChainPart *) disk->members->pdata[0])->file);
}

static void blame(const CheckedDisk *disk, guint32 block, GError **error)
{
    g_autofree char *holder = holder_of(disk, block);
    if (err_is(*error, ERR_NOT_FOUND)) /* the file, or the table that names it, is damaged */
        g_prefix_error(error, "%s: block %u, which %s/bat names: ", disk->path, block, holder);
    else
        g_prefix_error(error, "%s: block %u, in %s: ", disk->path, block, holder);
}

static bool checked_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    CheckedDisk *disk = (CheckedDisk *) base;
    guint8 expected[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
    if (!disk_has(disk->inner, block)) {
        memset(buffer, 0, DISK_BLOCK_BYTES);
    } else {
        if (!disk_read_block(disk->inner, block, buffer, error)) {
            blame(disk, block, error);
            return false;
        }
        disk->verified.n_blocks++;
    }
    if (!block_map_get(disk->known, block, expected))
        return true;
    block_hash(buffer, found);
    if (memcmp(expected, found, sizeof found) != 0 &&
        !MUTANT(checked_believes)) { /* mutant: catalog_read:test_checked */
        err_set(error, ERR_CORRUPT, "it is not what was backed up");
        blame(disk, block, error);
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
    if (disk->members)
        g_ptr_array_unref(disk->members);
    g_free(disk->path);
    g_free(disk);
}

static const struct disk_ops checked_ops = { checked_has, checked_read_block, checked_close };

static bool check_tables(const CheckedDisk *disk, GError **error)
{
    for (guint i = 0; i < disk->members->len; i++) {
        const ChainPart *part = disk->members->pdata[i];
        if (!tables_check(disk->catalog, part->file, error))
            return false;
    }
    return true;
}

Disk *catalog_disk_open_checked(Catalog *catalog, const char *vm, const char *path, GError **error)
{
    CheckedDisk *disk = g_new0(CheckedDisk, 1);
    disk->base.ops = &checked_ops;
    disk->path = g_strdup(path);
    disk->catalog = catalog;
    disk->inner = chain_read(catalog, vm, path, &disk->members, error);
    if (disk->inner && check_tables(disk, error))
        disk->known = known_content(catalog, vm, disk->inner, disk->members, error);
    if (!disk->known) {
        checked_close(&disk->base);
        return NULL;
    }
    disk->base.info = disk->inner->info;
    return &disk->base;
}

CatalogVerified catalog_disk_verified(Disk *disk)
{
    CatalogVerified verified = { 0 };
    if (disk->ops == &checked_ops)
        verified = ((CheckedDisk *) disk)->verified;
    else
        archive_disk_verified(disk, &verified);
    return verified;
}

bool catalog_verify(Catalog *catalog, const char *vm, const char *path, CatalogVerified *verified,
                    GError **error)
{
    *verified = (CatalogVerified){ 0 };
    g_autoptr(Disk) disk = catalog_disk_open_checked(catalog, vm, path, error);
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    for (guint32 block = 0; disk && block < disk->info.n_blocks; block++)
        if (disk_has(disk, block) && !disk_read_block(disk, block, buffer, error))
            return false;
    if (disk)
        *verified = catalog_disk_verified(disk);
    return disk != NULL;
}
