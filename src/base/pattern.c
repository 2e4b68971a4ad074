/* Matching by structure: a direct reading of the table of value-matcher's rules. */
#include "base/pattern.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

static bool match(json_t *pattern, json_t *value, unsigned depth);

static bool match_some(json_t *pattern, json_t *values, unsigned depth)
{
    gsize i;
    json_t *value;
    json_array_foreach (values, i, value)
        if (match(pattern, value, depth))
            return true;
    return false;
}

/* Each pattern of the array matches some element. */
static bool match_array(json_t *patterns, json_t *values, unsigned depth)
{
    gsize i;
    json_t *pattern;
    if (!json_is_array(values))
        return false;
    json_array_foreach (patterns, i, pattern)
        if (!match_some(pattern, values, depth))
            return false;
    return true;
}

static bool match_all(json_t *patterns, json_t *value, unsigned depth)
{
    gsize i;
    json_t *pattern;
    json_array_foreach (patterns, i, pattern)
        if (!match(pattern, value, depth))
            return false;
    return true;
}

static bool match_any(json_t *patterns, json_t *value, unsigned depth)
{
    gsize i;
    json_t *pattern;
    json_array_foreach (patterns, i, pattern)
        if (match(pattern, value, depth))
            return true;
    return false;
}

static bool match_properties(json_t *pattern, json_t *value, unsigned depth)
{
    const char *name;
    json_t *each;
    if (!json_is_object(value) && !json_is_array(value))
        return false;
    json_object_foreach (pattern, name, each) {
        json_t *property = json_object_get(value, name);
        if (!property || !match(each, property, depth))
            return false;
    }
    return true;
}

static bool match_object(json_t *pattern, json_t *value, unsigned depth)
{
    if (json_object_size(pattern) == 1) {
        json_t *all = json_object_get(pattern, "__and"), *any = json_object_get(pattern, "__or");
        json_t *not = json_object_get(pattern, "__not");
        if (all)
            return match_all(all, value, depth);
        if (any)
            return match_any(any, value, depth);
        if (not )
            return MUTANT(pattern_not_ignored) || /* mutant: base_pattern */
                   !match(not, value, depth);
    }
    return match_properties(pattern, value, depth);
}

static bool match_scalar(json_t *pattern, json_t *value)
{
    if (json_is_number(pattern) && json_is_number(value))
        return json_number_value(pattern) == json_number_value(value);
    return json_equal(pattern, value);
}

static bool match(json_t *pattern, json_t *value, unsigned depth)
{
    if (depth == 0)
        return false;
    if (json_is_array(pattern))
        return match_array(pattern, value, depth - 1);
    if (json_is_object(pattern))
        return match_object(pattern, value, depth - 1);
    return match_scalar(pattern, value);
}

bool pattern_match(json_t *pattern, json_t *value)
{
    return pattern && value && match(pattern, value, PATTERN_MAX_DEPTH);
}

static bool check_children(json_t *pattern, unsigned depth, GError **error);

static bool check(json_t *pattern, unsigned depth, GError **error)
{
    if (depth == 0) {
        err_set(error, ERR_INVALID, "pattern: nested deeper than %d levels", PATTERN_MAX_DEPTH);
        return false;
    }
    static const char *const lists[] = { "__and", "__or" };
    for (gsize i = 0; json_object_size(pattern) == 1 && i < G_N_ELEMENTS(lists); i++) {
        json_t *list = json_object_get(pattern, lists[i]);
        if (list && !json_is_array(list)) {
            err_set(error, ERR_INVALID, "pattern: %s must be an array", lists[i]);
            return false;
        }
    }
    return check_children(pattern, depth, error);
}

static bool check_children(json_t *pattern, unsigned depth, GError **error)
{
    const char *name;
    json_t *each;
    gsize i;
    json_object_foreach (pattern, name, each)
        if (!check(each, depth - 1, error))
            return false;
    json_array_foreach (pattern, i, each)
        if (!check(each, depth - 1, error))
            return false;
    return true;
}

bool pattern_check(json_t *pattern, GError **error)
{
    return check(pattern, PATTERN_MAX_DEPTH, error);
}
