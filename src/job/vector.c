/* Each type is a function that gives a value; only the whole must be a list. */
#include "job/vector.h"

#include "base/error.h"
#include "base/pattern.h"

typedef struct {
    VectorObjects objects; /* NULL: only checking */
    void *user;
    unsigned depth;
} Context;

static json_t *resolve(json_t *vector, Context *context, GError **error);

static json_t *invalid(GError **error, const char *what)
{
    err_set(error, ERR_INVALID, "paramsVector: %s", what);
    return NULL;
}

/* The value when it is a list; its reference is taken. */
static json_t *as_list(json_t *value, GError **error)
{
    if (!value || json_is_array(value))
        return value;
    json_decref(value);
    return invalid(error, "expected a list");
}

static json_t *resolve_list(json_t *vector, Context *context, GError **error)
{
    return as_list(resolve(vector, context, error), error);
}

static json_t *set(json_t *vector, Context *context, GError **error)
{
    json_t *values = json_object_get(vector, "values");
    if (!json_is_array(values))
        return invalid(error, "set: expected a list of values");
    return json_incref(values);
}

/* --- crossProduct --- */

/* Every element of `b` with every one of `a` in it, those of `a` varying fastest. */
static json_t *cross(json_t *a, json_t *b, GError **error)
{
    json_t *product = json_array(), *x, *y;
    size_t i, j;
    if (json_array_size(a) * json_array_size(b) > VECTOR_MAX_ELEMENTS) {
        json_decref(product);
        return invalid(error, "more than 10000 combinations");
    }
    json_array_foreach (b, i, y)
        json_array_foreach (a, j, x) {
            json_t *merged = json_copy(x);
            json_object_update(merged, y);
            json_array_append_new(product, merged);
        }
    return product;
}

static json_t *cross_product(json_t *vector, Context *context, GError **error)
{
    json_t *items = json_object_get(vector, "items"), *item;
    json_t *product = json_is_array(items) ? json_pack("[{}]") : NULL;
    size_t i;
    if (!product)
        return invalid(error, "crossProduct: expected a list of items");
    json_array_foreach (items, i, item) {
        json_t *list = resolve_list(item, context, error);
        json_t *next = list ? cross(product, list, error) : NULL;
        json_decref(list);
        json_decref(product);
        product = next;
        if (!product)
            return NULL;
    }
    return product;
}

/* --- map, extractProperties, fetchObjects --- */

static json_t *map(json_t *vector, Context *context, GError **error)
{
    json_t *iteratee = json_object_get(vector, "iteratee"), *element;
    const char *name = json_string_value(json_object_get(vector, "paramName"));
    json_t *collection = resolve_list(json_object_get(vector, "collection"), context, error);
    json_t *results = collection ? json_array() : NULL;
    size_t i;
    json_array_foreach (collection, i, element) {
        json_t *with = json_is_object(iteratee) ? json_copy(iteratee) : json_object();
        json_object_set(with, name ? name : "value", element);
        json_t *result = resolve(with, context, error);
        json_decref(with);
        if (!result) {
            g_clear_pointer(&results, json_decref);
            break;
        }
        json_array_append_new(results, result);
    }
    json_decref(collection);
    return results;
}

static json_t *extract_properties(json_t *vector, Context *context, GError **error)
{
    json_t *value = json_object_get(vector, "value"), *made = json_object(), *from;
    const char *to;
    json_object_foreach (json_object_get(vector, "mapping"), to, from) {
        const char *name = json_string_value(from);
        json_t *property = name ? json_object_get(value, name) : NULL;
        if (property)
            json_object_set(made, to, property);
    }
    return made;
}

static json_t *fetch_objects(json_t *vector, Context *context, GError **error)
{
    json_t *pattern = json_object_get(vector, "pattern");
    if (!pattern || !pattern_check(pattern, error))
        return pattern ? NULL : invalid(error, "fetchObjects: expected a pattern");
    if (!context->objects)
        return json_array();
    json_t *found = context->objects(pattern, context->user);
    if (json_array_size(found) > 0)
        return found;
    json_decref(found);
    err_set(error, ERR_INVALID, "no objects match this pattern");
    return NULL;
}

/* --- The table --- */

static const struct {
    const char *type;
    json_t *(*run)(json_t *vector, Context *context, GError **error);
} types[] = {
    { "set", set },
    { "crossProduct", cross_product },
    { "map", map },
    { "extractProperties", extract_properties },
    { "fetchObjects", fetch_objects },
};

static json_t *resolve(json_t *vector, Context *context, GError **error)
{
    const char *type = json_string_value(json_object_get(vector, "type"));
    json_t *value = NULL;
    if (++context->depth > VECTOR_MAX_DEPTH) {
        context->depth--;
        return invalid(error, "nested too deeply");
    }
    unsigned i = 0;
    while (i < G_N_ELEMENTS(types) && g_strcmp0(types[i].type, type) != 0)
        i++;
    if (i < G_N_ELEMENTS(types))
        value = types[i].run(vector, context, error);
    else
        err_set(error, ERR_INVALID, "Unsupported function '%s'.", type ? type : "");
    context->depth--;
    return value;
}

json_t *vector_resolve(json_t *vector, VectorObjects objects, void *user, GError **error)
{
    Context context = { objects, user, 0 };
    if (!vector)
        return json_pack("[{}]");
    json_t *list = resolve_list(vector, &context, error), *element;
    size_t i;
    json_array_foreach (list, i, element)
        if (!json_is_object(element)) {
            json_decref(list);
            return invalid(error, "expected a list of objects");
        }
    return list;
}

bool vector_check(json_t *vector, GError **error)
{
    json_t *list = vector_resolve(vector, NULL, NULL, error);
    json_decref(list);
    return list != NULL;
}
