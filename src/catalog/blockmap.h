/* Which block of a disk has which content: block number to XXH3-128, the heart of a manifest.
 * Private to the catalog. Stored as base64 of rows sorted by block: u32 number, 16 bytes canonical
 * hash, all big-endian. */
#pragma once

#include "disk/disk.h"

#include <jansson.h>

#define BLOCK_HASH_BYTES 16u

typedef struct BlockMap BlockMap;

BlockMap *block_map_new(void);
void block_map_free(BlockMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockMap, block_map_free)
/* Replaces; thread-safe. */
void block_map_set(BlockMap *map, guint32 block, const guint8 hash[BLOCK_HASH_BYTES]);
bool block_map_get(BlockMap *map, guint32 block, guint8 hash[BLOCK_HASH_BYTES]);
/* Forgets a block, or all. */
void block_map_drop(BlockMap *map, guint32 block);
void block_map_clear(BlockMap *map);
guint32 block_map_size(BlockMap *map);
/* Adds the rows of `newer` over those of `map`. */
void block_map_add(BlockMap *map, BlockMap *newer);
/* The blocks in ascending order; freed by the caller. */
guint32 *block_map_blocks(BlockMap *map, guint32 *n_blocks);

/* The rows from the number `from` on, in the order of their first set, and the way back: opaque,
 * for a journal of this machine. CORRUPT. */
GBytes *block_map_rows(BlockMap *map, guint32 from);
bool block_map_add_rows(BlockMap *map, const void *rows, gsize n_bytes, GError **error);

/* The blocks in that order; freed by the caller. */
guint32 *block_map_in_order(BlockMap *map, guint32 *n_blocks);

char *block_map_format(BlockMap *map);
/* CORRUPT. */
BlockMap *block_map_parse(const char *text, GError **error);

/* Of one block's content. */
void block_hash(const void *data, guint8 hash[BLOCK_HASH_BYTES]);
