/* A long text in pieces: what is held already is shared, not copied, and only what stands between
 * is the rope's own. Made by one thread, then not changed and read by any. */
#pragma once

#include <glib.h>

typedef struct Rope Rope;

Rope *rope_new(void);
Rope *rope_ref(Rope *rope);
void rope_unref(Rope *rope);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rope, rope_unref)

/* Appends: bytes that are shared, … */
void rope_add(Rope *rope, GBytes *bytes);
/* … a copy of some, … */
void rope_add_copy(Rope *rope, const void *data, gsize n);
void rope_add_string(Rope *rope, const char *text);
/* … all of another rope, shared. */
void rope_add_rope(Rope *rope, const Rope *other);

gsize rope_bytes(const Rope *rope);
/* All in one. */
GBytes *rope_flat(const Rope *rope);

/* Where a reader is; zeroed at the start. */
typedef struct {
    guint piece;
    gsize at;
} RopeCursor;
/* The next bytes: n of them, or less at the end. */
gsize rope_read(const Rope *rope, RopeCursor *cursor, void *data, gsize n);
