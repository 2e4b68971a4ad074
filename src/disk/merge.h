/* Merging children into their parent, in place, so that the parent can take the newest child's
 * name.
 *
 * Both leave the parent's own link (its parent, its type) alone and give it the size, the time and
 * the unique id of the newest child. At every moment the disk can be read: as a chain until the
 * parent has the child's id, as the parent alone from then on (block directories: see
 * chain_open_merging). A merge that was cut is started again with `from_block`; running one again
 * from 0 is always right. The children are neither deleted nor renamed: that is the caller's, after
 * success. Block. */
#pragma once

#include "base/cancel.h"
#include "disk/disk.h"

typedef struct {
    guint32 from_block; /* every block below it is already in the parent, durably */
    Cancel *cancel;     /* may be NULL */
    /* Called now and then, and at the end: every block below `next_block` is durably in the parent.
     * False stops the merge with its error. May be NULL. */
    bool (*mark)(guint32 next_block, guint64 moved_bytes, void *user, GError **error);
    void *user;
} MergeOptions;

/* Flat files: the blocks of `child` (usually a chain of all children, without the parent) are
 * written over the parent's, or appended; the table grows with the disk. Neither is taken over.
 * *stored_bytes: the parent's length. CORRUPT when the child does not continue this parent. */
bool merge_flat(Bytes *parent, Disk *child, const MergeOptions *options, guint64 *stored_bytes,
                GError **error);

/* The end of a merge that was cut between the two footers: the one in front decides, the one at the
 * end is written again after the last block. TRUNCATED when that is not there. */
bool merge_flat_seal(Bytes *parent, GError **error);

/* The same for a block directory whose map or footer is cut: the map from the blocks whose files
 * are there, the footer from the newest child, which by then has all in it. Whole ones stay. */
bool vhd_directory_mend(Chunks *parent, Disk *newest, const guint32 *blocks, guint32 n_blocks,
                        GError **error);

/* Block directories of one maker: block files are moved (compressed anew only when the codecs
 * differ), the newest child's winning; children oldest first. Nothing is taken over. *stored_bytes:
 * as of a flat VHD. */
bool merge_directory(Chunks *parent, Chunks *const *children, unsigned n_children,
                     const MergeOptions *options, guint64 *stored_bytes, GError **error);
