/* Several members as one disk: a flat map says which member holds each block, so that a chain of a
 * hundred costs no more to read than one of two. */
#include "disk/disk.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

typedef struct {
    Disk base;
    Disk **members; /* oldest first */
    unsigned n_members, n_merging;
    guint32 *owner; /* member index + 1, 0: nobody */
} Chain;

static bool chain_has(Disk *base, guint32 block)
{
    return ((Chain *) base)->owner[block] != 0;
}

/* From its owner; from the disk that is being merged into when the block was moved there, of which
 * that one's map does not know yet. */
static bool read_anyhow(Chain *chain, guint32 block, void *to,
                        bool (*read)(Disk *disk, guint32 block, void *to, GError **error),
                        GError **error)
{
    guint32 owner = chain->owner[block] - 1;
    GError *why = NULL;
    if (read(chain->members[owner], block, to, &why))
        return true;
    if (!err_is(why, ERR_NOT_FOUND) || owner >= chain->n_merging || owner == 0) {
        g_propagate_error(error, why);
        return false;
    }
    g_error_free(why);
    return read(chain->members[0], block, to, error);
}

/* Whether or not its map has it. */
static bool member_block(Disk *member, guint32 block, void *buffer, GError **error)
{
    return member->ops->read_block(member, block, buffer, error);
}

static bool member_stored(Disk *member, guint32 block, void *stored, GError **error)
{
    if (member->ops->read_stored)
        return member->ops->read_stored(member, block, stored, error);
    return member->ops->read_block(member, block, (guint8 *) stored + DISK_HEAD_BYTES, error);
}

static bool chain_read_block(Disk *base, guint32 block, void *buffer, GError **error)
{
    return read_anyhow((Chain *) base, block, buffer, member_block, error);
}

static bool chain_read_stored(Disk *base, guint32 block, void *stored, GError **error)
{
    return read_anyhow((Chain *) base, block, stored, member_stored, error);
}

static Disk *owner_of(Disk *base, guint32 block)
{
    Chain *chain = (Chain *) base;
    return chain->members[chain->owner[block] - 1];
}

/* Flat members only, and those are never merged under a reader. */
static bool chain_read_part(Disk *base, guint32 block, gsize offset, void *buffer, gsize n,
                            GError **error)
{
    Disk *member = owner_of(base, block);
    return member->ops->read_part(member, block, offset, buffer, n, error);
}

static bool chain_read_span(Disk *base, guint32 block, void *buffer, gsize *from, gsize to,
                            GError **error)
{
    Disk *member = owner_of(base, block);
    if (member->ops->read_span)
        return member->ops->read_span(member, block, buffer, from, to, error);
    err_set(error, ERR_UNSUPPORTED, "block %u can only be read as a whole", block);
    return false;
}

static void chain_close(Disk *base)
{
    Chain *chain = (Chain *) base;
    for (unsigned i = 0; i < chain->n_members; i++)
        disk_close(chain->members[i]);
    g_free(chain->members);
    g_free(chain->owner);
    g_free(chain);
}

static const struct disk_ops chain_ops = { chain_has, chain_read_block, chain_close,
                                           .read_span = chain_read_span,
                                           .read_stored = chain_read_stored };
/* Of members that all can. */
static const struct disk_ops parts_ops = { chain_has, chain_read_block, chain_close,
                                           .read_part = chain_read_part,
                                           .read_stored = chain_read_stored };

static bool check_links(const Chain *chain, GError **error)
{
    for (unsigned i = 1; i < chain->n_members; i++) {
        const DiskInfo *parent = &chain->members[i - 1]->info, *child = &chain->members[i]->info;
        g_autofree char *want = disk_uid_format(&child->parent_uid);
        g_autofree char *have = disk_uid_format(&parent->uid);
        if (!child->differencing) {
            err_set(error, ERR_CORRUPT, "member %u of the chain is a root, not a delta", i);
            return false;
        }
        if (memcmp(&child->parent_uid, &parent->uid, sizeof parent->uid) &&
            !MUTANT(chain_parent)) { /* mutant: disk_chain */
            err_set(error, ERR_CORRUPT, "member %u of the chain continues %s, but its parent is %s",
                    i, want, have);
            return false;
        }
    }
    return true;
}

static void map_blocks(Chain *chain)
{
    guint32 n_blocks = chain->base.info.n_blocks;
    chain->owner = g_new0(guint32, MAX(n_blocks, 1));
    for (unsigned i = 0; i < chain->n_members; i++) {
        unsigned at = MUTANT(chain_oldest) ? chain->n_members - 1 - i : i; /* mutant: disk_chain */
        for (guint32 block = 0; block < n_blocks; block++)
            if (disk_has(chain->members[at], block))
                chain->owner[block] = at + 1;
    }
}

static bool all_in_parts(const Chain *chain)
{
    for (unsigned i = 0; i < chain->n_members; i++)
        if (!chain->members[i]->ops->read_part)
            return false;
    return true;
}

Disk *chain_open(Disk **members, unsigned n_members, GError **error)
{
    return chain_open_merging(members, n_members, 0, error);
}

Disk *chain_open_merging(Disk **members, unsigned n_members, unsigned n_merging, GError **error)
{
    Chain *chain = g_new0(Chain, 1);
    chain->base.ops = &chain_ops;
    chain->members = g_memdup2(members, n_members * sizeof *members);
    chain->n_members = n_members;
    chain->n_merging = MIN(n_merging, n_members);
    if (n_members == 0)
        err_set(error, ERR_INVALID, "a chain needs a member");
    if (n_members == 0 || !check_links(chain, error)) {
        chain_close(&chain->base);
        return NULL;
    }
    const DiskInfo *root = &members[0]->info;
    chain->base.info = members[n_members - 1]->info;
    chain->base.info.differencing = root->differencing;
    chain->base.info.parent_uid = root->parent_uid;
    memcpy(chain->base.info.parent_name, root->parent_name, sizeof root->parent_name);
    if (chain->n_merging > 1) /* its blocks are by now those of a disk that may have grown */
        members[0]->info.size_bytes = MAX(root->size_bytes, chain->base.info.size_bytes);
    map_blocks(chain);
    if (all_in_parts(chain))
        chain->base.ops = &parts_ops;
    return &chain->base;
}
