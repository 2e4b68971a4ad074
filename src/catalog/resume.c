/* Merges that were interrupted, by a crash of ours or of XO's, at any step and of any age. Where XO
 * had deleted the children and not yet renamed the ancestor, the rename is done: the content is all
 * there. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/metadata.h"

#include <string.h>

static bool same_uid(const DiskUid *a, const DiskUid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* --- who is to be merged --- */

static Member *find_uid(Lineage *lineage, const DiskUid *uid, const Member *except)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (member != except && member->codec && same_uid(&member->info.uid, uid))
            return member;
    }
    return NULL;
}

/* The name that is gone: the one a child of the result still names as its parent. */
static const char *name_by_child(Lineage *lineage, const DiskUid *uid)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (member->codec && member->info.differencing && same_uid(&member->info.parent_uid, uid) &&
            !strchr(member->info.parent_name, '/'))
            return member->info.parent_name;
    }
    return NULL;
}

/* Or the only one that a point names and that is not there. */
static char *name_by_points(Cleaning *cleaning, Lineage *lineage)
{
    g_autofree char *missing = NULL, *prefix = g_strconcat(lineage->relative, "/", NULL);
    gsize i;
    json_t *point, *stored;
    const char *ref;
    json_array_foreach (cleaning->points->points, i, point)
        json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
            g_autofree char *path = metadata_path(stored);
            if (!path || !g_str_has_prefix(path, prefix) ||
                lineage_find(lineage, path + strlen(prefix)))
                continue;
            if (missing && strcmp(missing, path + strlen(prefix)) != 0)
                return NULL;
            g_free(missing);
            missing = g_strdup(path + strlen(prefix));
        }
    return g_steal_pointer(&missing);
}

/* Whether a point names a disk of the lineage, or one that cannot be read may do so. */
static bool is_used(Cleaning *cleaning, Lineage *lineage, const char *name)
{
    g_autofree char *path = g_strjoin("/", lineage->relative, name, NULL);
    g_autofree char *date = layout_date_of(name);
    g_autofree char *metadata = date ? g_strconcat(date, ".json", NULL) : NULL;
    gsize i;
    json_t *point, *stored;
    const char *ref;
    json_array_foreach (cleaning->points->points, i, point)
        json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
            g_autofree char *used = metadata_path(stored);
            if (g_strcmp0(used, path) == 0)
                return true;
        }
    return metadata && g_hash_table_contains(cleaning->points->unreadable, metadata);
}

/* A torn note names nobody: a merge goes up to the first disk that a point uses. */
static GPtrArray *walk_up(Cleaning *cleaning, Lineage *lineage, Member *ancestor)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (Member *at = ancestor; at && names->len <= lineage->members->len; at = at->child) {
        g_ptr_array_add(names, g_strdup(at->name));
        if (at != ancestor && is_used(cleaning, lineage, at->name))
            return g_steal_pointer(&names);
        if (at->n_children > 1)
            return NULL;
    }
    return NULL;
}

/* What the ancestor, which holds everything already, must be named. */
static char *final_name(Cleaning *cleaning, Lineage *lineage, const MergeState *state,
                        const Member *ancestor)
{
    if (merge_state_target(state))
        return g_strdup(merge_state_target(state));
    const Member *twin = find_uid(lineage, &ancestor->info.uid, ancestor);
    const char *named = twin ? twin->name : name_by_child(lineage, &ancestor->info.uid);
    return named ? g_strdup(named) : name_by_points(cleaning, lineage);
}

/* From the newest down to the ancestor by the links; NULL when they do not lead there. */
static GPtrArray *walk_down(Member *newest, const Member *ancestor)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    for (Member *at = newest; at; at = at->parent) {
        g_ptr_array_insert(names, 0, g_strdup(at->name));
        if (at == ancestor)
            return names->len > 1 ? g_steal_pointer(&names) : NULL;
    }
    return NULL;
}

static GPtrArray *copy_names(const GPtrArray *chain)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < chain->len; i++)
        g_ptr_array_add(names, g_strdup(chain->pdata[i]));
    return names;
}

static bool all_sound(Lineage *lineage, const GPtrArray *names)
{
    for (guint i = 0; i < names->len; i++) {
        Member *member = lineage_find(lineage, names->pdata[i]);
        if (!member || !member->codec)
            return false;
    }
    return true;
}

/* --- one merge --- */

/* All blocks are in the ancestor: what remains is its name and the deletions. */
static bool end_complete(Cleaning *cleaning, Lineage *lineage, const MergeState *state,
                         Member *ancestor, bool *frozen, GError **error)
{
    g_autofree char *name = final_name(cleaning, lineage, state, ancestor);
    if (!name || MUTANT(resume_gives_up)) { /* mutant: catalog_clean:test_half_done */
        cleaning_warn(cleaning, state->file,
                      "a merge was interrupted after its last block, and the name of its result is "
                      "not known: nothing is touched");
        *frozen = true;
        return true;
    }
    g_autoptr(GPtrArray) names = state->chain->len > 1 ? copy_names(state->chain) : NULL;
    if (!names) {
        Member *newest = lineage_find(lineage, name);
        names = newest ? walk_down(newest, ancestor) : NULL;
    }
    if (!names) {
        names = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(names, g_strdup(ancestor->name));
        g_ptr_array_add(names, g_strdup(name));
    }
    MergeState settled = *state;
    settled.has_uids = true;
    settled.child_uid = ancestor->info.uid;
    return merge_run(cleaning, lineage->relative, names, &settled, error);
}

static bool go_on(Cleaning *cleaning, Lineage *lineage, const MergeState *state, Member *ancestor,
                  bool *frozen, GError **error)
{
    g_autoptr(GPtrArray) names = NULL;
    if (state->chain->len > 1) {
        names = copy_names(state->chain);
    } else if (state->torn) {
        names = walk_up(cleaning, lineage, ancestor);
    } else if (state->has_uids) {
        Member *newest = find_uid(lineage, &state->child_uid, ancestor);
        names = newest ? walk_down(newest, ancestor) : NULL;
    } else if (ancestor
                   ->child) { /* older notes name nobody: one step, and the plan does the rest */
        names = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(names, g_strdup(ancestor->name));
        g_ptr_array_add(names, g_strdup(ancestor->child->name));
    }
    if (!names || !all_sound(lineage, names)) {
        cleaning_warn(
            cleaning, state->file,
            "a merge was interrupted and its disks are not all readable: nothing is touched");
        *frozen = true;
        return true;
    }
    MergeState settled = *state;
    if (state->step == STEP_CLEANUP ||
        !state->has_uids) /* what it says does not fit the ancestor: anew */
        settled.from_block = 0;
    return merge_run(cleaning, lineage->relative, names, &settled, error);
}

/* The ancestor has its new name, or XO has deleted it: what the note says is over. */
static bool end_orphan(Cleaning *cleaning, Lineage *lineage, const MergeState *state,
                       GError **error)
{
    g_autofree char *path = g_strjoin("/", lineage->folder, state->file, NULL);
    if (!cleaning->remove)
        return true;
    cleaning_warn(cleaning, path, "orphan merge state");
    cleaning->changed = true;
    return remote_drop(cleaning->catalog->remote, path, error);
}

static bool is_complete(Lineage *lineage, const MergeState *state, const Member *ancestor)
{
    if (state->torn)
        return find_uid(lineage, &ancestor->info.uid, ancestor) != NULL;
    return state->has_uids ? same_uid(&ancestor->info.uid, &state->child_uid)
                           : state->step == STEP_CLEANUP;
}

static bool resume_one(Cleaning *cleaning, Lineage *lineage, const MergeState *state, bool *frozen,
                       GError **error)
{
    Member *ancestor = lineage_find(lineage, state->ancestor);
    if (!state->fault && !ancestor)
        return end_orphan(cleaning, lineage, state, error);
    if (state->fault || !ancestor->codec) {
        cleaning_warn(cleaning, state->file, "%s",
                      (state->fault ? state->fault : ancestor->fault)->message);
        *frozen = true;
        return true;
    }
    if (!cleaning->merge) {
        *frozen = true; /* to be gone on with when merging is allowed */
        return true;
    }
    return is_complete(lineage, state, ancestor)
               ? end_complete(cleaning, lineage, state, ancestor, frozen, error)
               : go_on(cleaning, lineage, state, ancestor, frozen, error);
}

bool merges_resume(Cleaning *cleaning, const char *relative, bool *frozen, GError **error)
{
    g_autoptr(Lineage) lineage = lineage_read(cleaning->catalog, cleaning->vm, relative, error);
    bool mended = false;
    *frozen = false;
    if (!lineage || (cleaning->merge && !ancestors_mend(cleaning, lineage, &mended, error)))
        return false;
    if (mended) {
        lineage_free(lineage);
        lineage = lineage_read(cleaning->catalog, cleaning->vm, relative, error);
    }
    for (guint i = 0; lineage && i < lineage->states->len; i++) {
        bool froze = false;
        if (!resume_one(cleaning, lineage, lineage->states->pdata[i], &froze, error))
            return false;
        *frozen = *frozen || froze;
    }
    return lineage != NULL;
}
