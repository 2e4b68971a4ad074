/* Memory of a block's size, which threads of the data path take and give back all the time. It lies
 * apart from the heap: there, small things come to lie between blocks and keep what was freed from
 * going back. Some are kept when they are given back, for fresh memory of this size costs a tenth
 * of what is done with it. Thread-safe; nothing blocks. */
#pragma once

#include <glib.h>

enum {
    BLOCK_BUFFER_BYTES = 5 << 19, /* a block, packed at its worst, and room to do so */
    BLOCK_BUFFERS_KEPT = 4,       /* at most, of those that nobody uses */
};

typedef void BlockBuffer;

/* At least n_bytes, aligned to pages, of any content; what is not touched takes no memory. Like
 * g_malloc it ends the program where there is none. More than BLOCK_BUFFER_BYTES is never kept. */
BlockBuffer *block_buffer_take(gsize n_bytes);
/* NULL is nothing. */
void block_buffer_give(BlockBuffer *buffer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BlockBuffer, block_buffer_give)

/* Those that are kept go back to the system. */
void block_buffers_drop(void);
/* How many are taken, and how many are kept. */
void block_buffers_count(unsigned *n_taken, unsigned *n_kept);
