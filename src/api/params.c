/* Checking parameters against their rows, in the words of XO's validator.
 *
 * The order of violations is Ajv's: what is missing, what is too much, then each parameter in the
 * order of the rows. Every violation is reported, not only the first. */
#include "api/params.h"
#include "api/error.h"
#include "base/mutant.h"

#include <math.h>
#include <string.h>

enum { MAX_VIOLATIONS = 100 };

static const struct {
    unsigned bit;
    const char *name;
} type_names[] = {
    { P_STRING, "string" },   { P_INTEGER, "integer" }, { P_NUMBER, "number" },
    { P_BOOLEAN, "boolean" }, { P_OBJECT, "object" },   { P_ARRAY, "array" },
    { P_NULL, "null" },
};

static unsigned types_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        return P_STRING;
    case JSON_INTEGER:
        return P_INTEGER | P_NUMBER;
    case JSON_REAL:
        return floor(json_real_value(value)) == json_real_value(value) ? P_INTEGER | P_NUMBER
                                                                       : P_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return P_BOOLEAN;
    case JSON_OBJECT:
        return P_OBJECT;
    case JSON_ARRAY:
        return P_ARRAY;
    case JSON_NULL:
        return P_NULL;
    }
    return 0;
}

/* "string", or ["string","null"]. */
static json_t *types_json(unsigned types)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(type_names); i++)
        if (types & type_names[i].bit)
            json_array_append_new(list, json_string(type_names[i].name));
    if (json_array_size(list) != 1)
        return list;
    json_t *only = json_incref(json_array_get(list, 0));
    json_decref(list);
    return only;
}

static char *types_text(unsigned types)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(type_names); i++)
        if (types & type_names[i].bit)
            g_string_append_printf(text, "%s%s", text->len ? "," : "", type_names[i].name);
    return g_string_free(text, FALSE);
}

/* --- Violations --- */

static void violate(json_t *list, const char *instance, const char *schema, const char *keyword,
                    json_t *params, const char *message)
{
    json_t *item = json_pack("{s:s, s:s, s:s, s:o, s:s}", "instancePath", instance, "schemaPath",
                             schema, "keyword", keyword, "params", params, "message", message);
    if (json_array_size(list) < MAX_VIOLATIONS)
        json_array_append(list, item);
    json_decref(item);
}

static void check_required(const Param *rows, json_t *params, json_t *list)
{
    for (const Param *row = rows; row->name; row++) {
        if (row->optional || row->fallback || g_str_equal(row->name, "*") ||
            json_object_get(params, row->name))
            continue;
        g_autofree char *text = g_strdup_printf("must have required property '%s'", row->name);
        violate(list, "", "#/required", "required",
                json_pack("{s:s}", "missingProperty", row->name), text);
    }
}

static const Param *find_row(const Param *rows, const char *name)
{
    for (const Param *row = rows; row->name; row++)
        if (g_str_equal(row->name, name))
            return row;
    return NULL;
}

static void check_additional(const Param *rows, json_t *params, json_t *list)
{
    if (find_row(rows, "*") || MUTANT(params_additional)) /* mutant: api_params */
        return;
    const char *name;
    json_t *value;
    json_object_foreach (params, name, value)
        if (!find_row(rows, name))
            violate(list, "", "#/additionalProperties", "additionalProperties",
                    json_pack("{s:s}", "additionalProperty", name),
                    "must NOT have additional properties");
}

static void check_type(unsigned types, json_t *value, const char *instance, const char *schema,
                       json_t *list)
{
    g_autofree char *names = types_text(types);
    g_autofree char *text = g_strdup_printf("must be %s", names);
    g_autofree char *path = g_strdup_printf("%s/type", schema);
    violate(list, instance, path, "type", json_pack("{s:o}", "type", types_json(types)), text);
}

static void check_string(bool may_be_empty, json_t *value, const char *instance, const char *schema,
                         json_t *list)
{
    size_t n = json_string_length(value);
    if (strlen(json_string_value(value)) != n) {
        g_autofree char *path = g_strdup_printf("%s/pattern", schema);
        violate(list, instance, path, "pattern", json_pack("{s:s}", "pattern", "^[^\\0]*$"),
                "must NOT contain a NUL character");
    }
    if (n == 0 && !may_be_empty && !MUTANT(params_empty_string)) { /* mutant: api_params */
        g_autofree char *path = g_strdup_printf("%s/minLength", schema);
        violate(list, instance, path, "minLength", json_pack("{s:i}", "limit", 1),
                "must NOT have fewer than 1 characters");
    }
}

static json_t *names_json(const char *list_of_names, const char *separator)
{
    g_auto(GStrv) names = g_strsplit(list_of_names, separator, -1);
    json_t *list = json_array();
    for (unsigned i = 0; names[i]; i++)
        json_array_append_new(list, json_string(names[i]));
    return list;
}

static void check_choice(const Param *row, json_t *value, const char *instance, const char *schema,
                         json_t *list)
{
    g_auto(GStrv) names = g_strsplit(row->choices, "|", -1);
    const char *text = json_string_value(value);
    if (text && g_strv_contains((const char *const *) names, text))
        return;
    g_autofree char *path = g_strdup_printf("%s/enum", schema);
    violate(list, instance, path, "enum",
            json_pack("{s:o}", "allowedValues", names_json(row->choices, "|")),
            "must be equal to one of the allowed values");
}

static void check_items(const Param *row, json_t *array, const char *instance, const char *schema,
                        json_t *list)
{
    g_autofree char *path = g_strdup_printf("%s/items", schema);
    size_t i;
    json_t *item;
    json_array_foreach (array, i, item) {
        g_autofree char *at = g_strdup_printf("%s/%zu", instance, i);
        if (row->items && !(types_of(item) & row->items))
            check_type(row->items, item, at, path, list);
        else if (json_is_string(item))
            check_string(row->may_be_empty || !row->items, item, at, path, list);
    }
}

static void check_pattern(const Param *row, json_t *value, const char *instance, const char *schema,
                          json_t *list)
{
    if (g_regex_match_simple(row->pattern, json_string_value(value), 0, 0))
        return;
    g_autofree char *path = g_strdup_printf("%s/pattern", schema);
    g_autofree char *text = g_strdup_printf("must match pattern \"%s\"", row->pattern);
    violate(list, instance, path, "pattern", json_pack("{s:s}", "pattern", row->pattern), text);
}

static void check_value(const Param *row, json_t *value, json_t *list)
{
    if (row->nullable && json_is_null(value))
        return;
    g_autofree char *instance = g_strdup_printf("/%s", row->name);
    g_autofree char *schema = g_strdup_printf("#/properties/%s", row->name);
    if (row->types && !(types_of(value) & row->types)) {
        check_type(row->types, value, instance, schema, list);
        return;
    }
    if (json_is_string(value))
        check_string(row->may_be_empty || !row->types, value, instance, schema, list);
    if (row->choices)
        check_choice(row, value, instance, schema, list);
    if (json_is_string(value) && row->pattern)
        check_pattern(row, value, instance, schema, list);
    if (json_is_array(value))
        check_items(row, value, instance, schema, list);
}

/* --- Preparing --- */

/* A copy with array elements under "0", "1", … as JavaScript sees an array. */
static json_t *as_object(json_t *sent)
{
    if (!json_is_array(sent))
        return json_is_object(sent) ? json_copy(sent) : json_object();
    json_t *object = json_object();
    size_t i;
    json_t *item;
    json_array_foreach (sent, i, item) {
        g_autofree char *key = g_strdup_printf("%zu", i);
        json_object_set(object, key, item);
    }
    return object;
}

/* vm.stop {vm: "…"} means vm.stop {id: "…"}. */
static void apply_alias(const Param *rows, const char *method, json_t *params)
{
    g_autofree char *space = g_strndup(method, strcspn(method, "."));
    json_t *value = json_object_get(params, space);
    if (!json_is_string(value) || json_object_get(params, "id") || !find_row(rows, "id") ||
        find_row(rows, space))
        return;
    json_object_set(params, "id", value);
    json_object_del(params, space);
}

/* "name?" is passed when the method knows it, dropped when not. */
static void apply_ignorable(const Param *rows, json_t *params)
{
    const char *name;
    json_t *value;
    void *next;
    json_object_foreach_safe (params, next, name, value) {
        size_t n = strlen(name);
        if (n == 0 || name[n - 1] != '?')
            continue;
        g_autofree char *plain = g_strndup(name, n - 1);
        if (rows && find_row(rows, plain))
            json_object_set(params, plain, value);
        json_object_del(params, name);
    }
}

static void apply_defaults(const Param *rows, json_t *params)
{
    for (const Param *row = rows; row->name; row++)
        if (row->fallback && !json_object_get(params, row->name))
            json_object_set_new(params, row->name,
                                json_loads(row->fallback, JSON_DECODE_ANY, NULL));
}

json_t *params_check(const Param *rows, const char *method, json_t *sent, GError **error)
{
    json_t *params = as_object(sent);
    apply_ignorable(rows, params);
    if (!rows)
        return params;
    apply_alias(rows, method, params);
    apply_defaults(rows, params);
    json_t *list = json_array();
    check_required(rows, params, list);
    check_additional(rows, params, list);
    for (const Param *row = rows; row->name; row++) {
        json_t *value = json_object_get(params, row->name);
        if (value)
            check_value(row, value, list);
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return params;
    }
    json_decref(params);
    api_error_plain(error, API_INVALID_PARAMETERS, json_pack("{s:o}", "errors", list));
    return NULL;
}

/* --- The schema for people and forms --- */

/* Which objects it names, and what is wanted on them; XO does not show that. */
static json_t *resolve_schema(const Param *row)
{
    return json_pack("{s:o, s:s*}", "types", names_json(row->objects, ","), "permission",
                     row->permission);
}

static json_t *row_schema(const Param *row)
{
    json_t *schema = json_object();
    if (row->types)
        json_object_set_new(schema, "type", types_json(row->types));
    if (row->items)
        json_object_set_new(schema, "items", json_pack("{s:o}", "type", types_json(row->items)));
    if (row->choices)
        json_object_set_new(schema, "enum", names_json(row->choices, "|"));
    if (row->may_be_empty && !row->choices && (row->types & P_STRING))
        json_object_set_new(schema, "minLength", json_integer(0));
    if (row->nullable)
        json_object_set_new(schema, "nullable", json_true());
    if (row->pattern)
        json_object_set_new(schema, "pattern", json_string(row->pattern));
    if (row->optional)
        json_object_set_new(schema, "optional", json_true());
    if (row->fallback)
        json_object_set_new(schema, "default", json_loads(row->fallback, JSON_DECODE_ANY, NULL));
    if (row->objects)
        json_object_set_new(schema, "resolve", resolve_schema(row));
    if (row->words)
        json_object_set_new(schema, "description", json_string(row->words));
    return schema;
}

json_t *params_schema(const Param *rows)
{
    json_t *schema = json_object();
    for (const Param *row = rows; row && row->name; row++)
        json_object_set_new(schema, row->name, row_schema(row));
    return schema;
}
