/* Readers of packed records: each walks over the tags to the field that is asked for. */
#include "pool/packed.h"

#include "base/json_write.h"

#include <string.h>

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

static Value walk_to(const Record *record, guint position)
{
    Value value = { record_data(record), record };
    while (--position)
        value.at = skip_value(value.at);
    return value;
}

Value record_value(const Record *record, const char *field)
{
    guint found = record ? shape_find(record->shape, field, strlen(field)) : 0;
    return found ? walk_to(record, found) : (Value){ NULL, record };
}

void record_values(const Record *record, Value *values, guint n)
{
    Value value = { record_data(record), record };
    for (guint i = 0; i < n && i < record->shape->n; i++) {
        values[i] = value;
        value.at = skip_value(value.at);
    }
}

Value record_value_at(const Record *record, const Value *values, guint n_values, const char *field,
                      gsize n_field)
{
    guint found = shape_find(record->shape, field, n_field);
    if (!found)
        return (Value){ NULL, record };
    return found <= n_values ? values[found - 1] : walk_to(record, found);
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
        memcpy(scratch, "OpaqueRef:", strlen("OpaqueRef:"));
        format_uuid(at, scratch + strlen("OpaqueRef:"));
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
        text = packed_words[read_varint(&at)];
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
