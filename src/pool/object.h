/* One object of a pool: its packed record and, when XO shows it, its view as JSON text. Immutable
 * and counted. */
#pragma once

#include "pool/record.h"

typedef struct Object Object;

/* Takes record and text; `type` is static, NULL with `text` and `id` when XO does not show the
 * object. */
Object *object_new(Cells *cells, Record *record, const char *type, const char *id, GBytes *text);
Object *object_ref(Object *object);
void object_unref(Object *object);

const char *object_key(const Object *object); /* the reference */
const char *object_id(const Object *object);  /* XO's id, "" when not shown */
const char *object_type(const Object *object);
Record *object_record(const Object *object);
GBytes *object_text(const Object *object);
/* Of an object without one that nobody else has seen yet. Takes the text. */
void object_set_text(Object *object, GBytes *text);
