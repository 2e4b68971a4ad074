/* Between "written" and "backed up": what the storage gives back must be what the pool gave us.
 * Reads go past the page cache, which would only repeat what we said. */
#include "catalog/readback.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

#define RANDOM_BLOCKS 8u /* beside the first and the last */

static Disk *open_stored(Catalog *catalog, const MemberPlace *place, GError **error)
{
    if (place->is_directory) {
        Chunks *chunks = remote_chunks_stored(catalog->remote, place->data, error);
        return chunks ? vhd_directory_open(chunks, error) : NULL;
    }
    remote_forget(catalog->remote, place->data);
    Bytes *bytes = remote_bytes(catalog->remote, place->data, REMOTE_READ, error);
    return bytes ? vhd_open(bytes, error) : NULL;
}

/* Storage that fails to answer is one thing; an answer that makes no sense is damage. */
static void blame(GError *why, const char *what, GError **error)
{
    if (err_is(why, ERR_IO) || err_is(why, ERR_DENIED))
        g_propagate_prefixed_error(error, why, "%s: ", what);
    else {
        err_set(error, ERR_CORRUPT, "%s: %s", what, why->message);
        g_error_free(why);
    }
}

bool read_back_file(Catalog *catalog, const char *path, const void *data, gsize n, GError **error)
{
    GError *why = NULL;
    remote_forget(catalog->remote, path);
    g_autoptr(GBytes) found = remote_get(catalog->remote, path, n, &why);
    gsize n_found = 0;
    const void *bytes = found ? g_bytes_get_data(found, &n_found) : NULL;
    if (found && n_found == n && (n == 0 || memcmp(bytes, data, n) == 0))
        return true;
    g_autofree char *what = g_strdup_printf("%s did not come back as written", path);
    if (why)
        blame(why, what, error);
    else
        err_set(error, ERR_CORRUPT, "%s", what);
    return false;
}

static bool same_head(const DiskInfo *written, const DiskInfo *found)
{
    return written->size_bytes == found->size_bytes &&
           written->differencing == found->differencing &&
           memcmp(&written->uid, &found->uid, sizeof found->uid) == 0 &&
           memcmp(&written->parent_uid, &found->parent_uid, sizeof found->uid) == 0 &&
           strcmp(written->parent_name, found->parent_name) == 0;
}

static bool check_table(Disk *disk, BlockMap *blocks, const char *name, GError **error)
{
    guint8 hash[BLOCK_HASH_BYTES];
    for (guint32 block = 0; block < disk->info.n_blocks; block++) {
        bool written = block_map_get(blocks, block, hash);
        if (disk_has(disk, block) == written)
            continue;
        err_set(error, ERR_CORRUPT,
                "%s did not come back as written: its table %s block %u (offset %" G_GUINT64_FORMAT
                ")",
                name, written ? "lacks" : "names", block, (guint64) block * DISK_BLOCK_BYTES);
        return false;
    }
    return true;
}

static bool check_block(Disk *disk, guint32 block, BlockMap *blocks, void *buffer, const char *name,
                        GError **error)
{
    guint8 written[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
    GError *why = NULL;
    g_autofree char *what = g_strdup_printf("%s: block %u (offset %" G_GUINT64_FORMAT
                                            ") did not come back as written",
                                            name, block, (guint64) block * DISK_BLOCK_BYTES);
    if (!disk_read_block(disk, block, buffer, &why)) {
        blame(why, what, error);
        return false;
    }
    block_hash(buffer, found);
    if (block_map_get(blocks, block, written) && memcmp(written, found, sizeof found) == 0)
        return true;
    err_set(error, ERR_CORRUPT, "%s", what);
    return false;
}

static int by_number(const void *a, const void *b)
{
    guint32 left = *(const guint32 *) a, right = *(const guint32 *) b;
    return left < right ? -1 : left > right;
}

/* Keeps the first, the last and some between, in ascending order; returns how many. */
static guint32 choose(guint32 *blocks, guint32 n_blocks, CatalogReadBack how)
{
    guint32 n_chosen = MIN(n_blocks, RANDOM_BLOCKS + 2);
    if (how == CATALOG_READ_ALL || n_blocks == 0)
        return n_blocks;
    if (how == CATALOG_READ_NONE)
        return 0;
    g_autoptr(GRand) random = g_rand_new();
    guint32 last = blocks[n_blocks - 1];
    blocks[n_blocks - 1] = blocks[MIN(1, n_blocks - 1)];
    blocks[MIN(1, n_blocks - 1)] = last;
    for (guint32 i = 2; i < n_chosen; i++) {
        guint32 at = (guint32) g_rand_int_range(random, (gint32) i, (gint32) n_blocks);
        guint32 chosen = blocks[at];
        blocks[at] = blocks[i];
        blocks[i] = chosen;
    }
    qsort(blocks, n_chosen, sizeof *blocks, by_number);
    return n_chosen;
}

static bool check_blocks(Disk *disk, BlockMap *written, CatalogReadBack how, const char *name,
                         CatalogVerified *verified, GError **error)
{
    g_autofree guint32 *blocks = block_map_blocks(written, &verified->n_blocks);
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    guint32 n_chosen = choose(blocks, verified->n_blocks, how);
    for (guint32 i = 0; i < n_chosen; i++, verified->n_verified++)
        if (!check_block(disk, blocks[i], written, buffer, name, error) &&
            !MUTANT(read_back_shrugs)) /* mutant: catalog_readback */
            return false;
    return true;
}

bool read_back(Catalog *catalog, const MemberPlace *place, const DiskInfo *written,
               BlockMap *blocks, CatalogReadBack how, const char *name, CatalogVerified *verified,
               GError **error)
{
    GError *why = NULL;
    *verified = (CatalogVerified){ 0 };
    g_autoptr(Disk) disk = open_stored(catalog, place, &why);
    if (!disk) {
        g_autofree char *what = g_strdup_printf("%s did not come back as written", name);
        blame(why, what, error);
        return false;
    }
    if (MUTANT(writer_skips_check)) /* mutant: catalog_writer:test_read_back */
        return true;
    if (!same_head(written, &disk->info)) {
        err_set(error, ERR_CORRUPT, "%s did not come back as written: its head differs", name);
        return false;
    }
    return check_table(disk, blocks, name, error) &&
           check_blocks(disk, blocks, how, name, verified, error);
}
