/* Merging into a block directory: block files are renamed over the parent's. A block that is in no
 * child any more, though its child's map has it, was moved before an interruption; it must then be
 * whole in the parent. Map and header come after all moves, the footer with the new identity last.
 */
#include "disk/merge.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "disk/vhd_directory.h"

#include <string.h>

enum { MARK_BLOCKS = 512 };

typedef struct {
    Chunks *parent;
    Chunks *const *children;
    unsigned n_children;
    const MergeOptions *options;
    VhdDirectory head;   /* of the parent */
    VhdDirectory *heads; /* of the children */
    guint8 *present;     /* of the result, one byte a block */
    guint32 n_entries;
    guint8 *buffer; /* a stored block */
    guint64 moved_bytes;
} DirectoryMerge;

static const DiskInfo *newest(const DirectoryMerge *merge)
{
    return &merge->heads[merge->n_children - 1].info;
}

static bool check_links(const DirectoryMerge *merge, GError **error)
{
    const DiskInfo *older = &merge->head.info;
    bool done = !memcmp(&older->uid, &newest(merge)->uid, sizeof older->uid);
    for (unsigned i = 0; i < merge->n_children; older = &merge->heads[i++].info) {
        const DiskInfo *child = &merge->heads[i].info;
        if (i == 0 && done)
            continue; /* only the end of an interrupted merge is missing */
        if (child->differencing && !memcmp(&child->parent_uid, &older->uid, sizeof older->uid))
            continue;
        g_autofree char *have = disk_uid_format(&older->uid);
        g_autofree char *want = disk_uid_format(&child->parent_uid);
        err_set(error, ERR_CORRUPT, "the disk to merge continues %s, not %s", want, have);
        return false;
    }
    return true;
}

static bool load(DirectoryMerge *merge, GError **error)
{
    if (!vhd_directory_load(merge->parent, &merge->head, error))
        return false;
    for (unsigned i = 0; i < merge->n_children; i++)
        if (!vhd_directory_load(merge->children[i], &merge->heads[i], error))
            return false;
    if (!check_links(merge, error))
        return false;
    merge->n_entries = MAX(merge->head.header.n_entries, newest(merge)->n_blocks);
    merge->present = g_malloc0(MAX(merge->n_entries, 1));
    memcpy(merge->present, merge->head.present, merge->head.info.n_blocks);
    return true;
}

/* The child that holds a block: the newest, or -1. */
static int owner(const DirectoryMerge *merge, guint32 block)
{
    for (int i = (int) merge->n_children - 1; i >= 0; i--)
        if (block < merge->heads[i].info.n_blocks && merge->heads[i].present[block])
            return i;
    return -1;
}

static bool recompress(DirectoryMerge *merge, const char *name, int child, GError **error)
{
    return vhd_chunk_get(merge->children[child], merge->heads[child].codec, name, merge->buffer,
                         VHD_STORED_BYTES, error) &&
           vhd_chunk_put(merge->parent, merge->head.codec, name, merge->buffer, VHD_STORED_BYTES,
                         error);
}

static bool move_block(DirectoryMerge *merge, guint32 block, int child, GError **error)
{
    char name[VHD_NAME_BYTES];
    vhd_block_name(block, name);
    GError *why = NULL;
    bool ok = merge->heads[child].codec == merge->head.codec
                  ? chunks_move(merge->parent, name, merge->children[child], name, &why)
                  : recompress(merge, name, child, &why);
    if (ok || !err_is(why, ERR_NOT_FOUND)) {
        if (!ok)
            g_propagate_error(error, why);
        return ok;
    }
    g_clear_error(&why);
    if (vhd_chunk_get(merge->parent, merge->head.codec, name, merge->buffer, VHD_STORED_BYTES,
                      error))
        return true;
    g_prefix_error(error, "block %u is neither in the child nor in the parent: ", block);
    return false;
}

static bool mark(DirectoryMerge *merge, guint32 next_block, GError **error)
{
    const MergeOptions *options = merge->options;
    CRASH_POINT(merge_directory_mark);
    return chunks_sync(merge->parent, error) &&
           (!options->mark || options->mark(next_block, merge->moved_bytes, options->user, error));
}

static bool move_blocks(DirectoryMerge *merge, GError **error)
{
    guint32 n_blocks = newest(merge)->n_blocks, n_since = 0;
    for (guint32 block = 0; block < n_blocks; block++) {
        int child = owner(merge, block);
        if (child < 0)
            continue;
        merge->present[block] = 1;
        if (block < merge->options->from_block)
            continue;
        if (cancel_check(merge->options->cancel, "merge", error) ||
            !move_block(merge, block, child, error))
            return false;
        merge->moved_bytes += DISK_BLOCK_BYTES;
        if (++n_since % MARK_BLOCKS == 0 && !mark(merge, block + 1, error))
            return false;
    }
    return mark(merge, n_blocks, error);
}

static bool write_head(DirectoryMerge *merge, GError **error)
{
    VhdDirectory *head = &merge->head;
    const DiskInfo *info = newest(merge);
    VhdFooter footer = {
        .current_size = info->size_bytes,
        .original_size = info->size_bytes,
        .timestamp = (guint32) info->timestamp_s,
        .uid = info->uid,
    };
    vhd_header_resize(head->raw_header, merge->n_entries);
    vhd_footer_adopt(head->raw_footer, &footer);
    if (!MUTANT(merge_keep_header) && /* mutant: disk_merge:test_directory */
        !vhd_chunk_put(merge->parent, head->codec, "header", head->raw_header, VHD_HEADER_BYTES,
                       error))
        return false;
    if (!vhd_bat_put(merge->parent, head->codec, merge->present, merge->n_entries, error) ||
        !chunks_sync(merge->parent, error))
        return false;
    CRASH_POINT(merge_directory_footer);
    return vhd_chunk_put(merge->parent, head->codec, "footer", head->raw_footer, VHD_FOOTER_BYTES,
                         error) &&
           chunks_sync(merge->parent, error);
}

static guint64 stored(const DirectoryMerge *merge)
{
    guint32 n_present = 0;
    for (guint32 block = 0; block < merge->n_entries; block++)
        n_present += merge->present[block];
    return vhd_file_bytes(merge->n_entries, n_present);
}

bool merge_directory(Chunks *parent, Chunks *const *children, unsigned n_children,
                     const MergeOptions *options, guint64 *stored_bytes, GError **error)
{
    if (n_children == 0) {
        err_set(error, ERR_INVALID, "nothing to merge");
        return false;
    }
    g_autoptr(BlockBuffer) buffer = block_buffer_take(VHD_STORED_BYTES);
    g_autofree VhdDirectory *heads = g_new0(VhdDirectory, n_children);
    DirectoryMerge merge = { .parent = parent,
                             .children = children,
                             .n_children = n_children,
                             .options = options,
                             .heads = heads,
                             .buffer = buffer };
    bool ok = load(&merge, error) && move_blocks(&merge, error) && write_head(&merge, error);
    if (ok)
        *stored_bytes = stored(&merge);
    for (unsigned i = 0; i < n_children; i++)
        vhd_directory_clear(&heads[i]);
    vhd_directory_clear(&merge.head);
    g_free(merge.present);
    return ok;
}
