/* From a name in a folder of disks to something that can be read. */
#include "catalog/member.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

#define ALIAS_MAX_BYTES 1024u

void member_place_clear(MemberPlace *place)
{
    g_clear_pointer(&place->data, g_free);
}

static char *alias_target(Catalog *catalog, const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GBytes) content = remote_get(catalog->remote, path, ALIAS_MAX_BYTES, error);
    if (!content)
        return NULL;
    gsize n;
    const char *data = g_bytes_get_data(content, &n);
    g_autofree char *relative = g_strndup(data ? data : "", n);
    g_strstrip(relative);
    char *target = *relative && strlen(relative) <= n ? layout_resolve(folder, relative) : NULL;
    if (target && g_str_has_suffix(target, LAYOUT_DISK) && !layout_is_alias(target))
        return target;
    err_set(error, ERR_CORRUPT, "the alias %s names no disk of this remote: \"%.100s\"", path,
            relative);
    g_free(target);
    return NULL;
}

bool member_locate(Catalog *catalog, const char *path, MemberPlace *place, GError **error)
{
    RemoteStat st;
    g_autofree char *data = layout_is_alias(path) ? alias_target(catalog, path, error)
                                                  : g_strdup(path);
    if (!data || !remote_stat(catalog->remote, data, &st, error)) {
        if (data && layout_is_alias(path))
            g_prefix_error(error, "the target of the alias %s: ", path);
        return false;
    }
    if (st.is_folder && !layout_is_alias(path)) {
        err_set(error, ERR_UNSUPPORTED, "%s is a block directory without an alias", path);
        return false;
    }
    place->data = g_steal_pointer(&data);
    place->is_directory = st.is_folder;
    return true;
}

char *member_words(Catalog *catalog, const char *path)
{
    g_auto(MemberPlace) place = { 0 };
    if (!layout_is_alias(path) || !member_locate(catalog, path, &place, NULL))
        return g_strdup(path);
    return g_strdup_printf("%s (%s)", path, place.data);
}

Disk *member_open(Catalog *catalog, const MemberPlace *place, bool merging, GError **error)
{
    Disk *disk = NULL;
    if (place->is_directory) {
        Chunks *chunks = remote_chunks(catalog->remote, place->data, error);
        disk = chunks ? vhd_directory_open(chunks, error) : NULL;
    } else {
        Bytes *bytes = remote_bytes(catalog->remote, place->data, REMOTE_READ, error);
        if (bytes)
            disk = merging ? vhd_open_merging(bytes, error) : vhd_open(bytes, error);
    }
    if (!disk)
        g_prefix_error(error, "the disk %s: ", place->data);
    return disk;
}

guint64 member_size_bytes(Disk *disk)
{
    guint64 n_entries = disk->info.n_blocks, n_blocks = disk_n_present(disk);
    guint64 table_bytes = MAX(512, (n_entries * 4 + 511) / 512 * 512);
    return 512 + 1024 + table_bytes + n_blocks * (512 + (guint64) DISK_BLOCK_BYTES) + 512;
}

static bool sweep_folder(Catalog *catalog, const char *folder, GPtrArray *names, GError **error)
{
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_strjoin("/", folder, names->pdata[i], NULL);
        if (layout_is_temporary(names->pdata[i]) &&
            !MUTANT(member_leaves_hidden) && /* mutant: catalog_crash:test_directory */
            !remote_drop(catalog->remote, path, error))
            return false;
    }
    return true;
}

bool member_sweep(Catalog *catalog, const char *data, bool deep, GError **error)
{
    g_autofree char *blocks = g_strconcat(data, "/blocks", NULL);
    g_autoptr(GError) failure = NULL;
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, data, error);
    if (!names || !sweep_folder(catalog, data, names, error))
        return false;
    if (!deep)
        return true;
    g_autoptr(GPtrArray) folders = remote_list(catalog->remote, blocks, &failure);
    if (!folders && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    for (guint i = 0; folders && i < folders->len; i++) {
        g_autofree char *folder = g_strjoin("/", blocks, folders->pdata[i], NULL);
        g_autoptr(GPtrArray) inside = remote_list(catalog->remote, folder, error);
        if (!inside || !sweep_folder(catalog, folder, inside, error))
            return false;
    }
    return true;
}
