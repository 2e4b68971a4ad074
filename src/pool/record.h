/* A XAPI record in few bytes, and readers of its fields.
 *
 * A VM has 90 fields: as jansson values some 15 KiB, packed about 1 KiB. References and uuids are
 * 16 bytes, small integers and words that all records repeat one or two, long texts are shared
 * between records; field names are held once, in the shape that all records of a class have in
 * common. Immutable and counted; readable from any thread. */
#pragma once

#include "pool/cells.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Record Record;
typedef struct Shape Shape;

/* A shape is that of the last record of a class, NULL at first: see packer.h, which makes records.
 */
Record *record_ref(Record *record);
void record_unref(Record *record);
void shape_unref(Shape *shape);

const char *record_key(const Record *record);   /* "OpaqueRef:…" */
const char *record_class(const Record *record); /* the class as given, static */
bool record_equal(const Record *a, const Record *b);
/* The record as it came; new reference. */
json_t *record_unpack(const Record *record);

/* A field, or a part of one; valid as long as the record. `at` is NULL when it is absent, which
 * every reader accepts. */
typedef struct {
    const guint8 *at;
    const Record *record;
} Value;

Value record_value(const Record *record, const char *field);
/* The first n fields at once, for who looks at many of them; and one of these by its name. */
void record_values(const Record *record, Value *values, guint n);
Value record_value_at(const Record *record, const Value *values, guint n_values, const char *field,
                      gsize n_field);

enum { VALUE_SCRATCH = 48 };

typedef enum {
    VALUE_ABSENT,
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_REAL,
    VALUE_TEXT,
    VALUE_ARRAY,
    VALUE_OBJECT,
} ValueKind;

ValueKind value_kind(Value value);
/* The text, or "" for anything else; may be put together in `scratch`. */
const char *value_text(Value value, char scratch[VALUE_SCRATCH]);
bool value_is(Value value, const char *text);
/* True, or the text "true". */
bool value_bool(Value value);
/* A number, or a text that is one; the default otherwise. */
double value_number(Value value, double otherwise);
gint64 value_int(Value value, gint64 otherwise);
/* A member of an object. */
Value value_member(Value object, const char *key);
/* Elements of an array, or of an object (key is then the name). */
guint value_count(Value value);
typedef struct {
    Value key, value;
    const guint8 *next;
    guint left;
    bool with_keys;
} ValueIter;
ValueIter value_iter(Value value);
bool value_next(ValueIter *iter);
/* As JSON text; null when absent. */
void value_write(Value value, GString *out);
