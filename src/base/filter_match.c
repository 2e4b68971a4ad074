/* Evaluating a filter on a JSON value with JavaScript's ideas of truth and order. An absent
 * property is NULL here, JavaScript's undefined. */
#include "base/filter_node.h"

#include "base/mutant.h"

#include <math.h>
#include <string.h>

enum { VALUE_MAX_DEPTH = 64 };

static bool match(const FilterNode *node, json_t *value, unsigned depth);

/* Whether some element of an array, or value of an object, matches. */
static bool match_some(const FilterNode *node, json_t *value, unsigned depth)
{
    gsize i;
    const char *name;
    json_t *item;
    if (depth == 0)
        return false;
    json_array_foreach (value, i, item)
        if (match(node, item, depth - 1))
            return true;
    json_object_foreach (value, name, item)
        if (match(node, item, depth - 1))
            return true;
    return false;
}

static bool contains(const char *text, const char *lower_needle)
{
    g_autofree char *lower = g_utf8_strdown(text, -1);
    return strstr(lower, lower_needle) != NULL;
}

static bool contains_glob(const char *text, char **parts)
{
    g_autofree char *lower = g_utf8_strdown(text, -1);
    const char *at = lower;
    for (; *parts; parts++) {
        at = strstr(at, *parts);
        if (!at)
            return false;
        at += strlen(*parts);
    }
    return true;
}

static bool match_text(const FilterNode *node, const char *text)
{
    switch (node->kind) {
    case FILTER_GLOB:
        return contains_glob(text, node->parts);
    case FILTER_REGEX:
        return g_regex_match(node->regex, text, 0, NULL);
    default:
        return contains(text, node->text);
    }
}

static bool match_value(const FilterNode *node, json_t *value, unsigned depth)
{
    if (json_is_string(value))
        return match_text(node, json_string_value(value));
    if (json_is_number(value))
        return node->kind == FILTER_NUMBER_OR_STRING && json_number_value(value) == node->number;
    return match_some(node, value, depth);
}

/* JavaScript's conversion to a number, but null compares with nothing. */
static double to_number(json_t *value)
{
    if (json_is_number(value))
        return json_number_value(value);
    if (json_is_boolean(value))
        return json_is_true(value);
    if (!json_is_string(value))
        return NAN;
    const char *text = json_string_value(value);
    char *end = NULL;
    g_autofree char *trimmed = g_strstrip(g_strdup(text));
    double number = *trimmed ? g_ascii_strtod(trimmed, &end) : 0;
    return end && *end ? NAN : number;
}

static bool compare(const FilterNode *node, json_t *value)
{
    double number = value ? to_number(value) : NAN;
    switch (node->kind) {
    case FILTER_BELOW:
        return number < node->number;
    case FILTER_AT_MOST:
        return number <= node->number;
    case FILTER_ABOVE:
        return MUTANT(filter_above_equal) ? number >= node->number /* mutant: base_filter */
                                          : number > node->number;
    default:
        return number >= node->number;
    }
}

static json_t *character(json_t *string, gsize index)
{
    const char *text = json_string_value(string);
    if (index >= (gsize) g_utf8_strlen(text, -1))
        return NULL;
    const char *at = g_utf8_offset_to_pointer(text, (glong) index);
    return json_stringn(at, (gsize) (g_utf8_next_char(at) - at));
}

/* value[name], a new reference or NULL. */
static json_t *property(json_t *value, const char *name)
{
    bool is_length = strcmp(name, "length") == 0;
    if (json_is_object(value))
        return json_incref(json_object_get(value, name));
    if (json_is_array(value) && is_length)
        return json_integer((json_int_t) json_array_size(value));
    if (json_is_string(value) && is_length)
        return json_integer(g_utf8_strlen(json_string_value(value), -1));
    char *end = NULL;
    bool is_index = !json_is_object(value) && g_ascii_isdigit(*name);
    gsize index = is_index ? (gsize) g_ascii_strtoull(name, &end, 10) : 0;
    if (!end || *end)
        return NULL;
    return json_is_string(value) ? character(value, index)
                                 : json_incref(json_array_get(value, index));
}

static bool is_truthy(json_t *value)
{
    if (!value || json_is_null(value) || json_is_false(value))
        return false;
    if (json_is_number(value))
        return json_number_value(value) != 0;
    return !json_is_string(value) || json_string_length(value) > 0;
}

static bool match_property(const FilterNode *node, json_t *value, unsigned depth)
{
    if (!value || json_is_null(value))
        return false;
    json_t *found = property(value, node->text);
    bool ok = node->kind == FILTER_TRUTHY ? is_truthy(found)
                                          : match(node->children->pdata[0], found, depth);
    json_decref(found);
    return ok;
}

static bool match_children(const FilterNode *node, json_t *value, bool any, unsigned depth)
{
    for (guint i = 0; i < node->children->len; i++)
        if (match(node->children->pdata[i], value, depth) == any)
            return any;
    return !any;
}

static bool match(const FilterNode *node, json_t *value, unsigned depth)
{
    switch (node->kind) {
    case FILTER_AND:
        return match_children(node, value, MUTANT(filter_and_is_or),
                              depth); /* mutant: base_filter */
    case FILTER_OR:
        return match_children(node, value, true, depth);
    case FILTER_NOT:
        return !match(node->children->pdata[0], value, depth);
    case FILTER_BELOW:
    case FILTER_AT_MOST:
    case FILTER_ABOVE:
    case FILTER_AT_LEAST:
        return compare(node, value);
    case FILTER_PROPERTY:
    case FILTER_TRUTHY:
        return match_property(node, value, depth);
    default:
        return value && match_value(node, value, depth);
    }
}

bool filter_match(const Filter *filter, json_t *value)
{
    return match((const FilterNode *) filter, value, VALUE_MAX_DEPTH);
}
