/* One number, one prefix, one "i", one "B": read from left to right. */
#include "api/size.h"
#include "api/error.h"
#include "base/mutant.h"

#include <string.h>

static bool invalid(const char *name, const char *given, GError **error)
{
    api_error_invalid(error, "%s: \"%s\" is no size: expected bytes, or text such as \"10 GiB\"",
                      name, given);
    return false;
}

/* What stands behind the number: "", "B", "k", "MB", "GiB". False for anything else. */
static bool unit_parse(const char *unit, double *factor)
{
    static const char prefixes[] = "kmgtp";
    *factor = 1;
    const char *prefix = *unit ? strchr(prefixes, g_ascii_tolower(*unit)) : NULL;
    if (prefix) {
        unit++;
        bool binary = *unit == 'i';
        unit += binary;
        for (const char *at = prefixes; at <= prefix; at++)
            *factor *= binary || MUTANT(size_always_binary) ? 1024 : 1000; /* mutant: api_size */
    }
    return !*unit || g_ascii_strcasecmp(unit, "B") == 0;
}

static bool text_parse(const char *text, const char *name, gint64 *bytes, GError **error)
{
    char *end;
    double factor, number = g_ascii_strtod(text, &end);
    g_autofree char *unit = g_strstrip(g_strdup(end));
    if (!g_ascii_isdigit(*text) || !unit_parse(unit, &factor))
        return invalid(name, text, error);
    double product = number * factor;
    if (!(product >= 0 && product < (double) (G_MAXINT64 / 2)))
        return invalid(name, text, error);
    *bytes = (gint64) product;
    return true;
}

bool size_parse(json_t *value, const char *name, gint64 *bytes, GError **error)
{
    if (json_is_string(value))
        return text_parse(json_string_value(value), name, bytes, error);
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number < (double) (G_MAXINT64 / 2))) {
        g_autofree char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : g_strdup("");
        return invalid(name, text, error);
    }
    *bytes = json_is_integer(value) ? json_integer_value(value) : (gint64) number;
    return true;
}
