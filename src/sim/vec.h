/* Sets and maps of a record: arrays of interned text, counted and copied on write, so that the
 * 5,000 machines of a big pool share one list of allowed operations. An empty one is NULL. A map is
 * a list of key, value, key, value. Not thread-safe: the lock of model.h guards them. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Vec Vec;

Vec *vec_ref(Vec *vec);
void vec_unref(Vec *vec);
guint vec_size(const Vec *vec); /* in strings */
const char *vec_nth(const Vec *vec, guint i);
bool vec_equal(const Vec *a, const Vec *b);
/* The place of a string, looking at every stride-th one; -1: absent. */
gint vec_find(const Vec *vec, const char *text, guint stride);

/* The writers own *vec first. */
void vec_add(Vec **vec, const char *text);
void vec_replace(Vec **vec, guint i, const char *text);
void vec_remove(Vec **vec, guint i, guint n);
