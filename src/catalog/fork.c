/* Two disks that stand on one.
 *
 * XO hangs a second child on a disk when a run died between its point and the mark on its snapshot.
 * Its next merge gives the disk to one of the two, and deletes the other with all backups on it. So
 * the newer one is put on top of the older: it is written once more, with what the blocks that the
 * older branch changed were before. Its content and its identity stay; then one rename. */
#include "catalog/cleaning.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "catalog/chain.h"
#include "catalog/known.h"
#include "catalog/manifest.h"
#include "catalog/readback.h"

#include <string.h>

typedef struct {
    Cleaning *cleaning;
    Lineage *lineage;
    Member *base, *tip, *moved; /* tip: of the older branch; moved: the newer child */
    Disk *under, *own;          /* the content of base, with its chain; moved alone */
    BlockMap *known;            /* of under */
    bool *changed;              /* blocks of the older branch */
    Manifest *manifest;         /* of moved, or NULL */
    BlockMap *rows, *written;   /* its rows; what the new disk holds */
    char *path;                 /* of moved, from the VM's folder */
    char *place;                /* of the new data, from the root */
} Fork;

static void fork_clear(Fork *fork)
{
    disk_close(fork->under);
    disk_close(fork->own);
    if (fork->known)
        block_map_free(fork->known);
    if (fork->rows)
        block_map_free(fork->rows);
    if (fork->written)
        block_map_free(fork->written);
    manifest_free(fork->manifest);
    g_free(fork->changed);
    g_free(fork->path);
    g_free(fork->place);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Fork, fork_clear)

static Remote *remote_of(const Fork *fork)
{
    return fork->cleaning->catalog->remote;
}

/* --- which --- */

static bool continues(const Member *member, const Member *parent)
{
    return memcmp(&member->info.parent_uid, &parent->info.uid, sizeof parent->info.uid) == 0;
}

static bool same_kind(const Member *a, const Member *b)
{
    return a->place.is_directory == b->place.is_directory && g_strcmp0(a->codec, b->codec) == 0;
}

/* The newest of the branch; NULL when that forks, too: then its own fork comes first. */
static Member *tip_of(Lineage *lineage, Member *member)
{
    unsigned n_children;
    for (Member *child; (child = lineage_needed_child(lineage, member, &n_children));
         member = child)
        if (n_children > 1)
            return NULL;
    return member;
}

/* The first two that stand on `base`; a merge goes by names, so their order must be that of time.
 */
static bool find(Fork *fork, Member *base)
{
    Member *children[2] = { NULL };
    unsigned n = 0;
    for (guint i = 0; i < fork->lineage->members->len && n < 2; i++) {
        Member *member = fork->lineage->members->pdata[i];
        if (member->parent == base && member->needed)
            children[n++] = member;
    }
    fork->base = base;
    fork->moved = children[1];
    fork->tip = n == 2 ? tip_of(fork->lineage, children[0]) : NULL;
    return fork->tip && strcmp(fork->tip->name, fork->moved->name) < 0 &&
           continues(children[0], base) && continues(fork->moved, base) &&
           same_kind(base, fork->moved) && same_kind(fork->tip, fork->moved) &&
           fork->tip->info.n_blocks <= fork->moved->info.n_blocks;
}

/* --- what is read --- */

static bool open_under(Fork *fork, GError **error)
{
    Catalog *catalog = fork->cleaning->catalog;
    const char *vm = fork->cleaning->vm;
    g_autoptr(GPtrArray) parts = NULL;
    g_autofree char *path = g_strjoin("/", fork->lineage->relative, fork->base->name, NULL);
    fork->under = chain_read(catalog, vm, path, &parts, error);
    fork->known = fork->under ? known_content(catalog, vm, fork->under, parts, error) : NULL;
    return fork->known != NULL;
}

static bool note_changed(Fork *fork, GError **error)
{
    guint32 n_blocks = fork->moved->info.n_blocks; /* what lies past it is of no use */
    fork->changed = g_new0(bool, n_blocks + (gsize) 1);
    for (Member *at = fork->tip; at != fork->base; at = at->parent) {
        g_autoptr(Disk) disk = member_open(fork->cleaning->catalog, &at->place, false, error);
        if (!disk)
            return false;
        for (guint32 block = 0; block < MIN(disk->info.n_blocks, n_blocks); block++)
            fork->changed[block] = fork->changed[block] || disk_has(disk, block);
    }
    return true;
}

static bool read_rows(Fork *fork, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *date = layout_date_of(fork->moved->name);
    fork->path = g_strjoin("/", fork->lineage->relative, fork->moved->name, NULL);
    if (date)
        fork->manifest = manifest_read(fork->cleaning->catalog, fork->cleaning->vm, date, &failure);
    if (fork->manifest)
        fork->rows = manifest_get(fork->manifest, fork->path, &failure);
    if (failure && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    return true;
}

static bool open_all(Fork *fork, GError **error)
{
    fork->own = member_open(fork->cleaning->catalog, &fork->moved->place, false, error);
    return fork->own && open_under(fork, error) && note_changed(fork, error) &&
           read_rows(fork, error);
}

static bool compare(BlockMap *map, guint32 block, const guint8 *hash, GError **error)
{
    guint8 expected[BLOCK_HASH_BYTES];
    if (!map || !block_map_get(map, block, expected) ||
        memcmp(expected, hash, sizeof expected) == 0 ||
        MUTANT(fork_believes)) /* mutant: catalog_fork */
        return true;
    err_set(error, ERR_CORRUPT, "block %u is not what was backed up", block);
    return false;
}

/* --- what is written --- */

/* A block that the older branch changed, as it was before. */
static bool read_under(Fork *fork, guint32 block, guint8 *buffer, GError **error)
{
    guint8 hash[BLOCK_HASH_BYTES];
    bool there = block < fork->under->info.n_blocks && disk_has(fork->under, block);
    memset(buffer, 0, DISK_BLOCK_BYTES);
    if (there && !disk_read_block(fork->under, block, buffer, error))
        return false;
    block_hash(buffer, hash);
    if (!compare(fork->known, block, hash, error))
        return false;
    if (fork->rows && block_map_get(fork->known, block, hash))
        block_map_set(fork->rows, block, hash);
    return true;
}

static bool read_own(Fork *fork, guint32 block, guint8 *buffer, GError **error)
{
    guint8 hash[BLOCK_HASH_BYTES];
    if (!disk_read_block(fork->own, block, buffer, error))
        return false;
    block_hash(buffer, hash);
    return compare(fork->rows, block, hash, error);
}

static bool copy_block(Fork *fork, DiskWriter *writer, guint32 block, guint8 *buffer,
                       GError **error)
{
    guint8 hash[BLOCK_HASH_BYTES];
    bool own = disk_has(fork->own, block);
    if (!own && (!fork->changed[block] || MUTANT(fork_forgets))) /* mutant: catalog_fork */
        return true;
    if (cancel_check(fork->cleaning->catalog->cancel, "cleaning", error) ||
        !(own ? read_own(fork, block, buffer, error) : read_under(fork, block, buffer, error)))
        return false;
    block_hash(buffer, hash);
    block_map_set(fork->written, block, hash);
    return disk_put_block(writer, block, buffer, error);
}

static DiskWriter *create(Fork *fork, const DiskInfo *info, GError **error)
{
    gint64 now_ms = g_get_real_time() / 1000;
    g_autofree char *date = layout_date_of(fork->moved->name);
    if (!fork->moved->place.is_directory) {
        fork->place = g_strdup_printf("%s/.%" G_GINT64_FORMAT ".%s", fork->lineage->folder, now_ms,
                                      fork->moved->name);
        Bytes *bytes = remote_bytes(remote_of(fork), fork->place, REMOTE_CREATE, error);
        return bytes ? vhd_create(bytes, info, error) : NULL;
    }
    fork->place = g_strdup_printf("%s/data/%s-%" G_GINT64_FORMAT ".vhd", fork->lineage->folder,
                                  date ? date : "disk", now_ms);
    Chunks *chunks = remote_chunks(remote_of(fork), fork->place, error);
    return chunks ? vhd_directory_create(chunks, info, fork->moved->codec, error) : NULL;
}

static DiskInfo info_of(const Fork *fork)
{
    DiskInfo info = fork->moved->info;
    info.parent_uid = fork->tip->info.uid;
    g_strlcpy(info.parent_name, fork->tip->name, sizeof info.parent_name);
    return info;
}

/* The whole disk, durable and read back, under a name that nobody uses. */
static bool write_anew(Fork *fork, GError **error)
{
    DiskInfo info = info_of(fork);
    guint64 size_bytes;
    CatalogVerified verified;
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    g_autoptr(DiskWriter) writer = create(fork, &info, error);
    if (!writer)
        return false;
    fork->written = block_map_new();
    for (guint32 block = 0; block < info.n_blocks; block++)
        if (!copy_block(fork, writer, block, buffer, error))
            return false;
    MemberPlace place = { fork->place, fork->moved->place.is_directory };
    return disk_finish(writer, &size_bytes, error) &&
           read_back(fork->cleaning->catalog, &place, &info, fork->written, CATALOG_READ_SAMPLE,
                     fork->path, &verified, error);
}

/* Its rows are right before and after: the content is the same. */
static bool write_manifest(Fork *fork, GError **error)
{
    if (!fork->rows)
        return true;
    manifest_set(fork->manifest, fork->path, &fork->moved->info, fork->rows);
    bool ok = manifest_write(fork->cleaning->catalog, fork->manifest, error);
    CRASH_POINT(fork_manifest);
    return ok;
}

static bool take_place(Fork *fork, GError **error)
{
    g_autofree char *path = g_strjoin("/", fork->lineage->folder, fork->moved->name, NULL);
    if (!fork->moved->place.is_directory)
        return remote_rename(remote_of(fork), fork->place, path, error);
    const char *target = fork->place + strlen(fork->lineage->folder) + 1;
    if (!chain_make_room(fork->cleaning->catalog, fork->lineage->folder, fork->tip->name,
                         fork->moved->info.n_blocks, error) ||
        !remote_put(remote_of(fork), path, target, strlen(target), REMOTE_PUT_OVER, error))
        return false;
    CRASH_POINT(fork_aliased);
    return remote_drop_tree(remote_of(fork), fork->moved->place.data, error);
}

static bool straighten(Fork *fork, GError **error)
{
    bool named = false, ok = open_all(fork, error) && write_anew(fork, error);
    CRASH_POINT(fork_written);
    if (ok && write_manifest(fork, error)) {
        ok = take_place(fork, error);
        named = true; /* perhaps: what nothing names is deleted by the next clean-up */
    } else {
        ok = false;
    }
    if (fork->place && !named && fork->moved->place.is_directory)
        remote_drop_tree(remote_of(fork), fork->place, NULL);
    else if (fork->place && !named)
        remote_drop(remote_of(fork), fork->place, NULL);
    CRASH_POINT(fork_moved);
    return ok;
}

/* What may pass by itself, or was asked for, ends the clean-up; anything else leaves the fork. */
static bool settle(Fork *fork, GError *failure, GError **error)
{
    if (err_is(failure, ERR_IO) || err_is(failure, ERR_CANCELLED)) {
        g_propagate_error(error, failure);
        return false;
    }
    cleaning_warn(fork->cleaning, fork->base->name,
                  "two disks stand on it, and %s could not be put on %s: %s", fork->moved->name,
                  fork->tip->name, failure->message);
    g_error_free(failure);
    return true;
}

bool forks_straighten(Cleaning *cleaning, Lineage *lineage, bool *moved, GError **error)
{
    *moved = false;
    for (guint i = 0; i < lineage->members->len && lineage->states->len == 0 && !*moved; i++) {
        Member *base = lineage->members->pdata[i];
        GError *failure = NULL;
        g_auto(Fork) fork = { .cleaning = cleaning, .lineage = lineage };
        if (base->n_children < 2 || !base->needed || !find(&fork, base))
            continue;
        *moved = straighten(&fork, &failure);
        if (!*moved && !settle(&fork, failure, error))
            return false;
        if (!*moved)
            continue;
        log_info("catalog", "%s/%s now stands on %s: two disks stood on %s", lineage->folder,
                 fork.moved->name, fork.tip->name, base->name);
        cleaning->changed = true;
    }
    return true;
}
