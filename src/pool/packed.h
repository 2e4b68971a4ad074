/* The bytes of a packed record; for record.c, which writes them, and value.c, which reads them. */
#pragma once

#include "pool/record.h"

#include <stdatomic.h>

enum {
    TAG_NULL,
    TAG_FALSE,
    TAG_TRUE,
    TAG_INT,         /* zigzag varint */
    TAG_REAL,        /* 8 bytes */
    TAG_TEXT,        /* varint n, n bytes, NUL */
    TAG_REF,         /* 16 bytes: "OpaqueRef:" and a uuid */
    TAG_NO_REF,      /* "OpaqueRef:NULL" */
    TAG_UUID,        /* 16 bytes */
    TAG_WORD,        /* varint index into words */
    TAG_SHARED,      /* varint index into the record's shared texts */
    TAG_ARRAY,       /* varint count, varint bytes, elements */
    TAG_OBJECT,      /* varint count, varint bytes, name and value alternately */
    TAG_SMALL = 128, /* and above: an integer from 0 to 127 */
};

struct Shape {
    atomic_int n_refs;
    const char *cls;
    guint n;
    guint *lengths; /* of the names */
    guint *slots;   /* position + 1 at the hash of a name or behind it */
    guint mask;     /* number of slots, less one */
    char *names[];
};

/* Position + 1 of a field, 0: there is none. */
guint shape_find(const Shape *shape, const char *name, gsize n);

struct Record {
    atomic_int n_refs;
    guint n_bytes;
    guint16 n_shared;
    Shape *shape;
    /* n_shared pointers, the values, the reference with its NUL */
    char *shared[];
};

static inline const guint8 *record_data(const Record *record)
{
    return (const guint8 *) (record->shared + record->n_shared);
}

/* The words of words.def, in the order of strcmp. */
extern const char *const packed_words[];
extern const guint packed_n_words;
