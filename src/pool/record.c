/* The packed form: one tag byte, then what the tag says. Texts that are references, uuids or words
 * of words.def are recognised; those of 64 bytes and more are shared through GLib's table of
 * reference counted strings, and the record holds their pointers in front of its bytes. */
#include "pool/packed.h"

#include <stdatomic.h>
#include <string.h>

enum { SHARED_MIN_BYTES = 64, MAX_SHARED = 255 };

const char *const packed_words[] = {
#define W(word) word,
#include "pool/words.def"
#undef W
};

const guint packed_n_words = G_N_ELEMENTS(packed_words);

/* --- shapes --- */

static bool shape_fits(const Shape *shape, json_t *record)
{
    const char *name;
    json_t *value;
    guint i = 0;
    if (shape->n != json_object_size(record))
        return false;
    json_object_foreach (record, name, value)
        if (strcmp(shape->names[i++], name) != 0)
            return false;
    return true;
}

static Shape *shape_new(const char *cls, json_t *record)
{
    guint n = (guint) json_object_size(record);
    Shape *shape = g_malloc(sizeof(Shape) + n * sizeof(char *));
    const char *name;
    json_t *value;
    atomic_init(&shape->n_refs, 1);
    shape->cls = cls;
    shape->n = 0;
    shape->index = g_hash_table_new(g_str_hash, g_str_equal);
    json_object_foreach (record, name, value) {
        shape->names[shape->n] = g_strdup(name);
        g_hash_table_insert(shape->index, shape->names[shape->n], GUINT_TO_POINTER(shape->n + 1));
        shape->n++;
    }
    return shape;
}

void shape_unref(Shape *shape)
{
    if (!shape || atomic_fetch_sub(&shape->n_refs, 1) != 1)
        return;
    g_hash_table_unref(shape->index);
    for (guint i = 0; i < shape->n; i++)
        g_free(shape->names[i]);
    g_free(shape);
}

static Shape *shape_for(const char *cls, json_t *record, Shape **shape)
{
    if (!*shape || !shape_fits(*shape, record)) {
        shape_unref(*shape);
        *shape = shape_new(cls, record);
    }
    atomic_fetch_add(&(*shape)->n_refs, 1);
    return *shape;
}

/* --- packing --- */

typedef struct {
    GByteArray *bytes;
    GPtrArray *shared;
} Packer;

static void add_byte(Packer *packer, guint8 byte)
{
    g_byte_array_append(packer->bytes, &byte, 1);
}

static guint write_varint(guint8 *out, guint64 value)
{
    guint n = 0;
    for (; value >= 0x80; value >>= 7)
        out[n++] = (guint8) (value | 0x80);
    out[n++] = (guint8) value;
    return n;
}

static void add_varint(Packer *packer, guint64 value)
{
    guint8 buffer[10];
    g_byte_array_append(packer->bytes, buffer, write_varint(buffer, value));
}

/* Lower-case, with its dashes, and nothing after it. */
static bool parse_uuid(const char *text, gsize n, guint8 uuid[16])
{
    if (n != 36)
        return false;
    for (guint i = 0, at = 0; i < 16; i++) {
        if ((at == 8 || at == 13 || at == 18 || at == 23) && text[at++] != '-')
            return false;
        int high = g_ascii_xdigit_value(text[at]), low = g_ascii_xdigit_value(text[at + 1]);
        if (high < 0 || low < 0 || g_ascii_isupper(text[at]) || g_ascii_isupper(text[at + 1]))
            return false;
        uuid[i] = (guint8) (high << 4 | low);
        at += 2;
    }
    return true;
}

static int find_word(const char *text)
{
    guint low = 0, high = packed_n_words;
    while (low < high) {
        guint middle = (low + high) / 2;
        int order = strcmp(text, packed_words[middle]);
        if (order == 0)
            return (int) middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static bool pack_known(Packer *packer, const char *text, gsize n)
{
    static const char prefix[] = "OpaqueRef:";
    gsize skip = g_str_has_prefix(text, prefix) ? strlen(prefix) : 0;
    guint8 uuid[16];
    if (parse_uuid(text + skip, n - skip, uuid)) {
        add_byte(packer, skip ? TAG_REF : TAG_UUID);
        g_byte_array_append(packer->bytes, uuid, 16);
        return true;
    }
    if (skip && strcmp(text + skip, "NULL") == 0) {
        add_byte(packer, TAG_NO_REF);
        return true;
    }
    int word = find_word(text);
    if (word >= 0) {
        add_byte(packer, TAG_WORD);
        add_varint(packer, (guint) word);
    }
    return word >= 0;
}

static void pack_text(Packer *packer, const char *text, gsize n)
{
    bool plain = strlen(text) == n;
    if (plain && pack_known(packer, text, n))
        return;
    if (plain && n >= SHARED_MIN_BYTES && packer->shared->len < MAX_SHARED) {
        add_byte(packer, TAG_SHARED);
        add_varint(packer, packer->shared->len);
        g_ptr_array_add(packer->shared, g_ref_string_new_intern(text));
        return;
    }
    add_byte(packer, TAG_TEXT);
    add_varint(packer, n);
    g_byte_array_append(packer->bytes, (const guint8 *) text, (guint) n + 1);
}

static void pack_int(Packer *packer, gint64 value)
{
    if (value >= 0 && value < 128) {
        add_byte(packer, (guint8) (TAG_SMALL + value));
        return;
    }
    add_byte(packer, TAG_INT);
    add_varint(packer, (guint64) value << 1 ^ (guint64) (value >> 63));
}

static void pack(Packer *packer, json_t *value);

/* Count and length come before the members: the length is put in once it is known. */
static void pack_container(Packer *packer, json_t *value)
{
    GByteArray *outer = packer->bytes, *inner = g_byte_array_new();
    packer->bytes = inner;
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach (value, name, member) {
        pack_text(packer, name, strlen(name));
        pack(packer, member);
    }
    json_array_foreach (value, i, member)
        pack(packer, member);
    packer->bytes = outer;
    add_byte(packer, json_is_object(value) ? TAG_OBJECT : TAG_ARRAY);
    add_varint(packer, json_is_object(value) ? json_object_size(value) : json_array_size(value));
    add_varint(packer, inner->len);
    g_byte_array_append(outer, inner->data, inner->len);
    g_byte_array_unref(inner);
}

static void pack(Packer *packer, json_t *value)
{
    double real;
    switch (json_typeof(value)) {
    case JSON_TRUE:
    case JSON_FALSE:
        add_byte(packer, json_is_true(value) ? TAG_TRUE : TAG_FALSE);
        break;
    case JSON_INTEGER:
        pack_int(packer, json_integer_value(value));
        break;
    case JSON_REAL:
        real = json_real_value(value);
        add_byte(packer, TAG_REAL);
        g_byte_array_append(packer->bytes, (const guint8 *) &real, sizeof real);
        break;
    case JSON_STRING:
        pack_text(packer, json_string_value(value), json_string_length(value));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        pack_container(packer, value);
        break;
    default:
        add_byte(packer, TAG_NULL);
    }
}

Record *record_pack(Cells *cells, const char *cls, const char *ref, json_t *object, Shape **shape)
{
    Packer packer = { g_byte_array_sized_new(1024), g_ptr_array_new() };
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value)
        pack(&packer, value);
    guint n_bytes = packer.bytes->len;
    g_byte_array_append(packer.bytes, (const guint8 *) ref, (guint) strlen(ref) + 1);
    gsize shared_bytes = packer.shared->len * sizeof(char *);
    Record *record = cell_new(cells, sizeof(Record) + shared_bytes + packer.bytes->len);
    atomic_init(&record->n_refs, 1);
    record->n_bytes = n_bytes;
    record->n_shared = (guint16) packer.shared->len;
    record->shape = shape_for(cls, object, shape);
    if (shared_bytes)
        memcpy(record->shared, packer.shared->pdata, shared_bytes);
    memcpy(record->shared + record->n_shared, packer.bytes->data, packer.bytes->len);
    g_byte_array_unref(packer.bytes);
    g_ptr_array_unref(packer.shared);
    return record;
}

Record *record_ref(Record *record)
{
    atomic_fetch_add(&record->n_refs, 1);
    return record;
}

void record_unref(Record *record)
{
    if (!record || atomic_fetch_sub(&record->n_refs, 1) != 1)
        return;
    for (guint i = 0; i < record->n_shared; i++)
        g_ref_string_release(record->shared[i]);
    shape_unref(record->shape);
    cell_free(record);
}

const char *record_key(const Record *record)
{
    return (const char *) record_data(record) + record->n_bytes;
}

const char *record_class(const Record *record)
{
    return record->shape->cls;
}

bool record_equal(const Record *a, const Record *b)
{
    return a->shape == b->shape && a->n_bytes == b->n_bytes && a->n_shared == b->n_shared &&
           memcmp(a->shared, b->shared, a->n_shared * sizeof(char *)) == 0 &&
           memcmp(record_data(a), record_data(b), a->n_bytes) == 0;
}
