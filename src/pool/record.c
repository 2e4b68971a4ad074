/* Records and the shapes that those of a class have in common. */
#include "pool/packer.h"

#include <string.h>
#include <xxhash.h>

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

static guint slot_of(const Shape *shape, const char *name, gsize n)
{
    return (guint) XXH3_64bits(name, n) & shape->mask;
}

/* At least half of the slots stay free. */
static void index_names(Shape *shape)
{
    shape->mask = 1;
    while (shape->mask < 2 * shape->n)
        shape->mask = shape->mask * 2 + 1;
    shape->slots = g_new0(guint, shape->mask + 1);
    for (guint i = 0; i < shape->n; i++) {
        guint slot = slot_of(shape, shape->names[i], shape->lengths[i]);
        while (shape->slots[slot])
            slot = (slot + 1) & shape->mask;
        shape->slots[slot] = i + 1;
    }
}

guint shape_find(const Shape *shape, const char *name, gsize n)
{
    guint slot = slot_of(shape, name, n), at;
    for (; (at = shape->slots[slot]); slot = (slot + 1) & shape->mask)
        if (shape->lengths[at - 1] == n && memcmp(shape->names[at - 1], name, n) == 0)
            return at;
    return 0;
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
    shape->lengths = g_new(guint, n);
    json_object_foreach (record, name, value) {
        shape->lengths[shape->n] = (guint) strlen(name);
        shape->names[shape->n++] = g_strdup(name);
    }
    index_names(shape);
    return shape;
}

void shape_unref(Shape *shape)
{
    if (!shape || atomic_fetch_sub(&shape->n_refs, 1) != 1)
        return;
    for (guint i = 0; i < shape->n; i++)
        g_free(shape->names[i]);
    g_free(shape->lengths);
    g_free(shape->slots);
    g_free(shape);
}

static void fit_shape(const char *cls, json_t *record, Shape **shape)
{
    if (*shape && shape_fits(*shape, record))
        return;
    shape_unref(*shape);
    *shape = shape_new(cls, record);
}

/* --- packing --- */

static void pack(Packer *packer, json_t *value);

static void pack_container(Packer *packer, json_t *value)
{
    gsize opened = packer_open(packer);
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach (value, name, member) {
        packer_text(packer, name, strlen(name));
        pack(packer, member);
    }
    json_array_foreach (value, i, member)
        pack(packer, member);
    bool is_object = json_is_object(value);
    packer_close(packer, opened, is_object ? TAG_OBJECT : TAG_ARRAY,
                 is_object ? json_object_size(value) : json_array_size(value));
}

static void pack(Packer *packer, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_TRUE:
    case JSON_FALSE:
        packer_tag(packer, json_is_true(value) ? TAG_TRUE : TAG_FALSE);
        break;
    case JSON_INTEGER:
        packer_int(packer, json_integer_value(value));
        break;
    case JSON_REAL:
        packer_real(packer, json_real_value(value));
        break;
    case JSON_STRING:
        packer_text(packer, json_string_value(value), json_string_length(value));
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        pack_container(packer, value);
        break;
    default:
        packer_tag(packer, TAG_NULL);
    }
}

Record *record_pack(Packer *packer, const char *cls, const char *ref, json_t *object, Shape **shape)
{
    const char *name;
    json_t *value;
    fit_shape(cls, object, shape);
    packer_begin(packer);
    json_object_foreach (object, name, value)
        pack(packer, value);
    return packer_end(packer, ref, *shape);
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
