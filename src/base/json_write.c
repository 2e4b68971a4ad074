/* Values of jansson, and strings, integers and doubles without one, as JSON text. */
#include "base/json_write.h"

#include <math.h>
#include <string.h>

static void write_escape(GString *out, guchar c)
{
    static const char plain[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *found = c ? strchr(plain, c) : NULL;
    if (found)
        g_string_append_printf(out, "\\%c", letters[found - plain]);
    else
        g_string_append_printf(out, "\\u%04x", c);
}

void json_write_string(GString *out, const char *text, gsize n)
{
    g_string_append_c(out, '"');
    const char *end = text + n;
    while (text < end) {
        const char *p = text;
        while (p < end && (guchar) *p >= 0x20 && *p != '"' && *p != '\\')
            p++;
        g_string_append_len(out, text, p - text);
        if (p < end)
            write_escape(out, (guchar) *p++);
        text = p;
    }
    g_string_append_c(out, '"');
}

void json_write_int(GString *out, gint64 value)
{
    char digits[24], *at = digits + sizeof digits;
    guint64 left = value < 0 ? -(guint64) value : (guint64) value;
    do
        *--at = (char) ('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        *--at = '-';
    g_string_append_len(out, at, digits + sizeof digits - at);
}

void json_write_real(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    if (!isfinite(value)) {
        g_string_append(out, "null");
        return;
    }
    if (value == floor(value) && fabs(value) < 1e15) {
        json_write_int(out, (gint64) value);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        char format[8];
        g_snprintf(format, sizeof format, "%%.%dg", digits);
        g_ascii_formatd(text, sizeof text, format, value);
        if (g_ascii_strtod(text, NULL) == value)
            break;
    }
    g_string_append(out, text);
}

static void write_object(GString *out, json_t *object)
{
    const char *key;
    gsize n_key;
    json_t *value;
    char before = '{';
    json_object_keylen_foreach(object, key, n_key, value)
    {
        g_string_append_c(out, before);
        json_write_string(out, key, n_key);
        g_string_append_c(out, ':');
        json_write_value(out, value);
        before = ',';
    }
    g_string_append(out, before == '{' ? "{}" : "}");
}

static void write_array(GString *out, json_t *array)
{
    gsize i;
    json_t *value;
    g_string_append_c(out, '[');
    json_array_foreach (array, i, value) {
        if (i > 0)
            g_string_append_c(out, ',');
        json_write_value(out, value);
    }
    g_string_append_c(out, ']');
}

void json_write_value(GString *out, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        write_object(out, value);
        break;
    case JSON_ARRAY:
        write_array(out, value);
        break;
    case JSON_STRING:
        json_write_string(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        json_write_int(out, json_integer_value(value));
        break;
    case JSON_REAL:
        json_write_real(out, json_real_value(value));
        break;
    default:
        g_string_append(out, json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false");
    }
}
