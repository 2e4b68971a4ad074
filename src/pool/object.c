/* A record and its view, held together. */
#include "pool/object.h"

#include <stdatomic.h>
#include <string.h>

struct Object {
    atomic_int n_refs;
    Record *record;
    GBytes *text;
    const char *type;
    char id[];
};

Object *object_new(Cells *cells, Record *record, const char *type, const char *id, GBytes *text)
{
    gsize n = strlen(id ? id : "") + 1;
    Object *object = cell_new(cells, sizeof(Object) + n);
    atomic_init(&object->n_refs, 1);
    object->record = record;
    object->text = text;
    object->type = type;
    memcpy(object->id, id ? id : "", n);
    return object;
}

Object *object_ref(Object *object)
{
    atomic_fetch_add(&object->n_refs, 1);
    return object;
}

void object_unref(Object *object)
{
    if (!object || atomic_fetch_sub(&object->n_refs, 1) != 1)
        return;
    record_unref(object->record);
    if (object->text)
        g_bytes_unref(object->text);
    cell_free(object);
}

const char *object_key(const Object *object)
{
    return record_key(object->record);
}

const char *object_id(const Object *object)
{
    return object->id;
}

const char *object_type(const Object *object)
{
    return object->type;
}

Record *object_record(const Object *object)
{
    return object->record;
}

GBytes *object_text(const Object *object)
{
    return object->text;
}
