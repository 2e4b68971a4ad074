/* The bytes of simulated disks, made from numbers instead of being stored.
 *
 * A disk is cut in cells of 64 KiB. A cell's bytes depend on three numbers only: the pool's seed,
 * the generation that wrote the cell, and the cell's index in its disk. Generations are unique in a
 * pool (a disk's first one is its identity), so a write by a guest costs one number. The mix looks
 * like a server's disk: 30 % zero cells, 40 % log-like text, 10 % binary records, 20 % random. Pure
 * functions: any thread. */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define SEED_CELL_BYTES (64u << 10)

/* Fills the SEED_CELL_BYTES at `out`. */
void seed_cell(guint64 seed, guint32 generation, guint64 cell, void *out);
/* Whether `block` is among the `n_allocated` of `n_blocks` that a new disk holds: spread evenly,
 * block 0 first, and exactly that many. */
bool seed_holds_block(guint32 block, guint32 n_allocated, guint32 n_blocks);
