/* A pool's VHD files as a tree, without their bytes.
 *
 * A node is one VHD file: which blocks of 2 MiB it holds, and for each of the 32 cells of such a
 * block where the bytes come from. What a node does not hold, its parent may; what nobody holds
 * reads as zeros. A new disk's content is a rule (seed_holds_block), not a table, so it takes no
 * room until it changes. Knows nothing of records or SRs: storage.c binds nodes to VDIs.
 *
 * One thread at a time for everything except vhd_source_read. */
#pragma once

#include "sim/storage_overlay.h"

#include <glib.h>
#include <stdbool.h>

#define VHD_BLOCK_BYTES (2u << 20)
#define VHD_BLOCK_CELLS 32u

typedef struct VhdTree VhdTree;
typedef struct VhdNode VhdNode;

/* Where a cell's bytes come from: nowhere here, nothing but zeros, the overlay (top bit set, then
 * the slot), or else the generation that wrote it. */
typedef guint32 VhdSource;
enum { VHD_NOT_HERE = 0, VHD_ZEROS = 1, VHD_FIRST_GENERATION = 2 };
/* Disks made when the pool is populated use generations below; writes draw numbers from here on. */
#define VHD_FIRST_WRITE 0x40000000u

/* The overlay stays the caller's. */
VhdTree *vhd_tree_new(guint64 seed, Overlay *overlay);
/* Frees the nodes that are left, too. */
void vhd_tree_free(VhdTree *tree);
/* A generation that was never used. */
VhdSource vhd_tree_next_generation(VhdTree *tree);

/* An empty file; parent NULL: a root. */
VhdNode *vhd_node_new(VhdTree *tree, VhdNode *parent, guint64 size_bytes);
/* A root that holds n_allocated blocks written by `generation`. */
VhdNode *vhd_node_new_seeded(VhdTree *tree, guint64 size_bytes, VhdSource generation,
                             guint32 n_allocated);
/* The node must have no children; its cells are given back. */
void vhd_node_free(VhdNode *node);
/* Moves what the node holds over what its parent holds, moves its children to the parent, frees it.
 */
void vhd_node_merge(VhdNode *node);

VhdNode *vhd_node_parent(const VhdNode *node);
VhdNode *vhd_node_first_child(const VhdNode *node);
VhdNode *vhd_node_next_sibling(const VhdNode *node);
guint vhd_node_n_children(const VhdNode *node);
/* Nodes from here to the root, this one included. */
guint vhd_node_depth(const VhdNode *node);
guint64 vhd_node_size_bytes(const VhdNode *node);
guint32 vhd_node_n_blocks(const VhdNode *node);
guint32 vhd_node_n_allocated(const VhdNode *node);
/* The unique id in the file's footer, 16 bytes. */
const guint8 *vhd_node_uid(const VhdNode *node);
/* Whatever the caller keeps with a node. */
void *vhd_node_owner(const VhdNode *node);
void vhd_node_set_owner(VhdNode *node, void *owner);

/* Grows the virtual size. */
void vhd_node_resize(VhdNode *node, guint64 size_bytes);
/* Writes one cell; the block becomes allocated. An overlay source is taken over. */
void vhd_node_put(VhdNode *node, guint64 cell, VhdSource source);
/* Whether this file holds the block; whether any file of its chain does. */
bool vhd_node_holds(const VhdNode *node, guint32 block);
bool vhd_chain_holds(const VhdNode *node, guint32 block);
/* How each cell of a block reads through the chain; never VHD_NOT_HERE. */
void vhd_chain_sources(const VhdNode *node, guint32 block, VhdSource sources[VHD_BLOCK_CELLS]);
/* One bit per block, n_blocks of `node` (LSB first): held by a file in exactly one of the two
 * chains (base NULL: held at all). *n_set bits are set. */
guint8 *vhd_chain_diff(const VhdNode *node, const VhdNode *base, guint32 *n_set);

/* The bytes of a cell. Any thread. */
bool vhd_source_read(const VhdTree *tree, VhdSource source, guint64 cell, void *out,
                     GError **error);
/* The source of a slot of the overlay. */
VhdSource vhd_source_overlay(guint32 slot);
bool vhd_source_is_overlay(VhdSource source);
guint32 vhd_source_slot(VhdSource source);
