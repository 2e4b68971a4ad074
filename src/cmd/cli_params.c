/* Words of the command line as parameters of a method. */
#include "cmd/cli.h"
#include "base/error.h"

#include <string.h>

static bool is_number(const char *text, double *value)
{
    char *end;
    *value = g_ascii_strtod(text, &end);
    return *text && !*end && !g_ascii_isspace(text[0]) && g_ascii_isxdigit(end[-1]);
}

bool cli_params_need_schema(char **words)
{
    double value;
    for (unsigned i = 0; words[i]; i++) {
        const char *equals = strchr(words[i], '=');
        if (equals && is_number(equals + 1, &value))
            return true;
    }
    return false;
}

/* The declared type is a number, and not also a string. */
static bool wants_number(json_t *schema, const char *name)
{
    json_t *type = json_object_get(json_object_get(schema, name), "type");
    bool number = false, string = false;
    json_t *list = json_is_array(type) ? json_incref(type) : json_pack("[O*]", type);
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one) {
        const char *text = json_string_value(one);
        number = number || g_strcmp0(text, "number") == 0 || g_strcmp0(text, "integer") == 0;
        string = string || g_strcmp0(text, "string") == 0;
    }
    json_decref(list);
    return number && !string;
}

static json_t *number_of(const char *text, double value)
{
    char *end;
    gint64 whole = g_ascii_strtoll(text, &end, 10);
    return *end ? json_real(value) : json_integer(whole);
}

static json_t *value_of(const char *name, const char *text, json_t *schema, GError **error)
{
    double number;
    if (g_str_has_prefix(text, "json:")) {
        json_error_t cause;
        json_t *value = json_loads(text + 5, JSON_DECODE_ANY, &cause);
        if (!value)
            err_set(error, ERR_INVALID, "%s: not JSON: %s", name, cause.text);
        return value;
    }
    if (g_str_equal(text, "true") || g_str_equal(text, "false"))
        return json_boolean(g_str_equal(text, "true"));
    if (is_number(text, &number) && wants_number(schema, name))
        return number_of(text, number);
    json_t *string = json_string(text);
    if (!string)
        err_set(error, ERR_INVALID, "%s: not UTF-8", name);
    return string;
}

json_t *cli_params(char **words, json_t *schema, GError **error)
{
    json_t *params = json_object();
    for (unsigned i = 0; words[i]; i++) {
        const char *equals = strchr(words[i], '=');
        if (!equals || equals == words[i]) {
            err_set(error, ERR_INVALID, "\"%s\" is no parameter: write name=value", words[i]);
            json_decref(params);
            return NULL;
        }
        g_autofree char *name = g_strndup(words[i], (gsize) (equals - words[i]));
        json_t *value = value_of(name, equals + 1, schema, error);
        if (!value) {
            json_decref(params);
            return NULL;
        }
        json_object_set_new(params, name, value);
    }
    return params;
}
