/* The packed form: one tag byte, then what the tag says. Texts that are references, uuids or words
 * of words.def are recognised; those of 64 bytes and more are shared through GLib's table of
 * reference counted strings, and the record holds their pointers in front of its bytes. */
#include "pool/record.h"

#include "base/json_write.h"

#include <stdatomic.h>
#include <string.h>

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

enum { SHARED_MIN_BYTES = 64, MAX_SHARED = 255 };

static const char *const words[] = {
#define W(word) word,
#include "pool/words.def"
#undef W
};

struct Shape {
    atomic_int n_refs;
    const char *cls;
    guint n;
    GHashTable *index; /* name → position + 1 */
    char *names[];
};

struct Record {
    atomic_int n_refs;
    guint n_bytes;
    guint16 n_shared;
    Shape *shape;
    /* n_shared pointers, the values, the reference with its NUL */
    char *shared[];
};

static const guint8 *record_data(const Record *record)
{
    return (const guint8 *) (record->shared + record->n_shared);
}

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
    guint low = 0, high = G_N_ELEMENTS(words);
    while (low < high) {
        guint middle = (low + high) / 2;
        int order = strcmp(text, words[middle]);
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

Record *record_pack(const char *cls, const char *ref, json_t *object, Shape **shape)
{
    Packer packer = { g_byte_array_sized_new(1024), g_ptr_array_new() };
    const char *name;
    json_t *value;
    json_object_foreach (object, name, value)
        pack(&packer, value);
    guint n_bytes = packer.bytes->len;
    g_byte_array_append(packer.bytes, (const guint8 *) ref, (guint) strlen(ref) + 1);
    gsize shared_bytes = packer.shared->len * sizeof(char *);
    Record *record = g_malloc(sizeof(Record) + shared_bytes + packer.bytes->len);
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
    g_free(record);
}

const char *record_key(const Record *record)
{
    return (const char *) record_data(record) + record->n_bytes;
}

const char *record_class(const Record *record)
{
    return record->shape->cls;
}

gsize record_bytes(const Record *record)
{
    return sizeof(Record) + record->n_shared * sizeof(char *) + record->n_bytes +
           strlen(record_key(record)) + 1;
}

bool record_equal(const Record *a, const Record *b)
{
    return a->shape == b->shape && a->n_bytes == b->n_bytes && a->n_shared == b->n_shared &&
           memcmp(a->shared, b->shared, a->n_shared * sizeof(char *)) == 0 &&
           memcmp(record_data(a), record_data(b), a->n_bytes) == 0;
}

/* --- reading --- */

static guint64 read_varint(const guint8 **at)
{
    guint64 value = 0;
    guint shift = 0;
    for (; **at & 0x80; shift += 7)
        value |= (guint64) (*(*at)++ & 0x7f) << shift;
    return value | (guint64) * (*at)++ << shift;
}

static const guint8 *skip_value(const guint8 *at)
{
    guint64 n;
    switch (*at++) {
    case TAG_INT:
    case TAG_WORD:
    case TAG_SHARED:
        read_varint(&at);
        return at;
    case TAG_REAL:
        return at + sizeof(double);
    case TAG_REF:
    case TAG_UUID:
        return at + 16;
    case TAG_TEXT:
        n = read_varint(&at);
        return at + n + 1;
    case TAG_ARRAY:
    case TAG_OBJECT:
        read_varint(&at);
        n = read_varint(&at);
        return at + n;
    default:
        return at;
    }
}

Value record_value(const Record *record, const char *field)
{
    Value value = { NULL, record };
    gpointer found = record ? g_hash_table_lookup(record->shape->index, field) : NULL;
    if (!found)
        return value;
    value.at = record_data(record);
    for (guint i = GPOINTER_TO_UINT(found); i > 1; i--)
        value.at = skip_value(value.at);
    return value;
}

ValueKind value_kind(Value value)
{
    static const ValueKind kinds[] = {
        [TAG_NULL] = VALUE_NULL,     [TAG_FALSE] = VALUE_BOOL,  [TAG_TRUE] = VALUE_BOOL,
        [TAG_INT] = VALUE_INT,       [TAG_REAL] = VALUE_REAL,   [TAG_TEXT] = VALUE_TEXT,
        [TAG_REF] = VALUE_TEXT,      [TAG_NO_REF] = VALUE_TEXT, [TAG_UUID] = VALUE_TEXT,
        [TAG_WORD] = VALUE_TEXT,     [TAG_SHARED] = VALUE_TEXT, [TAG_ARRAY] = VALUE_ARRAY,
        [TAG_OBJECT] = VALUE_OBJECT,
    };
    if (!value.at)
        return VALUE_ABSENT;
    return *value.at >= TAG_SMALL ? VALUE_INT : kinds[*value.at];
}

static void format_uuid(const guint8 *uuid, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (guint i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *out++ = '-';
        *out++ = digits[uuid[i] >> 4];
        *out++ = digits[uuid[i] & 15];
    }
    *out = '\0';
}

static const char *text_of(Value value, char scratch[VALUE_SCRATCH], gsize *n)
{
    const guint8 *at = value.at + 1;
    const char *text = "";
    switch (*value.at) {
    case TAG_TEXT:
        *n = read_varint(&at);
        return (const char *) at;
    case TAG_REF:
        strcpy(scratch, "OpaqueRef:");
        format_uuid(at, scratch + strlen(scratch));
        text = scratch;
        break;
    case TAG_UUID:
        format_uuid(at, scratch);
        text = scratch;
        break;
    case TAG_NO_REF:
        text = "OpaqueRef:NULL";
        break;
    case TAG_WORD:
        text = words[read_varint(&at)];
        break;
    case TAG_SHARED:
        text = value.record->shared[read_varint(&at)];
        break;
    }
    *n = strlen(text);
    return text;
}

const char *value_text(Value value, char scratch[VALUE_SCRATCH])
{
    gsize n;
    return value_kind(value) == VALUE_TEXT ? text_of(value, scratch, &n) : "";
}

bool value_is(Value value, const char *text)
{
    char scratch[VALUE_SCRATCH];
    return value_kind(value) == VALUE_TEXT && strcmp(value_text(value, scratch), text) == 0;
}

bool value_bool(Value value)
{
    return (value.at && *value.at == TAG_TRUE) || value_is(value, "true");
}

static gint64 int_of(const guint8 *at)
{
    if (*at >= TAG_SMALL)
        return *at - TAG_SMALL;
    at++;
    guint64 zigzag = read_varint(&at);
    return (gint64) (zigzag >> 1) ^ -(gint64) (zigzag & 1);
}

static double real_of(const guint8 *at)
{
    double real;
    memcpy(&real, at + 1, sizeof real);
    return real;
}

static bool number_of_text(Value value, double *number)
{
    char scratch[VALUE_SCRATCH], *end;
    const char *text = value_text(value, scratch);
    *number = g_ascii_strtod(text, &end);
    return *text && !*end;
}

double value_number(Value value, double otherwise)
{
    double number;
    switch (value_kind(value)) {
    case VALUE_INT:
        return (double) int_of(value.at);
    case VALUE_REAL:
        return real_of(value.at);
    case VALUE_TEXT:
        return number_of_text(value, &number) ? number : otherwise;
    default:
        return otherwise;
    }
}

gint64 value_int(Value value, gint64 otherwise)
{
    char scratch[VALUE_SCRATCH];
    gint64 integer;
    if (value_kind(value) == VALUE_INT)
        return int_of(value.at);
    if (value_kind(value) == VALUE_TEXT &&
        g_ascii_string_to_signed(value_text(value, scratch), 10, G_MININT64, G_MAXINT64, &integer,
                                 NULL))
        return integer;
    double number = value_number(value, (double) otherwise);
    return number >= -9.2e18 && number <= 9.2e18 ? (gint64) number : otherwise;
}

ValueIter value_iter(Value value)
{
    ValueKind kind = value_kind(value);
    ValueIter iter = { .value.record = value.record, .key.record = value.record };
    if (kind != VALUE_ARRAY && kind != VALUE_OBJECT)
        return iter;
    iter.with_keys = kind == VALUE_OBJECT;
    iter.next = value.at + 1;
    iter.left = (guint) read_varint(&iter.next);
    read_varint(&iter.next);
    return iter;
}

bool value_next(ValueIter *iter)
{
    if (!iter->left)
        return false;
    iter->left--;
    if (iter->with_keys) {
        iter->key.at = iter->next;
        iter->next = skip_value(iter->next);
    }
    iter->value.at = iter->next;
    iter->next = skip_value(iter->next);
    return true;
}

guint value_count(Value value)
{
    return value_iter(value).left;
}

Value value_member(Value object, const char *key)
{
    ValueIter iter = value_iter(object);
    while (iter.with_keys && value_next(&iter))
        if (value_is(iter.key, key))
            return iter.value;
    return (Value){ NULL, object.record };
}

/* --- back to JSON --- */

static json_t *unpack(Value value)
{
    char scratch[VALUE_SCRATCH];
    gsize n;
    ValueIter iter = value_iter(value);
    json_t *result;
    switch (value_kind(value)) {
    case VALUE_BOOL:
        return json_boolean(*value.at == TAG_TRUE);
    case VALUE_INT:
        return json_integer(int_of(value.at));
    case VALUE_REAL:
        return json_real(real_of(value.at));
    case VALUE_TEXT: {
        const char *text = text_of(value, scratch, &n);
        return json_stringn_nocheck(text, n);
    }
    case VALUE_ARRAY:
        result = json_array();
        while (value_next(&iter))
            json_array_append_new(result, unpack(iter.value));
        return result;
    case VALUE_OBJECT:
        result = json_object();
        while (value_next(&iter))
            json_object_set_new_nocheck(result, value_text(iter.key, scratch), unpack(iter.value));
        return result;
    default:
        return json_null();
    }
}

json_t *record_unpack(const Record *record)
{
    json_t *object = json_object();
    Value value = { record_data(record), record };
    for (guint i = 0; i < record->shape->n; i++) {
        json_object_set_new_nocheck(object, record->shape->names[i], unpack(value));
        value.at = skip_value(value.at);
    }
    return object;
}

static void write_container(Value value, GString *out)
{
    ValueIter iter = value_iter(value);
    char open = iter.with_keys ? '{' : '[';
    bool any = false;
    g_string_append_c(out, open);
    for (; value_next(&iter); any = true) {
        if (any)
            g_string_append_c(out, ',');
        if (iter.with_keys) {
            value_write(iter.key, out);
            g_string_append_c(out, ':');
        }
        value_write(iter.value, out);
    }
    g_string_append_c(out, iter.with_keys ? '}' : ']');
}

void value_write(Value value, GString *out)
{
    char scratch[VALUE_SCRATCH];
    gsize n;
    switch (value_kind(value)) {
    case VALUE_BOOL:
        g_string_append(out, *value.at == TAG_TRUE ? "true" : "false");
        break;
    case VALUE_INT:
        json_write_int(out, int_of(value.at));
        break;
    case VALUE_REAL:
        json_write_real(out, real_of(value.at));
        break;
    case VALUE_TEXT: {
        const char *text = text_of(value, scratch, &n);
        json_write_string(out, text, n);
        break;
    }
    case VALUE_ARRAY:
    case VALUE_OBJECT:
        write_container(value, out);
        break;
    default:
        g_string_append(out, "null");
    }
}
