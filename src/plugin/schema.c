/* In the words of Ajv, XO's validator, and in its order: what is missing, what is too much, then
 * each property. */
#include "plugin/schema.h"

#include "base/json_text.h"
#include "base/mutant.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_VIOLATIONS = 100 };

/* Where in the value and in the schema. */
typedef struct {
    json_t *schema;
    const char *instance, *path;
    json_t *list;
} Place;

static void violate(const Place *place, const char *keyword, json_t *params, const char *message)
{
    g_autofree char *path = g_strdup_printf("%s/%s", place->path, keyword);
    json_t *item = json_pack("{s:s, s:s, s:s, s:o, s:s}", "instancePath", place->instance,
                             "schemaPath", path, "keyword", keyword, "params", params, "message",
                             message);
    if (json_array_size(place->list) < MAX_VIOLATIONS)
        json_array_append(place->list, item);
    json_decref(item);
}

static bool has_type(json_t *value, const char *type)
{
    if (g_str_equal(type, "integer"))
        return json_is_number(value) && floor(json_number_value(value)) == json_number_value(value);
    return (g_str_equal(type, "string") && json_is_string(value)) ||
           (g_str_equal(type, "number") && json_is_number(value)) ||
           (g_str_equal(type, "boolean") && json_is_boolean(value)) ||
           (g_str_equal(type, "object") && json_is_object(value)) ||
           (g_str_equal(type, "array") && json_is_array(value)) ||
           (g_str_equal(type, "null") && json_is_null(value));
}

/* Of which `value` is too little, or too much when `max`. */
static void check_limit(const Place *place, const char *keyword, double value, bool max,
                        const char *format)
{
    json_t *limit = json_object_get(place->schema, keyword);
    double bound = json_number_value(limit);
    if (!limit || (max ? value <= bound : value >= bound))
        return;
    g_autofree char *message = g_strdup_printf(format, bound);
    violate(place, keyword, json_pack("{s:O}", "limit", limit), message);
}

static void check_text(const Place *place, json_t *value)
{
    const char *text = json_string_value(value), *pattern = json_text(place->schema, "pattern");
    bool has_nul = strlen(text) != json_string_length(value);
    check_limit(place, "minLength", (double) g_utf8_strlen(text, -1), false,
                "must NOT have fewer than %g characters");
    if (has_nul)
        violate(place, "pattern", json_pack("{s:s}", "pattern", "^[^\\0]*$"),
                "must NOT contain a NUL character");
    if (has_nul || !*pattern || g_regex_match_simple(pattern, text, G_REGEX_DOLLAR_ENDONLY, 0))
        return;
    g_autofree char *message = g_strdup_printf("must match pattern \"%s\"", pattern);
    violate(place, "pattern", json_pack("{s:s}", "pattern", pattern), message);
}

static void check_enum(const Place *place, json_t *value)
{
    json_t *values = json_object_get(place->schema, "enum"), *each;
    size_t i;
    json_array_foreach (values, i, each)
        if (json_equal(each, value))
            return;
    if (values)
        violate(place, "enum", json_pack("{s:O}", "allowedValues", values),
                "must be equal to one of the allowed values");
}

static void check(const Place *place, json_t *value);

static void check_items(const Place *place, json_t *value)
{
    json_t *schema = json_object_get(place->schema, "items"), *item;
    g_autofree char *path = g_strdup_printf("%s/items", place->path);
    size_t i;
    check_limit(place, "minItems", (double) json_array_size(value), false,
                "must NOT have fewer than %g items");
    json_array_foreach (value, i, item) {
        g_autofree char *instance = g_strdup_printf("%s/%zu", place->instance, i);
        Place inner = { schema, instance, path, place->list };
        if (schema)
            check(&inner, item);
    }
}

static void fill_defaults(json_t *properties, json_t *value)
{
    const char *name;
    json_t *property;
    json_object_foreach (properties, name, property) {
        json_t *otherwise = json_object_get(property, "default");
        if (otherwise && !json_object_get(value, name))
            json_object_set_new(value, name, json_deep_copy(otherwise));
    }
}

static void check_names(const Place *place, json_t *properties, json_t *value)
{
    size_t i;
    json_t *name, *each;
    const char *key;
    json_array_foreach (json_object_get(place->schema, "required"), i, name) {
        const char *wanted = json_string_value(name);
        if (json_object_get(value, wanted) || MUTANT(schema_required)) /* mutant: plugin_schema */
            continue;
        g_autofree char *message = g_strdup_printf("must have required property '%s'", wanted);
        violate(place, "required", json_pack("{s:s}", "missingProperty", wanted), message);
    }
    if (!json_is_false(json_object_get(place->schema, "additionalProperties")))
        return;
    json_object_foreach (value, key, each) {
        g_autofree char *message = g_strdup_printf("must NOT have additional property '%s'", key);
        if (!json_object_get(properties, key))
            violate(place, "additionalProperties", json_pack("{s:s}", "additionalProperty", key),
                    message);
    }
}

static void check_object(const Place *place, json_t *value)
{
    json_t *properties = json_object_get(place->schema, "properties"), *property;
    const char *name;
    fill_defaults(properties, value);
    check_names(place, properties, value);
    json_object_foreach (properties, name, property) {
        g_autofree char *instance = g_strdup_printf("%s/%s", place->instance, name);
        g_autofree char *path = g_strdup_printf("%s/properties/%s", place->path, name);
        Place inner = { property, instance, path, place->list };
        if (json_object_get(value, name))
            check(&inner, json_object_get(value, name));
    }
}

static void check(const Place *place, json_t *value)
{
    const char *type = json_text(place->schema, "type");
    if (*type && !has_type(value, type)) {
        g_autofree char *message = g_strdup_printf("must be %s", type);
        violate(place, "type", json_pack("{s:s}", "type", type), message);
        return;
    }
    check_enum(place, value);
    if (json_is_string(value))
        check_text(place, value);
    if (json_is_number(value)) {
        check_limit(place, "minimum", json_number_value(value), false, "must be >= %g");
        check_limit(place, "maximum", json_number_value(value), true, "must be <= %g");
    }
    if (json_is_array(value))
        check_items(place, value);
    if (json_is_object(value))
        check_object(place, value);
}

json_t *schema_check(json_t *schema, json_t *value)
{
    json_t *list = json_array();
    Place root = { schema, "", "#", list };
    check(&root, value);
    return list;
}

char *schema_words(json_t *violations)
{
    json_t *first = json_array_get(violations, 0);
    const char *instance = json_text(first, "instancePath");
    return g_strdup_printf("%s%s%s", instance, *instance ? " " : "", json_text(first, "message"));
}
