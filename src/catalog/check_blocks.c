/* Each disk by itself, once, however many backups stand on it: its table against its manifest and
 * against the block files that are there, and, when asked, its content. */
#include "catalog/checking.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "catalog/manifest.h"

#include <string.h>

#define MAX_TOLD 50u /* findings of blocks a disk; more are counted */
#define MAX_IO   16u /* reads that fail before a disk is given up */
#define NO_BLOCK G_MAXUINT32
#define BLOCK_AT " (offset %" G_GUINT64_FORMAT ")"

typedef struct {
    Checking *checking;
    const Lineage *lineage;
    Member *member;
    Disk *disk;
    BlockMap *known;   /* NULL: no manifest */
    GHashTable *files; /* of a block directory: names of block files; else NULL */
    char *path;
    void *buffer;
    guint n_bad, n_io, n_unnamed;
} Look;

/* --- what there should be --- */

static BlockMap *known_of(Checking *checking, const Lineage *lineage, const Member *member)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *date = layout_date_of(member->name);
    g_autofree char *path = g_strjoin("/", lineage->relative, member->name, NULL);
    g_autoptr(Manifest)
        manifest = date ? manifest_read(checking->catalog, checking->vm, date, &failure) : NULL;
    BlockMap *map = manifest ? manifest_get(manifest, path, &failure) : NULL;
    if (map || !failure || err_is(failure, ERR_NOT_FOUND) ||
        !g_hash_table_add(checking->manifests, g_strdup(date)))
        return map;
    g_autofree char *name = g_strconcat(date, ".json", NULL),
                    *file = layout_ours("manifests", checking->vm, name);
    if (checking_is_io(failure))
        checking_unreadable(checking, file, failure);
    else if (!err_is(failure, ERR_TOO_NEW))
        checking_found(checking, FINDING_MANIFEST_DAMAGED, FIX_QUARANTINE, file, -1, NULL, "%s",
                       failure->message);
    return NULL;
}

static bool add_files(Look *look, const char *folder, const char *group)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = g_strjoin("/", folder, group, NULL);
    g_autoptr(GPtrArray) names = remote_list(look->checking->catalog->remote, path, &failure);
    if (!names && checking_is_io(failure)) {
        checking_unreadable(look->checking, path, failure);
        return false;
    }
    for (guint i = 0; names && i < names->len; i++)
        g_hash_table_add(look->files, g_strjoin("/", "blocks", group, names->pdata[i], NULL));
    return true;
}

/* False when the storage does not answer. */
static bool list_files(Look *look)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *folder = g_strconcat(look->member->place.data, "/blocks", NULL);
    if (!look->member->place.is_directory)
        return true;
    look->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) groups = remote_list(look->checking->catalog->remote, folder, &failure);
    if (!groups && !checking_is_io(failure))
        return true; /* a disk without blocks */
    if (!groups)
        checking_unreadable(look->checking, folder, failure);
    for (guint i = 0; groups && i < groups->len; i++)
        if (!add_files(look, folder, groups->pdata[i]))
            return false;
    return groups != NULL;
}

/* --- what there is --- */

static void tell(Look *look, FindingKind kind, guint32 block, const char *words)
{
    GArray *blocks = g_hash_table_lookup(look->checking->damaged, look->member);
    if (!blocks) {
        blocks = g_array_new(FALSE, FALSE, sizeof block);
        g_hash_table_insert(look->checking->damaged, look->member, blocks);
    }
    g_array_append_val(blocks, block);
    if (look->n_bad++ < MAX_TOLD)
        checking_found(look->checking, kind, FIX_NONE, look->path, block, NULL,
                       "block %u" BLOCK_AT ": %s", block, (guint64) block * DISK_BLOCK_BYTES,
                       words);
}

/* Another block of the same disk whose content this is. */
static guint32 owner_of(BlockMap *known, const guint8 found[BLOCK_HASH_BYTES])
{
    guint32 n;
    g_autofree guint32 *blocks = block_map_blocks(known, &n);
    for (guint32 i = 0; i < n; i++) {
        guint8 hash[BLOCK_HASH_BYTES];
        if (block_map_get(known, blocks[i], hash) && memcmp(hash, found, sizeof hash) == 0)
            return blocks[i];
    }
    return NO_BLOCK;
}

static void compare(Look *look, guint32 block)
{
    guint8 expected[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
    if (!look->known || !block_map_get(look->known, block, expected))
        return;
    block_hash(look->buffer, found);
    if (memcmp(expected, found, sizeof found) == 0 ||
        MUTANT(check_any_hash)) { /* mutant: catalog_check */
        look->checking->report->n_verified++;
        return;
    }
    guint32 owner = owner_of(look->known, found);
    g_autofree char *words = owner == NO_BLOCK
                                 ? g_strdup("it is not what was backed up")
                                 : g_strdup_printf("it holds what belongs to block %u", owner);
    tell(look, owner == NO_BLOCK ? FINDING_BLOCK_DAMAGED : FINDING_BLOCK_SWAPPED, block, words);
}

static void read_block(Look *look, guint32 block)
{
    g_autoptr(GError) failure = NULL;
    if (disk_read_block(look->disk, block, look->buffer, &failure)) {
        look->checking->report->n_blocks++;
        compare(look, block);
    } else if (checking_is_io(failure)) {
        look->n_io++;
        checking_unreadable(look->checking, look->path, failure);
    } else {
        tell(look, FINDING_BLOCK_DAMAGED, block, failure->message);
    }
}

static bool file_is_there(const Look *look, guint32 block)
{
    char name[VHD_NAME_BYTES];
    vhd_block_name(block, name);
    return !look->files || g_hash_table_contains(look->files, name);
}

static void check_block(Look *look, guint32 block)
{
    guint8 hash[BLOCK_HASH_BYTES];
    bool named = look->known && block_map_get(look->known, block, hash);
    if (!disk_has(look->disk, block)) {
        if (named)
            tell(look, FINDING_BLOCK_MISSING, block, "its manifest names it, its table does not");
        return;
    }
    look->n_unnamed += look->known && !named;
    if (!file_is_there(look, block))
        tell(look, FINDING_BLOCK_MISSING, block, "its table names it, and there is no such file");
    else if (look->checking->deep && look->n_io < MAX_IO)
        read_block(look, block);
}

static void end_disk(Look *look)
{
    if (look->n_bad > MAX_TOLD)
        checking_found(look->checking, FINDING_BLOCK_DAMAGED, FIX_NONE, look->path, -1, NULL,
                       "%u more blocks of it are damaged", look->n_bad - MAX_TOLD);
    if (look->n_unnamed)
        checking_found(look->checking, FINDING_CHANGED_ELSEWHERE, FIX_NONE, look->path, -1, NULL,
                       "changed by another program since: %u blocks are unverified",
                       look->n_unnamed);
}

static void check_disk(Checking *checking, const Lineage *lineage, Member *member)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = g_strjoin("/", lineage->folder, member->name, NULL);
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    g_autoptr(Disk) disk = member_open(checking->catalog, &member->place, false, &failure);
    if (!disk) { /* it was there a moment ago */
        checking_unreadable(checking, path, failure);
        return;
    }
    Look look = { .checking = checking,
                  .lineage = lineage,
                  .member = member,
                  .disk = disk,
                  .known = known_of(checking, lineage, member),
                  .path = path,
                  .buffer = buffer };
    bool listed = list_files(&look);
    for (guint32 block = 0; listed && block < disk->info.n_blocks; block++)
        check_block(&look, block);
    end_disk(&look);
    block_map_free(look.known);
    g_clear_pointer(&look.files, g_hash_table_unref);
}

/* Blocks are on their way from one disk to another: only the whole chain can be read. */
static void check_merging(Checking *checking, const Lineage *lineage, const MergeState *state)
{
    CatalogVerified verified;
    g_autoptr(GError) failure = NULL;
    const char *target = merge_state_target(state);
    if (!checking->deep || state->fault || !target)
        return;
    g_autofree char *path = g_strjoin("/", lineage->relative, target, NULL),
                    *whole = layout_vm(checking->vm, path);
    bool sound = catalog_verify(checking->catalog, checking->vm, path, &verified, &failure);
    checking->report->n_blocks += verified.n_blocks;
    checking->report->n_verified += verified.n_verified;
    if (sound || checking->in_use)
        return;
    if (checking_is_io(failure))
        checking_unreadable(checking, whole, failure);
    else
        checking_found(checking, FINDING_BLOCK_DAMAGED, FIX_NONE, whole, -1, NULL, "%s",
                       failure->message);
}

void check_blocks(Checking *checking, Lineage *lineage)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (member->codec && !check_is_merging(lineage, member->name))
            check_disk(checking, lineage, member);
    }
    for (guint i = 0; i < lineage->states->len; i++)
        check_merging(checking, lineage, lineage->states->pdata[i]);
}
