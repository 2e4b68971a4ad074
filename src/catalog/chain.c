/* From the path of a disk to its whole content: the walk from child to parent, by name and by
 * unique id. Where a merge was interrupted the content may be in the ancestor already: a note of
 * the merge tells, and the disk stays readable at every instant of it. */
#include "catalog/chain.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/member.h"
#include "catalog/state.h"

#include <string.h>

#define CHAIN_MAX_MEMBERS 16384u

typedef struct {
    Catalog *catalog;
    char *folder;              /* of the states */
    GPtrArray *states;         /* merges noted there */
    GPtrArray *names;          /* of what was opened, newest first */
    GPtrArray *parts;          /* ChainPart of all whose content is in it, newest first */
    GPtrArray *disks;          /* the same */
    GHashTable *seen;          /* paths */
    const MergeState *merging; /* the one whose ancestor is a member */
} Walk;

static void walk_clear(Walk *walk)
{
    g_free(walk->folder);
    g_clear_pointer(&walk->states, g_ptr_array_unref);
    g_clear_pointer(&walk->names, g_ptr_array_unref);
    g_clear_pointer(&walk->parts, g_ptr_array_unref);
    g_clear_pointer(&walk->disks, g_ptr_array_unref);
    g_clear_pointer(&walk->seen, g_hash_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

static bool enter_folder(Walk *walk, const char *folder, GError **error)
{
    if (g_strcmp0(walk->folder, folder) == 0)
        return true;
    g_autoptr(GPtrArray) names = remote_list(walk->catalog->remote, folder, error);
    g_clear_pointer(&walk->states, g_ptr_array_unref);
    walk->states = names ? merge_states_read(walk->catalog, folder, names, error) : NULL;
    g_free(walk->folder);
    walk->folder = g_strdup(folder);
    return walk->states != NULL;
}

static const MergeState *state_of(const Walk *walk, const char *ancestor)
{
    for (guint i = 0; i < walk->states->len; i++) {
        const MergeState *state = walk->states->pdata[i];
        if (!state->fault && strcmp(state->ancestor, ancestor) == 0)
            return state;
    }
    return NULL;
}

/* XO makes room in a flat disk, for what stands on it and has grown, before it leaves a note; in
 * the meantime the disk does not end with its footer. */
static Disk *open_growing(Walk *walk, const MemberPlace *place)
{
    guint32 n_needed = 0;
    for (guint i = 0; i < walk->disks->len; i++)
        n_needed = MAX(n_needed, ((const Disk *) walk->disks->pdata[i])->info.n_blocks);
    Disk *disk = n_needed && !place->is_directory ? member_open(walk->catalog, place, true, NULL)
                                                  : NULL;
    if (disk && n_needed > disk->info.n_blocks)
        return disk;
    disk_close(disk);
    return NULL;
}

static Disk *open_named(Walk *walk, const char *name, GError **error)
{
    g_auto(MemberPlace) place = { 0 };
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = g_strjoin("/", walk->folder, name, NULL);
    if (!member_locate(walk->catalog, path, &place, error))
        return NULL;
    Disk *disk = member_open(walk->catalog, &place, state_of(walk, name) != NULL, &failure);
    if (!disk && err_is(failure, ERR_TRUNCATED))
        disk = open_growing(walk, &place);
    if (!disk)
        g_propagate_error(error, g_steal_pointer(&failure));
    return disk;
}

/* The identity that the ancestor has once it holds all of `name`; false when the note is not of
 * such a merge. A torn note names nobody: then it is that of `name`. */
static bool final_uid(Walk *walk, const MergeState *state, const char *name, DiskUid *uid)
{
    if (state->fault || strcmp(state->ancestor, name) == 0)
        return false;
    if (!state->torn) {
        *uid = state->child_uid;
        return state->has_uids && g_strcmp0(merge_state_target(state), name) == 0;
    }
    g_autoptr(Disk) disk = open_named(walk, name, NULL);
    if (disk)
        *uid = disk->info.uid;
    return disk != NULL;
}

/* When the ancestor of a merge into `name` has taken its identity, the ancestor is the disk: it
 * holds everything, and `name` itself may be gone. */
static Disk *open_served(Walk *walk, const char *name, const char **opened)
{
    for (guint i = 0; i < walk->states->len; i++) {
        const MergeState *state = walk->states->pdata[i];
        DiskUid uid;
        if (!final_uid(walk, state, name, &uid))
            continue;
        Disk *disk = open_named(walk, state->ancestor, NULL);
        if (disk && memcmp(&disk->info.uid, &uid, sizeof uid) == 0 &&
            !MUTANT(chain_ignores_merge)) { /* mutant: catalog_crash */
            *opened = state->ancestor;
            return disk;
        }
        disk_close(disk);
    }
    return NULL;
}

static char *words_of(const Walk *walk, const char *name)
{
    g_autofree char *path = g_strjoin("/", walk->folder, name, NULL);
    return member_words(walk->catalog, path);
}

static char *newest_words(const Walk *walk)
{
    return words_of(walk, walk->names->pdata[walk->names->len - 1]);
}

static bool check_uid(const Walk *walk, const char *name, const Disk *disk, GError **error)
{
    if (walk->disks->len == 0)
        return true;
    const Disk *child = walk->disks->pdata[walk->disks->len - 1];
    if (memcmp(&child->info.parent_uid, &disk->info.uid, sizeof disk->info.uid) == 0)
        return true;
    g_autofree char *want = disk_uid_format(&child->info.parent_uid);
    g_autofree char *have = disk_uid_format(&disk->info.uid);
    g_autofree char *words = newest_words(walk), *parent = words_of(walk, name);
    err_set(error, ERR_CORRUPT, "%s continues %s, but its parent %s is %s", words, want, parent,
            have);
    return false;
}

static void part_free(gpointer data)
{
    ChainPart *part = data;
    g_free(part->file);
    g_free(part->disk);
    g_free(part);
}

static void add_part(Walk *walk, const char *file, const char *disk)
{
    ChainPart *part = g_new0(ChainPart, 1);
    part->file = g_strjoin("/", walk->folder, file, NULL);
    part->disk = g_strjoin("/", walk->folder, disk, NULL);
    g_ptr_array_add(walk->parts, part);
}

/* The ancestor holds what all of its chain brought; a torn note does not tell what that was. */
static void add_merged(Walk *walk, const char *ancestor, const char *name)
{
    const GPtrArray *chain = state_of(walk, ancestor)->chain;
    for (guint i = chain->len; i-- > 0;)
        add_part(walk, chain->pdata[i], chain->pdata[i]);
    if (chain->len == 0)
        add_part(walk, ancestor, name);
}

/* Adds one member; its own name for the next step in *name. */
static bool step(Walk *walk, const char *name, GError **error)
{
    const char *opened = name;
    Disk *disk = open_served(walk, name, &opened);
    if (!disk)
        disk = open_named(walk, name, error);
    if (!disk) {
        g_autofree char *words = walk->names->len ? newest_words(walk) : NULL;
        if (words)
            g_prefix_error(error, "the parent of %s: ", words);
        return false;
    }
    if (!check_uid(walk, name, disk, error)) {
        disk_close(disk);
        return false;
    }
    if (opened == name && state_of(walk, name))
        walk->merging = state_of(walk, name);
    g_ptr_array_add(walk->names, g_strdup(opened));
    if (opened == name)
        add_part(walk, name, name);
    else
        add_merged(walk, opened, name);
    g_ptr_array_add(walk->disks, disk);
    return true;
}

static bool collect(Walk *walk, const char *path, GError **error)
{
    g_autofree char *at = g_strdup(path);
    for (;;) {
        g_autofree char *folder = g_path_get_dirname(at);
        g_autofree char *name = g_path_get_basename(at);
        if (!g_hash_table_add(walk->seen, g_strdup(at)) || walk->disks->len >= CHAIN_MAX_MEMBERS) {
            err_set(error, ERR_CORRUPT,
                    "the chain of %s comes back to %s, or has more than %u members", path, at,
                    CHAIN_MAX_MEMBERS);
            return false;
        }
        if (!enter_folder(walk, folder, error) || !step(walk, name, error))
            return false;
        const Disk *disk = walk->disks->pdata[walk->disks->len - 1];
        if (!disk->info.differencing)
            return true;
        g_free(at);
        at = layout_resolve(folder, disk->info.parent_name);
        if (!at) {
            err_set(error, ERR_CORRUPT, "%s/%s names a parent outside the remote", folder, name);
            return false;
        }
    }
}

/* Whether a point of this disk's date is there: such a disk is never merged into a newer one. */
static bool has_point(const Walk *walk, const char *name)
{
    RemoteStat st;
    g_autofree char *date = layout_date_of(name), *job = g_path_get_dirname(walk->folder);
    g_autofree char *vdis = g_path_get_dirname(job), *vm = g_path_get_dirname(vdis);
    g_autofree char *path = g_strdup_printf("%s/%s.json", vm, date ? date : "");
    return date && remote_stat(walk->catalog->remote, path, &st, NULL);
}

/* How many members, from the ancestor on, take part in the merge. */
static guint n_merging(const Walk *walk, guint ancestor)
{
    for (guint i = ancestor; walk->merging->torn && i-- > 0;)
        if (i == 0 || has_point(walk, walk->names->pdata[i]))
            return ancestor - i + 1;
    for (guint i = 0; i < ancestor; i++) {
        const Disk *disk = walk->disks->pdata[i];
        if (g_strcmp0(walk->names->pdata[i], merge_state_target(walk->merging)) == 0 ||
            (walk->merging->has_uids &&
             memcmp(&disk->info.uid, &walk->merging->child_uid, sizeof disk->info.uid) == 0))
            return ancestor - i + 1;
    }
    return 2;
}

/* Oldest first, those under merge folded into one. */
static Disk *fold(Walk *walk, GError **error)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();
    guint n = walk->disks->len, ancestor = n;
    for (guint i = 0; i < n && walk->merging; i++)
        if (strcmp(walk->names->pdata[i], walk->merging->ancestor) == 0)
            ancestor = i;
    for (guint i = n; i-- > 0;)
        g_ptr_array_add(members, walk->disks->pdata[i]);
    g_ptr_array_set_free_func(walk->disks, NULL); /* taken over below */
    if (ancestor < n && ancestor > 0) {
        guint at = n - 1 - ancestor, n_folded = n_merging(walk, ancestor);
        Disk *folded = chain_open_merging((Disk **) members->pdata + at, n_folded, n_folded, error);
        if (folded)
            members->pdata[at] = folded;
        g_ptr_array_remove_range(members, at + (folded ? 1 : 0), n_folded - (folded ? 1 : 0));
        if (!folded) {
            for (guint i = 0; i < members->len; i++)
                disk_close(members->pdata[i]);
            return NULL;
        }
    }
    return members->len == 1 ? members->pdata[0]
                             : chain_open((Disk **) members->pdata, members->len, error);
}

static void close_disk(gpointer disk)
{
    disk_close(disk);
}

Disk *chain_read(Catalog *catalog, const char *vm, const char *path, GPtrArray **members,
                 GError **error)
{
    if (!layout_check_name("VM uuid", vm, error))
        return NULL;
    g_autofree char *folder = layout_vm(vm, NULL), *inside = g_strconcat(folder, "/", NULL);
    g_autofree char *whole = layout_resolve(folder, path);
    if (!whole || *path == '/' || !g_str_has_prefix(whole, inside)) {
        err_set(error, ERR_INVALID, "\"%.300s\" is not a disk in the folder of VM %s", path, vm);
        return NULL;
    }
    g_auto(Walk) walk = { .catalog = catalog,
                          .names = g_ptr_array_new_with_free_func(g_free),
                          .parts = g_ptr_array_new_with_free_func(part_free),
                          .disks = g_ptr_array_new_with_free_func(close_disk),
                          .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL) };
    Disk *disk = collect(&walk, whole, error) ? fold(&walk, error) : NULL;
    if (disk && members)
        *members = g_ptr_array_ref(walk.parts);
    return disk;
}

Disk *catalog_disk_open(Catalog *catalog, const char *vm, const char *path, GError **error)
{
    return chain_read(catalog, vm, path, NULL, error);
}
