/* Arrays of interned strings, copied when written while shared. */
#include "sim/vec.h"

#include <string.h>

struct Vec {
    guint refs, n, capacity;
    char *items[]; /* interned GRefStrings */
};

static Vec *vec_sized(guint capacity)
{
    Vec *vec = g_malloc(sizeof *vec + capacity * sizeof(char *));
    *vec = (Vec){ .refs = 1, .capacity = capacity };
    return vec;
}

Vec *vec_ref(Vec *vec)
{
    if (vec != NULL)
        vec->refs++;
    return vec;
}

void vec_unref(Vec *vec)
{
    if (vec == NULL || --vec->refs > 0)
        return;
    for (guint i = 0; i < vec->n; i++)
        g_ref_string_release(vec->items[i]);
    g_free(vec);
}

guint vec_size(const Vec *vec)
{
    return vec == NULL ? 0 : vec->n;
}

const char *vec_nth(const Vec *vec, guint i)
{
    return vec->items[i];
}

bool vec_equal(const Vec *a, const Vec *b)
{
    guint n = vec_size(a);
    return a == b ||
           (n == vec_size(b) && (n == 0 || memcmp(a->items, b->items, n * sizeof(char *)) == 0));
}

gint vec_find(const Vec *vec, const char *text, guint stride)
{
    for (guint i = 0; i < vec_size(vec); i += stride)
        if (strcmp(vec->items[i], text) == 0)
            return (gint) i;
    return -1;
}

/* Makes *vec ours alone, with room for n strings. */
static Vec *vec_own(Vec **vec, guint n)
{
    Vec *old = *vec;
    if (old != NULL && old->refs == 1 && old->capacity >= n)
        return old;
    Vec *own = vec_sized(old == NULL || old->n < 4 ? MAX(n, 2) : MAX(n, old->n + old->n / 2));
    for (guint i = 0; i < vec_size(old); i++)
        own->items[i] = g_ref_string_acquire(old->items[i]);
    own->n = vec_size(old);
    vec_unref(old);
    return *vec = own;
}

void vec_add(Vec **vec, const char *text)
{
    Vec *own = vec_own(vec, vec_size(*vec) + 1);
    own->items[own->n++] = g_ref_string_new_intern(text);
}

void vec_replace(Vec **vec, guint i, const char *text)
{
    Vec *own = vec_own(vec, vec_size(*vec));
    char *fresh = g_ref_string_new_intern(text);
    g_ref_string_release(own->items[i]);
    own->items[i] = fresh;
}

void vec_remove(Vec **vec, guint i, guint n)
{
    Vec *own = vec_own(vec, vec_size(*vec));
    for (guint k = i; k < i + n; k++)
        g_ref_string_release(own->items[k]);
    memmove(&own->items[i], &own->items[i + n], (own->n - i - n) * sizeof(char *));
    own->n -= n;
    if (own->n == 0) {
        vec_unref(own);
        *vec = NULL;
    }
}
