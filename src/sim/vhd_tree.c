/* A node keeps its rule (the blocks of a new disk) and a table of the blocks that differ from it.
 */
#include "sim/vhd_tree.h"

#include "base/mutant.h"
#include "sim/seed.h"

#include <string.h>

#define OVERLAY_BIT 0x80000000u

typedef struct {
    VhdSource cells[VHD_BLOCK_CELLS];
} Block;

struct VhdNode {
    VhdTree *tree;
    VhdNode *parent, *first_child, *next_sibling;
    guint64 size_bytes;
    guint32 rule_blocks, rule_allocated; /* seed_holds_block of these, of the size at creation */
    VhdSource rule_generation;
    guint32 n_extra;    /* blocks in the table that the rule does not hold */
    GHashTable *blocks; /* block number → Block; NULL: none */
    void *owner;
    guint8 uid[16];
};

struct VhdTree {
    guint64 seed;
    Overlay *overlay;
    VhdSource next_generation;
    guint64 next_uid;
    GHashTable *nodes;
};

VhdTree *vhd_tree_new(guint64 seed, Overlay *overlay)
{
    VhdTree *tree = g_new0(VhdTree, 1);
    tree->seed = seed;
    tree->overlay = overlay;
    tree->next_generation = VHD_FIRST_WRITE;
    tree->nodes = g_hash_table_new(NULL, NULL);
    return tree;
}

static void node_discard(VhdNode *node)
{
    g_clear_pointer(&node->blocks, g_hash_table_unref);
    g_free(node);
}

void vhd_tree_free(VhdTree *tree)
{
    if (!tree)
        return;
    GHashTableIter iter;
    gpointer node;
    g_hash_table_iter_init(&iter, tree->nodes);
    while (g_hash_table_iter_next(&iter, &node, NULL))
        node_discard(node);
    g_hash_table_unref(tree->nodes);
    g_free(tree);
}

VhdSource vhd_tree_next_generation(VhdTree *tree)
{
    g_assert(tree->next_generation < OVERLAY_BIT);
    return tree->next_generation++;
}

static void make_uid(VhdTree *tree, guint8 uid[16])
{
    guint64 high = GUINT64_TO_BE(tree->seed * 0x9e3779b97f4a7c15ull ^ 0xcade52aull);
    guint64 low = GUINT64_TO_BE(++tree->next_uid);
    memcpy(uid, &high, 8);
    memcpy(uid + 8, &low, 8);
    uid[6] = (guint8) (0x40 | (uid[6] & 0x0f)); /* RFC 4122: random, variant 1 */
    uid[8] = (guint8) (0x80 | (uid[8] & 0x3f));
}

static void add_child(VhdNode *parent, VhdNode *node)
{
    node->parent = parent;
    node->next_sibling = parent->first_child;
    parent->first_child = node;
}

static void remove_child(VhdNode *node)
{
    VhdNode **link = &node->parent->first_child;
    while (*link != node)
        link = &(*link)->next_sibling;
    *link = node->next_sibling;
    node->parent = node->next_sibling = NULL;
}

VhdNode *vhd_node_new(VhdTree *tree, VhdNode *parent, guint64 size_bytes)
{
    VhdNode *node = g_new0(VhdNode, 1);
    node->tree = tree;
    node->size_bytes = size_bytes;
    make_uid(tree, node->uid);
    if (parent)
        add_child(parent, node);
    g_hash_table_add(tree->nodes, node);
    return node;
}

VhdNode *vhd_node_new_seeded(VhdTree *tree, guint64 size_bytes, VhdSource generation,
                             guint32 n_allocated)
{
    VhdNode *node = vhd_node_new(tree, NULL, size_bytes);
    node->rule_blocks = vhd_node_n_blocks(node);
    node->rule_allocated = MIN(n_allocated, node->rule_blocks);
    node->rule_generation = generation;
    return node;
}

static void give_back(VhdTree *tree, VhdSource source)
{
    if (source & OVERLAY_BIT)
        overlay_give(tree->overlay, source & ~OVERLAY_BIT);
}

void vhd_node_free(VhdNode *node)
{
    g_assert(!node->first_child);
    if (node->parent)
        remove_child(node);
    if (node->blocks) {
        GHashTableIter iter;
        gpointer value;
        g_hash_table_iter_init(&iter, node->blocks);
        while (g_hash_table_iter_next(&iter, NULL, &value))
            for (guint i = 0; i < VHD_BLOCK_CELLS; i++)
                give_back(node->tree, ((Block *) value)->cells[i]);
    }
    g_hash_table_remove(node->tree->nodes, node);
    node_discard(node);
}

static bool rule_holds(const VhdNode *node, guint32 block)
{
    return block < node->rule_blocks &&
           seed_holds_block(block, node->rule_allocated, node->rule_blocks);
}

static Block *find_block(const VhdNode *node, guint32 block)
{
    return node->blocks ? g_hash_table_lookup(node->blocks, GUINT_TO_POINTER(block)) : NULL;
}

/* The block's table entry, made when needed. */
static Block *own_block(VhdNode *node, guint32 number)
{
    Block *block = find_block(node, number);
    if (block)
        return block;
    block = g_new0(Block, 1);
    if (rule_holds(node, number)) {
        for (guint i = 0; i < VHD_BLOCK_CELLS; i++)
            block->cells[i] = node->rule_generation;
    } else {
        node->n_extra++;
    }
    if (!node->blocks)
        node->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_hash_table_insert(node->blocks, GUINT_TO_POINTER(number), block);
    return block;
}

void vhd_node_put(VhdNode *node, guint64 cell, VhdSource source)
{
    Block *block = own_block(node, (guint32) (cell / VHD_BLOCK_CELLS));
    VhdSource *place = &block->cells[cell % VHD_BLOCK_CELLS];
    give_back(node->tree, *place);
    *place = source;
}

static void merge_block(VhdNode *parent, guint32 number, Block *from)
{
    Block *into = own_block(parent, number);
    for (guint i = 0; i < VHD_BLOCK_CELLS; i++) {
        if (from->cells[i] == VHD_NOT_HERE)
            continue;
        give_back(parent->tree, into->cells[i]);
        into->cells[i] = from->cells[i];
        from->cells[i] = VHD_NOT_HERE;
    }
}

void vhd_node_merge(VhdNode *node)
{
    VhdNode *parent = node->parent;
    g_assert(parent && !node->rule_allocated);
    if (node->blocks) {
        GHashTableIter iter;
        gpointer number, block;
        g_hash_table_iter_init(&iter, node->blocks);
        while (g_hash_table_iter_next(&iter, &number, &block))
            if (!MUTANT(sim_coalesce_loses_block) ||
                GPOINTER_TO_UINT(number)) /* mutant: sim_vhd_tree */
                merge_block(parent, GPOINTER_TO_UINT(number), block);
    }
    parent->size_bytes = MAX(parent->size_bytes, node->size_bytes);
    while (node->first_child) {
        VhdNode *child = node->first_child;
        remove_child(child);
        add_child(parent, child);
    }
    vhd_node_free(node);
}

VhdNode *vhd_node_parent(const VhdNode *node)
{
    return node->parent;
}

VhdNode *vhd_node_first_child(const VhdNode *node)
{
    return node->first_child;
}

VhdNode *vhd_node_next_sibling(const VhdNode *node)
{
    return node->next_sibling;
}

guint vhd_node_n_children(const VhdNode *node)
{
    guint n = 0;
    for (const VhdNode *child = node->first_child; child; child = child->next_sibling)
        n++;
    return n;
}

guint vhd_node_depth(const VhdNode *node)
{
    guint n = 0;
    for (; node; node = node->parent)
        n++;
    return n;
}

guint64 vhd_node_size_bytes(const VhdNode *node)
{
    return node->size_bytes;
}

guint32 vhd_node_n_blocks(const VhdNode *node)
{
    return (guint32) ((node->size_bytes + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES);
}

guint32 vhd_node_n_allocated(const VhdNode *node)
{
    return node->rule_allocated + node->n_extra;
}

const guint8 *vhd_node_uid(const VhdNode *node)
{
    return node->uid;
}

void *vhd_node_owner(const VhdNode *node)
{
    return node->owner;
}

void vhd_node_set_owner(VhdNode *node, void *owner)
{
    node->owner = owner;
}

void vhd_node_resize(VhdNode *node, guint64 size_bytes)
{
    g_assert(size_bytes >= node->size_bytes);
    node->size_bytes = size_bytes;
}

bool vhd_node_holds(const VhdNode *node, guint32 block)
{
    return find_block(node, block) || rule_holds(node, block);
}

bool vhd_chain_holds(const VhdNode *node, guint32 block)
{
    for (; node; node = node->parent)
        if (vhd_node_holds(node, block))
            return true;
    return false;
}

/* Fills the cells that are still open from one node; true when none is open any more. */
static bool fill_open(const VhdNode *node, guint32 number, VhdSource sources[VHD_BLOCK_CELLS])
{
    const Block *block = find_block(node, number);
    bool ruled = !block && rule_holds(node, number);
    if (!block && !ruled)
        return false;
    bool complete = true;
    for (guint i = 0; i < VHD_BLOCK_CELLS; i++) {
        if (sources[i] == VHD_NOT_HERE)
            sources[i] = ruled ? node->rule_generation : block->cells[i];
        complete &= sources[i] != VHD_NOT_HERE;
    }
    return complete;
}

void vhd_chain_sources(const VhdNode *node, guint32 block, VhdSource sources[VHD_BLOCK_CELLS])
{
    memset(sources, 0, VHD_BLOCK_CELLS * sizeof *sources);
    for (; node; node = node->parent)
        if (fill_open(node, block, sources))
            return;
    for (guint i = 0; i < VHD_BLOCK_CELLS; i++)
        if (sources[i] == VHD_NOT_HERE)
            sources[i] = VHD_ZEROS;
}

static bool is_in_chain(const VhdNode *node, const VhdNode *chain)
{
    for (; chain; chain = chain->parent)
        if (chain == node)
            return true;
    return false;
}

static void add_held(const VhdNode *node, guint8 *bits, guint32 n_blocks)
{
    for (guint32 b = 0; node->rule_allocated && b < MIN(n_blocks, node->rule_blocks); b++)
        if (rule_holds(node, b))
            bits[b / 8] |= (guint8) (1u << (b % 8));
    if (!node->blocks)
        return;
    GHashTableIter iter;
    gpointer number;
    g_hash_table_iter_init(&iter, node->blocks);
    while (g_hash_table_iter_next(&iter, &number, NULL)) {
        guint32 b = GPOINTER_TO_UINT(number);
        if (b < n_blocks)
            bits[b / 8] |= (guint8) (1u << (b % 8));
    }
}

guint8 *vhd_chain_diff(const VhdNode *node, const VhdNode *base, guint32 *n_set)
{
    guint32 n_blocks = vhd_node_n_blocks(node);
    guint8 *bits = g_malloc0(n_blocks / 8 + 1);
    for (const VhdNode *file = node; file; file = file->parent)
        if (!is_in_chain(file, base))
            add_held(file, bits, n_blocks);
    for (const VhdNode *file = base; file; file = file->parent)
        if (!is_in_chain(file, node) &&
            !MUTANT(sim_delta_forgets_base_side)) /* mutant: sim_vhd_tree */
            add_held(file, bits, n_blocks);
    *n_set = 0;
    for (guint32 i = 0; i < n_blocks / 8 + 1; i++)
        *n_set += (guint32) __builtin_popcount(bits[i]);
    return bits;
}

bool vhd_source_read(const VhdTree *tree, VhdSource source, guint64 cell, void *out, GError **error)
{
    if (source & OVERLAY_BIT)
        return overlay_read(tree->overlay, source & ~OVERLAY_BIT, out, error);
    if (source < VHD_FIRST_GENERATION)
        memset(out, 0, SEED_CELL_BYTES);
    else
        seed_cell(tree->seed, source, cell, out);
    return true;
}

VhdSource vhd_source_overlay(guint32 slot)
{
    return OVERLAY_BIT | slot;
}

bool vhd_source_is_overlay(VhdSource source)
{
    return source & OVERLAY_BIT;
}

guint32 vhd_source_slot(VhdSource source)
{
    return source & ~OVERLAY_BIT;
}
