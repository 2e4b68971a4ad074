/* Pieces in an array; copies lie in blocks, one after the other, so that neighbours are one piece.
 */
#include "base/rope.h"

#include <string.h>

enum { BLOCK_BYTES = 16 * 1024 };

typedef struct {
    const char *data;
    gsize n;
} Piece;

struct Rope {
    gint n_refs;
    GArray *pieces;
    GPtrArray *owners; /* of what the pieces show */
    gsize n_bytes;
    char *room; /* in the last block of copies */
    gsize n_room;
};

Rope *rope_new(void)
{
    Rope *rope = g_new0(Rope, 1);
    rope->n_refs = 1;
    rope->pieces = g_array_new(FALSE, FALSE, sizeof(Piece));
    rope->owners = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
    return rope;
}

Rope *rope_ref(Rope *rope)
{
    g_atomic_int_inc(&rope->n_refs);
    return rope;
}

void rope_unref(Rope *rope)
{
    if (!rope || !g_atomic_int_dec_and_test(&rope->n_refs))
        return;
    g_array_unref(rope->pieces);
    g_ptr_array_unref(rope->owners);
    g_free(rope);
}

static void append(Rope *rope, const char *data, gsize n)
{
    Piece piece = { data, n };
    if (n == 0)
        return;
    rope->n_bytes += n;
    Piece *last = rope->pieces->len ? &g_array_index(rope->pieces, Piece, rope->pieces->len - 1)
                                    : NULL;
    if (last && last->data + last->n == data)
        last->n += n;
    else
        g_array_append_val(rope->pieces, piece);
}

void rope_add(Rope *rope, GBytes *bytes)
{
    gsize n;
    const char *data = g_bytes_get_data(bytes, &n);
    g_ptr_array_add(rope->owners, g_bytes_ref(bytes));
    append(rope, data, n);
}

static void make_room(Rope *rope, gsize n)
{
    rope->n_room = MAX(n, BLOCK_BYTES);
    rope->room = g_malloc(rope->n_room);
    g_ptr_array_add(rope->owners, g_bytes_new_take(rope->room, rope->n_room));
}

void rope_add_copy(Rope *rope, const void *data, gsize n)
{
    if (n == 0)
        return;
    if (n > rope->n_room)
        make_room(rope, n);
    memcpy(rope->room, data, n);
    append(rope, rope->room, n);
    rope->room += n;
    rope->n_room -= n;
}

void rope_add_string(Rope *rope, const char *text)
{
    rope_add_copy(rope, text, strlen(text));
}

void rope_add_rope(Rope *rope, const Rope *other)
{
    for (guint i = 0; i < other->owners->len; i++)
        g_ptr_array_add(rope->owners, g_bytes_ref(other->owners->pdata[i]));
    for (guint i = 0; i < other->pieces->len; i++) {
        const Piece *piece = &g_array_index(other->pieces, Piece, i);
        append(rope, piece->data, piece->n);
    }
}

gsize rope_bytes(const Rope *rope)
{
    return rope->n_bytes;
}

gsize rope_read(const Rope *rope, RopeCursor *cursor, void *data, gsize n)
{
    gsize n_read = 0;
    while (n_read < n && cursor->piece < rope->pieces->len) {
        const Piece *piece = &g_array_index(rope->pieces, Piece, cursor->piece);
        gsize part = MIN(n - n_read, piece->n - cursor->at);
        memcpy((char *) data + n_read, piece->data + cursor->at, part);
        n_read += part;
        cursor->at += part;
        if (cursor->at == piece->n)
            *cursor = (RopeCursor){ .piece = cursor->piece + 1 };
    }
    return n_read;
}

GBytes *rope_flat(const Rope *rope)
{
    RopeCursor cursor = { 0 };
    char *all = g_malloc(rope->n_bytes + 1);
    all[rope_read(rope, &cursor, all, rope->n_bytes)] = '\0';
    return g_bytes_new_take(all, rope->n_bytes);
}
