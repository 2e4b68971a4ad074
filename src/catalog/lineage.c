/* Reads the heads of all disks of a folder and links children to parents. Nothing is changed. */
#include "catalog/lineage.h"

#include "base/error.h"

#include <string.h>

static void member_free(gpointer data)
{
    Member *member = data;
    g_free(member->name);
    member_place_clear(&member->place);
    g_clear_error(&member->fault);
    g_free(member);
}

void lineage_free(Lineage *lineage)
{
    if (!lineage)
        return;
    g_free(lineage->folder);
    g_free(lineage->relative);
    g_clear_pointer(&lineage->names, g_ptr_array_unref);
    g_clear_pointer(&lineage->members, g_ptr_array_unref);
    g_clear_pointer(&lineage->states, g_ptr_array_unref);
    g_free(lineage);
}

Member *lineage_find(Lineage *lineage, const char *name)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (strcmp(member->name, name) == 0)
            return member;
    }
    return NULL;
}

Member *lineage_needed_child(Lineage *lineage, const Member *parent, unsigned *n_children)
{
    Member *child = NULL;
    *n_children = 0;
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (member->parent != parent || !member->needed)
            continue;
        child = child ? child : member;
        ++*n_children;
    }
    return child;
}

MergeState *lineage_state(Lineage *lineage, const char *ancestor)
{
    for (guint i = 0; i < lineage->states->len; i++) {
        MergeState *state = lineage->states->pdata[i];
        if (strcmp(state->ancestor, ancestor) == 0)
            return state;
    }
    return NULL;
}

/* Damage is the member's own; anything else may pass by itself, and nobody may decide on it. */
static bool is_damage(const GError *error)
{
    static const ErrCode codes[] = { ERR_NOT_FOUND, ERR_CORRUPT, ERR_TRUNCATED, ERR_UNSUPPORTED,
                                     ERR_LIMIT };
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++)
        if (err_is(error, codes[i]))
            return true;
    return false;
}

static const char *known_codec(Disk *disk)
{
    const char *codec = vhd_directory_codec(disk);
    return codec ? codec : "flat";
}

static bool member_load(Catalog *catalog, Lineage *lineage, Member *member, GError **error)
{
    g_autofree char *path = g_strjoin("/", lineage->folder, member->name, NULL);
    bool merging = lineage_state(lineage, member->name) != NULL;
    g_autoptr(Disk) disk = NULL;
    if (member_locate(catalog, path, &member->place, &member->fault))
        disk = member_open(catalog, &member->place, merging, &member->fault);
    if (disk) {
        member->info = disk->info;
        member->codec = known_codec(disk);
        member->n_entries = vhd_directory_entries(disk);
        member->size_bytes = member_size_bytes(disk);
        return true;
    }
    if (is_damage(member->fault))
        return true;
    g_propagate_error(error, g_steal_pointer(&member->fault));
    return false;
}

static bool load_members(Catalog *catalog, Lineage *lineage, GError **error)
{
    for (guint i = 0; i < lineage->names->len; i++) {
        const char *name = lineage->names->pdata[i];
        if (*name == '.' || !g_str_has_suffix(name, LAYOUT_DISK))
            continue;
        Member *member = g_new0(Member, 1);
        member->name = g_strdup(name);
        g_ptr_array_add(lineage->members, member);
        if (!member_load(catalog, lineage, member, error))
            return false;
    }
    return true;
}

/* A uid that does not fit is told by whoever follows the link: during a merge it is expected. */
static void link_parent(Lineage *lineage, Member *member)
{
    if (member->fault || !member->info.differencing)
        return;
    g_autofree char *path = layout_resolve(lineage->folder, member->info.parent_name);
    g_autofree char *folder = path ? g_path_get_dirname(path) : NULL;
    const char *name = path ? strrchr(path, '/') : NULL;
    bool here = name && strcmp(folder, lineage->folder) == 0;
    member->parent = here ? lineage_find(lineage, name + 1) : NULL;
    if (!member->parent) {
        err_set(&member->fault, ERR_NOT_FOUND, "the parent %s of %s/%s is missing",
                member->info.parent_name, lineage->folder, member->name);
        return;
    }
    member->parent->n_children++;
    if (!member->parent->child)
        member->parent->child = member;
}

Lineage *lineage_read(Catalog *catalog, const char *vm, const char *relative, GError **error)
{
    g_autoptr(Lineage) lineage = g_new0(Lineage, 1);
    lineage->folder = layout_vm(vm, relative);
    lineage->relative = g_strdup(relative);
    lineage->members = g_ptr_array_new_with_free_func(member_free);
    lineage->names = remote_list(catalog->remote, lineage->folder, error);
    if (!lineage->names)
        return NULL;
    lineage->states = merge_states_read(catalog, lineage->folder, lineage->names, error);
    if (!lineage->states || !load_members(catalog, lineage, error))
        return NULL;
    for (guint i = 0; i < lineage->members->len; i++)
        link_parent(lineage, lineage->members->pdata[i]);
    return g_steal_pointer(&lineage);
}

static GPtrArray *list_folders(Catalog *catalog, const char *path, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GPtrArray) folders = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, path, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *child = g_strjoin("/", path, names->pdata[i], NULL);
        RemoteStat st;
        if (*(char *) names->pdata[i] == '.')
            continue;
        if (!remote_stat(catalog->remote, child, &st, error))
            return NULL;
        if (st.is_folder)
            g_ptr_array_add(folders, g_strdup(names->pdata[i]));
    }
    return g_steal_pointer(&folders);
}

GPtrArray *lineage_list(Catalog *catalog, const char *vm, GError **error)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *vdis = layout_vm(vm, "vdis");
    g_autoptr(GPtrArray) jobs = list_folders(catalog, vdis, error);
    for (guint i = 0; jobs && i < jobs->len; i++) {
        g_autofree char *job = g_strjoin("/", vdis, jobs->pdata[i], NULL);
        g_autoptr(GPtrArray) disks = list_folders(catalog, job, error);
        if (!disks)
            return NULL;
        for (guint j = 0; j < disks->len; j++)
            g_ptr_array_add(found, g_strjoin("/", "vdis", jobs->pdata[i], disks->pdata[j], NULL));
    }
    return jobs ? g_steal_pointer(&found) : NULL;
}
