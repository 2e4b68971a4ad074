/* A record and its view, held together. Reference and id lie in the object itself: whoever looks
 * for one in a tree reads no more than that. */
#include "pool/object.h"

#include <stdatomic.h>
#include <string.h>

struct Object {
    atomic_int n_refs;
    Record *record;
    GBytes *text;
    const char *type;
    const char *id;
    char key[]; /* and the id behind it */
};

Object *object_new(Cells *cells, Record *record, const char *type, const char *id, GBytes *text)
{
    const char *key = record_key(record);
    gsize n_key = strlen(key) + 1, n_id = strlen(id ? id : "") + 1;
    Object *object = cell_new(cells, sizeof(Object) + n_key + n_id);
    atomic_init(&object->n_refs, 1);
    object->record = record;
    object->text = text;
    object->type = type;
    memcpy(object->key, key, n_key);
    object->id = memcpy(object->key + n_key, id ? id : "", n_id);
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
    return object->key;
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

void object_set_text(Object *object, GBytes *text)
{
    object->text = text;
}
