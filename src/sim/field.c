/* Fields from and to JSON, with the conversions that XAPI's wire allows, and records written out.
 */
#include "sim/row.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- Out --- */

static void element_write(char element, const char *text, Wire *wire)
{
    switch (element) {
    case 'i':
        wire_int(wire, g_ascii_strtoll(text, NULL, 10));
        break;
    case 'f':
        wire_float(wire, g_ascii_strtod(text, NULL));
        break;
    default:
        wire_text_value(wire, text);
    }
}

static void vec_write(const Field *field, const Vec *vec, Wire *wire)
{
    if (field->kind == SLOT_SET) {
        wire_open_list(wire);
        for (guint i = 0; i < vec_size(vec); i++)
            element_write(field->element, vec_nth(vec, i), wire);
    } else {
        wire_open_map(wire);
        for (guint i = 0; i < vec_size(vec); i += 2) {
            wire_key(wire, vec_nth(vec, i));
            element_write(field->element, vec_nth(vec, i + 1), wire);
        }
    }
    wire_close(wire);
}

void obj_write_field(const Obj *obj, guint i, Wire *wire)
{
    const Field *field = &obj->table->cls->fields[i];
    const Slot *slot = &obj->slots[i];
    switch (field->kind) {
    case SLOT_TEXT:
        wire_text_value(wire, slot->text);
        break;
    case SLOT_INT:
        field->is_date ? wire_date(wire, slot->i) : wire_int(wire, slot->i);
        break;
    case SLOT_FLOAT:
        wire_float(wire, slot->f);
        break;
    case SLOT_BOOL:
        wire_bool(wire, slot->b);
        break;
    default:
        vec_write(field, slot->vec, wire);
    }
}

void obj_write(const Obj *obj, Wire *wire)
{
    const Class *cls = obj->table->cls;
    wire_open_map(wire);
    for (guint i = 0; i < cls->n_fields; i++) {
        wire_key(wire, cls->fields[i].name);
        obj_write_field(obj, i, wire);
    }
    wire_close(wire);
}

static json_t *parse_written(Wire *wire)
{
    g_autoptr(GString) text = wire_finish(wire);
    return json_loadb(text->str, text->len, JSON_DECODE_ANY, NULL);
}

json_t *obj_field_json(const Obj *obj, const char *field)
{
    Wire *wire = wire_new(false);
    gint i = class_field(obj->table->cls, field);
    g_assert(i >= 0);
    obj_write_field(obj, (guint) i, wire);
    return parse_written(wire);
}

json_t *obj_json(const Obj *obj)
{
    Wire *wire = wire_new(false);
    obj_write(obj, wire);
    return parse_written(wire);
}

/* --- In --- */

static bool parse_int(json_t *value, gint64 *out)
{
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        double real = json_real_value(value);
        *out = real > -9e18 && real < 9e18 ? (gint64) real : 0;
        return (double) *out >= real && (double) *out <= real;
    }
    const char *text = json_string_value(value);
    return text != NULL && g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, out, NULL);
}

/* One element of a set or map as the text it is kept as; NULL: of the wrong type. Caller frees. */
static char *element_parse(char element, json_t *value)
{
    gint64 number;
    if (element == 'i')
        return parse_int(value, &number) ? g_strdup_printf("%" G_GINT64_FORMAT, number) : NULL;
    if (element == 'f' && json_is_number(value)) {
        char digits[G_ASCII_DTOSTR_BUF_SIZE];
        return g_strdup(g_ascii_dtostr(digits, sizeof digits, json_number_value(value)));
    }
    return g_strdup(json_string_value(value));
}

static bool set_parse(const Field *field, json_t *value, Vec **vec, GError **error)
{
    size_t i;
    json_t *item;
    json_array_foreach (value, i, item) {
        g_autofree char *text = element_parse(field->element, item);
        if (text == NULL) {
            sim_error(error, "FIELD_TYPE_ERROR", field->name, NULL);
            return false;
        }
        if (field->values != NULL && !enum_has(field->values, text)) {
            sim_error(error, "INVALID_VALUE", field->name, text, NULL);
            return false;
        }
        vec_add(vec, text); /* a list, in truth: error_info may repeat itself */
    }
    return true;
}

static bool map_parse(const Field *field, json_t *value, Vec **vec, GError **error)
{
    const char *key;
    json_t *item;
    json_object_foreach (value, key, item) {
        g_autofree char *text = element_parse(field->element, item);
        if (text == NULL) {
            sim_error(error, "FIELD_TYPE_ERROR", field->name, NULL);
            return false;
        }
        vec_add(vec, key);
        vec_add(vec, text);
    }
    return true;
}

static bool parse_float(json_t *value, double *out)
{
    const char *text = json_string_value(value);
    char *end;
    if (json_is_number(value)) {
        *out = json_number_value(value);
        return true;
    }
    if (text == NULL)
        return false;
    *out = g_ascii_strtod(text, &end);
    return end != text && *end == '\0';
}

static bool vec_put_json(Obj *obj, guint i, json_t *value, GError **error)
{
    const Field *field = &obj->table->cls->fields[i];
    Vec *vec = NULL;
    bool set = field->kind == SLOT_SET;
    bool ok = set ? set_parse(field, value, &vec, error) : map_parse(field, value, &vec, error);
    if (!ok || vec_equal(vec, obj->slots[i].vec)) {
        vec_unref(vec);
        return ok;
    }
    vec_unref(obj->slots[i].vec);
    obj->slots[i].vec = vec;
    obj_touch(obj);
    return true;
}

static bool text_put_json(Obj *obj, const Field *field, json_t *value, GError **error)
{
    const char *text = json_string_value(value);
    if (field->is_ref && *text == '\0')
        text = REF_NULL;
    if (field->values != NULL && !enum_has(field->values, text)) {
        sim_error(error, "INVALID_VALUE", field->name, text, NULL);
        return false;
    }
    obj_put_str(obj, field->name, text);
    return true;
}

bool obj_put_json(Obj *obj, const char *name, json_t *value, GError **error)
{
    gint i = class_field(obj->table->cls, name);
    g_assert(i >= 0);
    const Field *field = &obj->table->cls->fields[i];
    gint64 number;
    double real;

    if (field->kind == SLOT_TEXT && json_is_string(value))
        return text_put_json(obj, field, value, error);
    if ((field->kind == SLOT_SET && json_is_array(value)) ||
        (field->kind == SLOT_MAP && json_is_object(value)))
        return vec_put_json(obj, (guint) i, value, error);
    if (field->kind == SLOT_BOOL && json_is_boolean(value))
        obj_put_bool(obj, name, json_is_true(value));
    else if (field->kind == SLOT_FLOAT && parse_float(value, &real))
        obj_put_float(obj, name, real);
    else if (field->is_date && json_is_string(value))
        obj_put_int(obj, name, sim_parse_date(json_string_value(value)));
    else if (field->kind == SLOT_INT && parse_int(value, &number))
        obj_put_int(obj, name, number);
    else {
        sim_error(error, "FIELD_TYPE_ERROR", name, NULL);
        return false;
    }
    return true;
}

/* --- Dates and errors --- */

char *sim_format_date(gint64 unix_s)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(unix_s);
    return date == NULL ? g_strdup("19700101T00:00:00Z")
                        : g_date_time_format(date, "%Y%m%dT%H:%M:%SZ");
}

gint64 sim_parse_date(const char *text)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) date = g_date_time_new_from_iso8601(text, utc);
    return date == NULL ? 0 : g_date_time_to_unix(date);
}

void sim_error(GError **error, const char *code, ...)
{
    g_autoptr(GPtrArray) detail = g_ptr_array_new();
    g_autoptr(GString) words = g_string_new(code);
    va_list list;
    g_ptr_array_add(detail, (gpointer) code);
    va_start(list, code);
    for (const char *at; (at = va_arg(list, const char *)) != NULL;) {
        g_ptr_array_add(detail, (gpointer) at);
        g_string_append_printf(words, "%s%s", detail->len == 2 ? ": " : ", ", at);
    }
    va_end(list);
    g_ptr_array_add(detail, NULL);
    err_set_detail(error, ERR_XAPI, (const char *const *) detail->pdata, "%s", words->str);
}
