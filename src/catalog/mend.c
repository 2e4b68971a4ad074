/* What XO writes over as a merge begins or ends, when it died doing so. A block directory may have
 * half a map, or half a footer: the note tells of which merge, the files in it which blocks it has.
 * A flat disk may have lost the footer at its end while room was made for more blocks. */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "disk/merge.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_A_FOLDER 1000u /* blocks/<i / 1000>/<i % 1000> */

/* The number that a name is, or -1. */
static gint64 number_of(const char *name, guint32 max)
{
    guint64 number;
    return g_ascii_string_to_unsigned(name, 10, 0, max, &number, NULL) ? (gint64) number : -1;
}

static bool list_folder(Cleaning *cleaning, const char *path, guint32 folder, GArray *blocks,
                        GError **error)
{
    g_autoptr(GPtrArray) names = remote_list(cleaning->catalog->remote, path, error);
    for (guint i = 0; names && i < names->len; i++) {
        gint64 number = number_of(names->pdata[i], BLOCKS_A_FOLDER - 1);
        guint32 block = folder * BLOCKS_A_FOLDER + (guint32) number;
        if (number >= 0)
            g_array_append_val(blocks, block);
    }
    return names != NULL;
}

/* The blocks whose files are there. */
static GArray *list_blocks(Cleaning *cleaning, const char *data, GError **error)
{
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autofree char *root = g_strconcat(data, "/blocks", NULL);
    g_autoptr(GPtrArray) folders = remote_list(cleaning->catalog->remote, root, error);
    for (guint i = 0; folders && i < folders->len; i++) {
        g_autofree char *path = g_strjoin("/", root, folders->pdata[i], NULL);
        gint64 folder = number_of(folders->pdata[i], G_MAXUINT32 / BLOCKS_A_FOLDER - 1);
        if (folder >= 0 && !list_folder(cleaning, path, (guint32) folder, blocks, error))
            return NULL;
    }
    return folders ? g_steal_pointer(&blocks) : NULL;
}

static bool mend(Cleaning *cleaning, const Member *ancestor, const Member *newest, GError **error)
{
    g_autoptr(GArray) blocks = list_blocks(cleaning, ancestor->place.data, error);
    g_autoptr(Disk) from = blocks ? member_open(cleaning->catalog, &newest->place, false, error)
                                  : NULL;
    g_autoptr(Chunks) chunks =
        from ? remote_chunks(cleaning->catalog->remote, ancestor->place.data, error) : NULL;
    return chunks &&
           vhd_directory_mend(chunks, from, (const guint32 *) blocks->data, blocks->len, error);
}

static bool mend_noted(Cleaning *cleaning, Lineage *lineage, const MergeState *state, bool *mended,
                       GError **error)
{
    const char *target = state->fault ? NULL : merge_state_target(state);
    Member *ancestor = lineage_find(lineage, state->ancestor);
    Member *newest = target ? lineage_find(lineage, target) : NULL;
    *mended = ancestor && !ancestor->codec && ancestor->place.is_directory && newest &&
              newest->codec && newest->place.is_directory;
    return !*mended || mend(cleaning, ancestor, newest, error);
}

static bool mend_flat(Cleaning *cleaning, Lineage *lineage, const Member *member, bool *mended,
                      GError **error)
{
    *mended = member->fault && err_is(member->fault, ERR_TRUNCATED) && member->n_children == 1 &&
              !member->place.is_directory && !lineage_state(lineage, member->name);
    if (!*mended)
        return true;
    g_autoptr(Bytes)
        bytes = remote_bytes(cleaning->catalog->remote, member->place.data, REMOTE_UPDATE, error);
    return bytes && merge_flat_seal(bytes, error);
}

/* Damage that is another than what is mended here stays, and is told of by others. */
static bool settle(Cleaning *cleaning, const char *name, bool tried, GError *failure, bool *mended,
                   GError **error)
{
    bool passing = failure && err_is(failure, ERR_IO);
    if (tried && !failure) {
        cleaning_warn(cleaning, name, "its head was cut, and is whole again");
        cleaning->changed = *mended = true;
    }
    if (passing)
        g_propagate_error(error, failure);
    else
        g_clear_error(&failure);
    return !passing;
}

bool ancestors_mend(Cleaning *cleaning, Lineage *lineage, bool *mended, GError **error)
{
    *mended = false;
    for (guint i = 0; i < lineage->states->len; i++) {
        const MergeState *state = lineage->states->pdata[i];
        GError *failure = NULL;
        bool tried;
        mend_noted(cleaning, lineage, state, &tried, &failure);
        if (!settle(cleaning, state->ancestor, tried, failure, mended, error))
            return false;
    }
    for (guint i = 0; i < lineage->members->len; i++) {
        const Member *member = lineage->members->pdata[i];
        GError *failure = NULL;
        bool tried;
        mend_flat(cleaning, lineage, member, &tried, &failure);
        if (!settle(cleaning, member->name, tried, failure, mended, error))
            return false;
    }
    return true;
}
