/* One merge, from the first note to the last deletion.
 *
 * XO's way is kept, with its note at every step, so that an XO may go on where we were stopped; but
 * where XO deletes the children and then renames, we rename first: one atomic rename of the
 * ancestor (or of its alias) over the newest child. Before it the chain is whole, after it the
 * result is. The metadata is made true by every clean-up. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "catalog/manifest.h"
#include "disk/merge.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    Cleaning *cleaning;
    char *relative, *folder;
    GPtrArray *names; /* oldest first */
    GArray *places;   /* MemberPlace of each that is there */
    MergeState *state;
    guint64 stored_bytes;
} Merge;

static Remote *remote_of(const Merge *merge)
{
    return merge->cleaning->catalog->remote;
}

static const char *target_of(const Merge *merge)
{
    return merge->names->pdata[merge->names->len - 1];
}

static MemberPlace *place_of(const Merge *merge, guint i)
{
    return &g_array_index(merge->places, MemberPlace, i);
}

/* What makes it impossible to know what a member had, where an I/O error may pass. */
static bool is_lost(const GError *error)
{
    return err_is(error, ERR_NOT_FOUND) || err_is(error, ERR_CORRUPT) ||
           err_is(error, ERR_TRUNCATED) || err_is(error, ERR_UNSUPPORTED);
}

/* --- the blocks --- */

static bool mark(guint32 next_block, guint64 moved_bytes, void *user, GError **error)
{
    Merge *merge = user;
    merge->state->from_block = next_block;
    merge->state->merged_bytes = moved_bytes;
    bool ok = merge_state_write(merge->cleaning->catalog, merge->folder, merge->state, error);
    CRASH_POINT(merge_marked);
    return ok;
}

static Disk *open_children(Merge *merge, GError **error)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    for (guint i = 1; i < merge->names->len; i++) {
        Disk *disk = member_open(merge->cleaning->catalog, place_of(merge, i), false, error);
        if (!disk) {
            for (guint j = 0; j < members->len; j++)
                disk_close(members->pdata[j]);
            return NULL;
        }
        g_ptr_array_add(members, disk);
    }
    return chain_open((Disk **) members->pdata, members->len, error);
}

static bool merge_files(Merge *merge, const MergeOptions *options, GError **error)
{
    g_autoptr(Disk) child = open_children(merge, error);
    g_autoptr(Bytes) parent =
        child ? remote_bytes(remote_of(merge), place_of(merge, 0)->data, REMOTE_UPDATE, error)
              : NULL;
    return parent && merge_flat(parent, child, options, &merge->stored_bytes, error);
}

static bool merge_folders(Merge *merge, const MergeOptions *options, GError **error)
{
    guint n = merge->names->len;
    g_autofree Chunks **chunks = g_new0(Chunks *, n);
    bool ok = true;
    for (guint i = 0; i < n && ok; i++) {
        chunks[i] = remote_chunks(remote_of(merge), place_of(merge, i)->data, error);
        ok = chunks[i] != NULL;
    }
    ok = ok && merge_directory(chunks[0], chunks + 1, n - 1, options, &merge->stored_bytes, error);
    for (guint i = 0; i < n && chunks[i]; i++)
        chunks_close(chunks[i]);
    return ok;
}

static bool merge_blocks(Merge *merge, GError **error)
{
    MergeOptions options = { .from_block = merge->state->from_block,
                             .cancel = merge->cleaning->catalog->cancel,
                             .mark = mark,
                             .user = merge };
    if (!merge_state_write(merge->cleaning->catalog, merge->folder, merge->state, error))
        return false;
    CRASH_POINT(merge_noted);
    bool ok = place_of(merge, 0)->is_directory ? merge_folders(merge, &options, error)
                                               : merge_files(merge, &options, error);
    if (!ok)
        return false;
    merge->state->step = STEP_CLEANUP;
    merge->state->disk_size_bytes = merge->stored_bytes;
    ok = merge_state_write(merge->cleaning->catalog, merge->folder, merge->state, error);
    CRASH_POINT(merge_blocks_done);
    return ok;
}

/* --- the manifest --- */

static BlockMap *map_of(const Merge *merge, guint i, bool *absent, GError **error)
{
    const char *name = merge->names->pdata[i];
    g_autofree char *date = layout_date_of(name),
                    *path = g_strjoin("/", merge->relative, name, NULL);
    g_autoptr(GError) failure = NULL;
    g_autoptr(Manifest) manifest =
        date ? manifest_read(merge->cleaning->catalog, merge->cleaning->vm, date, &failure) : NULL;
    BlockMap *map = manifest ? manifest_get(manifest, path, &failure) : NULL;
    *absent = !map && (!failure || err_is(failure, ERR_NOT_FOUND) || err_is(failure, ERR_CORRUPT));
    if (!map && !*absent)
        g_propagate_error(error, g_steal_pointer(&failure));
    return map;
}

/* A block of a member that its manifest does not name (XO wrote it, or merged it in) makes unknown
 * what the older ones say of it; of all blocks, when XO deleted the member or half of it. `map` may
 * be NULL. */
static bool forget_unnamed(Merge *merge, guint i, BlockMap *map, BlockMap *all, GError **error)
{
    guint8 hash[BLOCK_HASH_BYTES];
    g_autoptr(GError) failure = NULL;
    g_autoptr(Disk) disk = NULL;
    if (place_of(merge, i)->data)
        disk = member_open(merge->cleaning->catalog, place_of(merge, i), true, &failure);
    if (failure && !is_lost(failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    if (!disk)
        block_map_clear(all);
    for (guint32 block = 0; disk && block < disk->info.n_blocks; block++)
        if (disk_has(disk, block) && !(map && block_map_get(map, block, hash)))
            block_map_drop(all, block);
    return true;
}

/* Rows older than the target's stay true of the target: they are what it does not change. So the
 * united manifest is right before the rename and after it. */
static BlockMap *unite(Merge *merge, GError **error)
{
    g_autoptr(BlockMap) all = block_map_new();
    for (guint i = 0; i < merge->names->len; i++) {
        bool absent;
        g_autoptr(BlockMap) map = map_of(merge, i, &absent, error);
        if ((!map && !absent) || !forget_unnamed(merge, i, map, all, error))
            return NULL;
        if (map)
            block_map_add(all, map);
    }
    return g_steal_pointer(&all);
}

static bool manifest_unite(Merge *merge, GError **error)
{
    Catalog *catalog = merge->cleaning->catalog;
    const char *vm = merge->cleaning->vm;
    g_autofree char *date = layout_date_of(target_of(merge));
    g_autofree char *path = g_strjoin("/", merge->relative, target_of(merge), NULL);
    g_autoptr(BlockMap) all = date ? unite(merge, error) : NULL;
    g_autoptr(Disk) result = all ? member_open(catalog, place_of(merge, 0), true, error) : NULL;
    if (!result)
        return false;
    if (block_map_size(all) == 0) /* only XO's disks */
        return true;
    g_autoptr(Manifest) manifest = manifest_read(catalog, vm, date, NULL);
    if (!manifest)
        manifest = manifest_new(vm, date);
    manifest_set(manifest, path, &result->info, all);
    bool ok = manifest_write(catalog, manifest, error);
    CRASH_POINT(merge_manifest);
    return ok;
}

/* --- the end --- */

bool member_drop(Catalog *catalog, const char *folder, const char *name, const MemberPlace *place,
                 GError **error)
{
    g_autofree char *path = g_strjoin("/", folder, name, NULL);
    if (!remote_drop(catalog->remote, path, error))
        return false;
    CRASH_POINT(member_drop_named);
    if (!place->data || strcmp(place->data, path) == 0)
        return true;
    return place->is_directory ? remote_drop_tree(catalog->remote, place->data, error)
                               : remote_drop(catalog->remote, place->data, error);
}

/* What was under the target's name before: only a block directory still has a place then. */
static bool drop_replaced(Merge *merge, GError **error)
{
    const MemberPlace *old = place_of(merge, merge->names->len - 1);
    bool same = g_strcmp0(old->data, place_of(merge, 0)->data) == 0; /* the new alias is there */
    if (!old->data || !old->is_directory ||
        (same && !MUTANT(merge_drops_shared))) /* mutant: catalog_foreign:test_two_aliases */
        return true;
    return remote_drop_tree(remote_of(merge), old->data, error);
}

static bool take_name(Merge *merge, GError **error)
{
    g_autofree char *from = g_strjoin("/", merge->folder, merge->names->pdata[0], NULL);
    g_autofree char *to = g_strjoin("/", merge->folder, target_of(merge), NULL);
    if (MUTANT(merge_deletes_first)) { /* mutant: catalog_crash */
        if (!remote_drop(remote_of(merge), to, error))
            return false;
        CRASH_POINT(merge_blocks_done);
    }
    bool ok = remote_rename(remote_of(merge), from, to, error);
    CRASH_POINT(merge_renamed);
    return ok;
}

static bool finish(Merge *merge, GError **error)
{
    g_autofree char *note = g_strjoin("/", merge->folder, merge->state->file, NULL);
    if (!manifest_unite(merge, error) || !take_name(merge, error))
        return false;
    for (guint i = 1; i + 1 < merge->names->len; i++)
        if (!member_drop(merge->cleaning->catalog, merge->folder, merge->names->pdata[i],
                         place_of(merge, i), error))
            return false;
    if (!drop_replaced(merge, error))
        return false;
    CRASH_POINT(merge_children_dropped);
    bool ok = remote_drop(remote_of(merge), note, error);
    CRASH_POINT(merge_note_dropped);
    return ok;
}

/* Where each member is; those that an interrupted clean-up of XO's deleted already, or whose alias
 * it was writing, are nowhere. */
static bool locate(Merge *merge, GError **error)
{
    for (guint i = 0; i < merge->names->len; i++) {
        MemberPlace place = { 0 };
        g_autoptr(GError) failure = NULL;
        g_autofree char *path = g_strjoin("/", merge->folder, merge->names->pdata[i], NULL);
        if (!member_locate(merge->cleaning->catalog, path, &place, &failure) &&
            (i == 0 || !is_lost(failure))) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_array_append_val(merge->places, place);
    }
    return true;
}

static bool uid_of(Merge *merge, guint i, DiskUid *uid, GError **error)
{
    g_autoptr(Disk) disk = member_open(merge->cleaning->catalog, place_of(merge, i), true, error);
    if (disk)
        *uid = disk->info.uid;
    return disk != NULL;
}

static bool prepare(Merge *merge, const MergeState *old, GError **error)
{
    MergeState *state = merge->state = g_new0(MergeState, 1);
    state->file = merge_state_file(merge->names->pdata[0]);
    state->ancestor = g_strdup(merge->names->pdata[0]);
    state->chain = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < merge->names->len; i++)
        g_ptr_array_add(state->chain, g_strdup(merge->names->pdata[i]));
    if (!locate(merge, error) || !uid_of(merge, 0, &state->parent_uid, error))
        return false;
    if (place_of(merge, 0)->is_directory &&
        !member_sweep(merge->cleaning->catalog, place_of(merge, 0)->data, true, error))
        return false;
    if (old && old->has_uids) {
        state->parent_uid = old->parent_uid;
        state->child_uid = old->child_uid;
        state->from_block = old->from_block;
        state->merged_bytes = old->merged_bytes;
        return true;
    }
    if (!place_of(merge, merge->names->len - 1)
             ->data) { /* only its content is left, in the ancestor */
        state->child_uid = state->parent_uid;
        return true;
    }
    return uid_of(merge, merge->names->len - 1, &state->child_uid, error);
}

static void merge_clear(Merge *merge)
{
    for (guint i = 0; i < merge->places->len; i++)
        member_place_clear(place_of(merge, i));
    g_array_unref(merge->places);
    merge_state_free(merge->state);
    g_free(merge->relative);
    g_free(merge->folder);
}

/* The ancestor has the identity of the newest: all blocks and heads are in it. */
static bool is_complete(Merge *merge, bool *complete, GError **error)
{
    DiskUid uid;
    if (!uid_of(merge, 0, &uid, error))
        return false;
    *complete = memcmp(&uid, &merge->state->child_uid, sizeof uid) == 0;
    return true;
}

/* XO writes the footer in front, with the new identity, before the one at the end. */
static bool seal(Merge *merge, GError **error)
{
    const MemberPlace *place = place_of(merge, 0);
    g_autoptr(GError) failure = NULL;
    g_autoptr(Disk) whole = member_open(merge->cleaning->catalog, place, false, &failure);
    if (whole || place->is_directory)
        return true;
    g_autoptr(Bytes) bytes = remote_bytes(remote_of(merge), place->data, REMOTE_UPDATE, error);
    return bytes && merge_flat_seal(bytes, error);
}

static bool run(Merge *merge, const MergeState *old, GError **error)
{
    bool complete;
    if (!prepare(merge, old, error) || !is_complete(merge, &complete, error))
        return false;
    if (complete) {
        g_autoptr(Disk) result = seal(merge, error) ? member_open(merge->cleaning->catalog,
                                                                  place_of(merge, 0), false, error)
                                                    : NULL;
        if (!result)
            return false;
        merge->stored_bytes = member_size_bytes(result);
    } else if (!merge_blocks(merge, error)) {
        return false;
    }
    return finish(merge, error);
}

bool merge_run(Cleaning *cleaning, const char *relative, GPtrArray *names, const MergeState *old,
               GError **error)
{
    Merge merge = { .cleaning = cleaning,
                    .relative = g_strdup(relative),
                    .folder = layout_vm(cleaning->vm, relative),
                    .names = names,
                    .places = g_array_new(FALSE, FALSE, sizeof(MemberPlace)) };
    bool ok = run(&merge, old, error);
    if (ok) {
        log_info("catalog", "merged %u disks into %s/%s", names->len, merge.folder,
                 target_of(&merge));
        cleaning->changed = cleaning->out->merged = true;
        cleaning->out->n_merges++;
        cleaning->out->size_bytes += merge.stored_bytes;
    }
    merge_clear(&merge);
    return ok;
}
