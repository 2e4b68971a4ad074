/* A block directory says twice which blocks it has: in its table, and by the files that are there.
 * A table that names too much fails when the block is read; one that names too little is found
 * here. */
#include "catalog/tables.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/member.h"

#include <string.h>

enum { GROUP_BLOCKS = 1000 };

static bool number_of(const char *name, guint64 max, guint64 *number)
{
    return g_ascii_string_to_unsigned(name, 10, 0, max, number, NULL);
}

static bool check_group(Catalog *catalog, const char *blocks, const char *group, Disk *disk,
                        GError **error)
{
    guint64 first, in_group;
    g_autofree char *folder = g_strjoin("/", blocks, group, NULL);
    if (!number_of(group, G_MAXUINT32 / GROUP_BLOCKS - 1, &first))
        return true;
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, folder, error);
    for (guint i = 0; names && i < names->len; i++) {
        if (!number_of(names->pdata[i], GROUP_BLOCKS - 1, &in_group))
            continue; /* a leftover of a transfer */
        guint32 block = (guint32) (first * GROUP_BLOCKS + in_group);
        if (block < disk->info.n_blocks && !disk_has(disk, block) &&
            !MUTANT(tables_believes)) { /* mutant: catalog_read:test_strict */
            err_set(error, ERR_CORRUPT,
                    "%s/%s is there, and the table of its disk does not name it", folder,
                    (char *) names->pdata[i]);
            return false;
        }
    }
    return names != NULL;
}

static bool check_files(Catalog *catalog, const MemberPlace *place, Disk *disk, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *blocks = g_strconcat(place->data, "/blocks", NULL);
    g_autoptr(GPtrArray) groups = remote_list(catalog->remote, blocks, &failure);
    if (err_is(failure, ERR_NOT_FOUND)) /* a disk without blocks */
        return true;
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    for (guint i = 0; groups && i < groups->len; i++)
        if (!check_group(catalog, blocks, groups->pdata[i], disk, error))
            return false;
    return groups != NULL;
}

/* Blocks are on their way from one disk to another. */
static bool is_merging(Catalog *catalog, const char *path, bool *merging, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, folder, error);
    *merging = false;
    for (guint i = 0; names && i < names->len; i++)
        *merging = *merging || g_str_has_suffix(names->pdata[i], LAYOUT_MERGE_STATE);
    return names != NULL;
}

bool tables_check(Catalog *catalog, const char *path, GError **error)
{
    bool merging;
    g_auto(MemberPlace) place = { 0 };
    if (!layout_is_alias(path))
        return true;
    if (!is_merging(catalog, path, &merging, error))
        return false;
    if (merging)
        return true;
    g_autoptr(Disk) disk = member_locate(catalog, path, &place, error)
                               ? member_open(catalog, &place, false, error)
                               : NULL;
    return disk && (!place.is_directory || check_files(catalog, &place, disk, error));
}
