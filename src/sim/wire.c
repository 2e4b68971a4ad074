/* One writer for JSON and for XML-RPC: a stack of open containers, and two spellings of each value.
 */
#include "sim/wire.h"

#include "sim/model.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

struct Wire {
    GString *out;
    bool xml;
    guint depth;
    char open[MAX_DEPTH]; /* 'l' or 'm' */
    bool used[MAX_DEPTH]; /* something is inside */
};

Wire *wire_new(bool xml)
{
    Wire *wire = g_new0(Wire, 1);
    wire->xml = xml;
    wire->out = g_string_sized_new(256);
    return wire;
}

GString *wire_finish(Wire *wire)
{
    GString *out = wire->out;
    g_free(wire);
    return out;
}

GString *wire_text(Wire *wire)
{
    return wire->out;
}

void wire_reset(Wire *wire, gsize n)
{
    g_string_truncate(wire->out, n);
    wire->depth = 0;
}

void wire_escape_json(GString *out, const char *text)
{
    const char *clean = text;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        g_string_append_len(out, clean, text - clean);
        clean = text + 1;
        if (c == '"' || c == '\\')
            g_string_append_printf(out, "\\%c", c);
        else if (c == '\n')
            g_string_append(out, "\\n");
        else
            g_string_append_printf(out, "\\u%04x", c);
    }
    g_string_append_len(out, clean, text - clean);
}

void wire_escape_xml(GString *out, const char *text)
{
    const char *clean = text;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;
        if (c != '&' && c != '<' && c != '>' && c != '\r' && (c >= 0x20 || c == '\t' || c == '\n'))
            continue;
        g_string_append_len(out, clean, text - clean);
        clean = text + 1;
        /* XML has no spelling for the other control characters. */
        g_string_append(out, c == '&'    ? "&amp;"
                             : c == '<'  ? "&lt;"
                             : c == '>'  ? "&gt;"
                             : c == '\r' ? "&#13;"
                                         : "?");
    }
    g_string_append_len(out, clean, text - clean);
}

/* What stands before a value, and after it. */
static void value_begin(Wire *wire)
{
    bool inside = wire->depth > 0;
    if (wire->xml)
        g_string_append(wire->out, "<value>");
    else if (inside && wire->open[wire->depth - 1] == 'l' && wire->used[wire->depth - 1])
        g_string_append_c(wire->out, ',');
    if (inside)
        wire->used[wire->depth - 1] = true;
}

static void value_end(Wire *wire)
{
    if (!wire->xml)
        return;
    g_string_append(wire->out, "</value>");
    if (wire->depth > 0 && wire->open[wire->depth - 1] == 'm')
        g_string_append(wire->out, "</member>");
}

void wire_text_value(Wire *wire, const char *text)
{
    value_begin(wire);
    if (wire->xml) {
        wire_escape_xml(wire->out, text);
    } else {
        g_string_append_c(wire->out, '"');
        wire_escape_json(wire->out, text);
        g_string_append_c(wire->out, '"');
    }
    value_end(wire);
}

void wire_int(Wire *wire, gint64 value)
{
    value_begin(wire);
    g_string_append_printf(wire->out, "%" G_GINT64_FORMAT, value);
    value_end(wire);
}

void wire_i4(Wire *wire, gint64 value)
{
    value_begin(wire);
    g_string_append_printf(
        wire->out, wire->xml ? "<i4>%" G_GINT64_FORMAT "</i4>" : "%" G_GINT64_FORMAT, value);
    value_end(wire);
}

void wire_float(Wire *wire, double value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    value_begin(wire);
    if (!isfinite(value))
        value = 0;
    if (wire->xml)
        g_string_append_printf(wire->out, "<double>%s</double>",
                               g_ascii_formatd(digits, sizeof digits, "%g", value));
    else if (value == floor(value) && fabs(value) < 1e15)
        g_string_append(wire->out, g_ascii_formatd(digits, sizeof digits, "%.1f", value));
    else
        g_string_append(wire->out, g_ascii_formatd(digits, sizeof digits, "%.15g", value));
    value_end(wire);
}

void wire_bool(Wire *wire, bool value)
{
    value_begin(wire);
    if (wire->xml)
        g_string_append_printf(wire->out, "<boolean>%d</boolean>", value);
    else
        g_string_append(wire->out, value ? "true" : "false");
    value_end(wire);
}

void wire_date(Wire *wire, gint64 unix_s)
{
    g_autofree char *text = sim_format_date(unix_s);
    value_begin(wire);
    g_string_append_printf(wire->out,
                           wire->xml ? "<dateTime.iso8601>%s</dateTime.iso8601>" : "\"%s\"", text);
    value_end(wire);
}

static void container_open(Wire *wire, char kind)
{
    value_begin(wire);
    g_assert(wire->depth < MAX_DEPTH);
    if (wire->xml)
        g_string_append(wire->out, kind == 'l' ? "<array><data>" : "<struct>");
    else
        g_string_append_c(wire->out, kind == 'l' ? '[' : '{');
    wire->open[wire->depth] = kind;
    wire->used[wire->depth++] = false;
}

void wire_open_list(Wire *wire)
{
    container_open(wire, 'l');
}

void wire_open_map(Wire *wire)
{
    container_open(wire, 'm');
}

void wire_key(Wire *wire, const char *key)
{
    if (wire->xml) {
        g_string_append(wire->out, "<member><name>");
        wire_escape_xml(wire->out, key);
        g_string_append(wire->out, "</name>");
        return;
    }
    g_string_append(wire->out, wire->used[wire->depth - 1] ? ",\"" : "\"");
    wire_escape_json(wire->out, key);
    g_string_append(wire->out, "\":");
}

void wire_close(Wire *wire)
{
    bool list = wire->open[--wire->depth] == 'l';
    if (wire->xml)
        g_string_append(wire->out, list ? "</data></array>" : "</struct>");
    else
        g_string_append_c(wire->out, list ? ']' : '}');
    value_end(wire);
}

static void json_container(Wire *wire, json_t *value)
{
    size_t i;
    json_t *item;
    const char *key;

    if (wire->depth >= MAX_DEPTH - 1) { /* nobody nests that deep on purpose */
        wire_text_value(wire, "");
        return;
    }
    if (json_is_array(value)) {
        wire_open_list(wire);
        json_array_foreach (value, i, item)
            wire_json(wire, item);
    } else {
        wire_open_map(wire);
        json_object_foreach (value, key, item) {
            wire_key(wire, key);
            wire_json(wire, item);
        }
    }
    wire_close(wire);
}

void wire_json(Wire *wire, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_ARRAY:
    case JSON_OBJECT:
        json_container(wire, value);
        break;
    case JSON_STRING:
        wire_text_value(wire, json_string_value(value));
        break;
    case JSON_INTEGER:
        wire_int(wire, json_integer_value(value));
        break;
    case JSON_REAL:
        wire_float(wire, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        wire_bool(wire, json_is_true(value));
        break;
    default:
        wire_text_value(wire, "");
    }
}
