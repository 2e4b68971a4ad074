/* XO's merge into a block directory takes over the size of a disk that has grown, and leaves the
 * header with room for the old one: XO itself then calls the disk broken and deletes its backups.
 * So every ancestor of a grown disk gets the room beforehand, which harms nobody, and what XO
 * merged already gets it when we see it. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

#define CHAIN_MAX_MEMBERS 16384u

static bool enlarge(Catalog *catalog, const MemberPlace *place, guint32 n_blocks, GError **error)
{
    g_autoptr(Chunks) chunks = remote_chunks(catalog->remote, place->data, error);
    return chunks && vhd_directory_enlarge(chunks, n_blocks, error);
}

/* Newest first: what a disk needs, its parent needs. */
bool lineage_make_room(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    g_autofree guint32 *needed = g_new0(guint32, lineage->members->len + 1);
    for (guint i = lineage->members->len; i-- > 0;) {
        Member *member = lineage->members->pdata[i];
        guint parent;
        needed[i] = MAX(needed[i], member->info.n_blocks);
        if (member->parent && g_ptr_array_find(lineage->members, member->parent, &parent))
            needed[parent] = MAX(needed[parent], needed[i]);
        if (!member->codec || !member->n_entries || member->n_entries >= needed[i] ||
            MUTANT(growth_forgets)) /* mutant: catalog_foreign */
            continue;
        if (!enlarge(cleaning->catalog, &member->place, needed[i], error))
            return false;
        cleaning->changed = true;
    }
    return true;
}

bool chain_make_room(Catalog *catalog, const char *folder, const char *tip, guint32 n_blocks,
                     GError **error)
{
    g_autofree char *name = g_strdup(tip);
    for (guint i = 0; name && i < CHAIN_MAX_MEMBERS; i++) {
        g_auto(MemberPlace) place = { 0 };
        g_autofree char *path = g_strjoin("/", folder, name, NULL);
        g_autoptr(Disk) disk = member_locate(catalog, path, &place, error)
                                   ? member_open(catalog, &place, false, error)
                                   : NULL;
        if (!disk)
            return false;
        guint32 n_entries = vhd_directory_entries(disk);
        if (n_entries && n_entries < n_blocks && !enlarge(catalog, &place, n_blocks, error))
            return false;
        g_free(name);
        name = disk->info.differencing ? g_strdup(disk->info.parent_name) : NULL;
    }
    return true;
}
