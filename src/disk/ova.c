/* Read by GMarkup: no entities of its own, no network. A <value> is a frame on a stack. */
#include "disk/ova.h"

#include "base/error.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct {
    json_t *value; /* of an array or a struct; NULL: a scalar so far */
    char type[20]; /* of the scalar */
    char *name;    /* of the present member */
} Frame;

typedef struct {
    GString *text;
    Frame frames[MAX_DEPTH];
    guint depth;
    json_t *result;
} Reader;

static void refuse(GError **error, const char *what, const char *element)
{
    err_set(error, ERR_CORRUPT, "ova.xml is damaged: %s at <%s>", what, element);
}

static Frame *top(Reader *reader)
{
    return reader->depth ? &reader->frames[reader->depth - 1] : NULL;
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names,
                     const char **values, gpointer user, GError **error)
{
    Reader *reader = user;
    Frame *frame = top(reader);
    g_string_truncate(reader->text, 0);
    if (strcmp(element, "value") == 0) {
        if (reader->result || (frame && !frame->value))
            refuse(error, "a value where none belongs", element);
        else if (reader->depth == MAX_DEPTH)
            refuse(error, "values too deep", element);
        else
            reader->frames[reader->depth++] = (Frame){ 0 };
    } else if (!frame) {
        refuse(error, "no value", element);
    } else if (!frame->value && strcmp(element, "array") == 0) {
        frame->value = json_array();
    } else if (!frame->value && strcmp(element, "struct") == 0) {
        frame->value = json_object();
    } else if (!frame->value) {
        g_strlcpy(frame->type, element, sizeof frame->type);
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize n, gpointer user,
                    GError **error)
{
    g_string_append_len(((Reader *) user)->text, text, (gssize) n);
}

static json_t *scalar(const char *type, const char *text)
{
    gint64 number;
    if (strcmp(type, "boolean") == 0)
        return json_boolean(strcmp(text, "1") == 0 || strcmp(text, "true") == 0);
    if (strcmp(type, "double") == 0)
        return json_real(g_ascii_strtod(text, NULL));
    if (strcmp(type, "int") == 0 || strcmp(type, "i4") == 0 || strcmp(type, "i8") == 0)
        return g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL)
                   ? json_integer(number)
                   : NULL;
    return json_string(text);
}

/* The value is complete: into the container around it. */
static bool close_value(Reader *reader)
{
    Frame *frame = &reader->frames[--reader->depth];
    json_t *value = frame->value ? frame->value : scalar(frame->type, reader->text->str);
    g_clear_pointer(&frame->name, g_free);
    frame->value = NULL;
    Frame *outer = top(reader);
    if (!value)
        return false;
    if (!outer) {
        reader->result = value;
        return true;
    }
    if (json_is_array(outer->value))
        return json_array_append_new(outer->value, value) == 0;
    if (outer->name)
        return json_object_set_new(outer->value, outer->name, value) == 0;
    json_decref(value);
    return false;
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer user, GError **error)
{
    Reader *reader = user;
    Frame *frame = top(reader);
    if (strcmp(element, "name") == 0 && frame) {
        g_free(frame->name);
        frame->name = g_strdup(reader->text->str);
    } else if (strcmp(element, "value") == 0) {
        if (!close_value(reader))
            refuse(error, "a value that is none", element);
        g_string_truncate(reader->text, 0);
    }
}

static void reader_clear(Reader *reader)
{
    g_string_free(reader->text, TRUE);
    while (reader->depth > 0) {
        Frame *frame = &reader->frames[--reader->depth];
        g_free(frame->name);
        json_decref(frame->value);
    }
}

/* Every object is {class, id, snapshot}. */
static bool check(json_t *ova, GError **error)
{
    size_t i;
    json_t *object;
    if (!json_is_object(json_object_get(ova, "version")) ||
        !json_is_array(json_object_get(ova, "objects"))) {
        err_set(error, ERR_CORRUPT, "ova.xml has no version or no objects");
        return false;
    }
    json_array_foreach (json_object_get(ova, "objects"), i, object)
        if (!*ova_text(object, "class") || !*ova_text(object, "id") ||
            !json_is_object(json_object_get(object, "snapshot"))) {
            err_set(error, ERR_CORRUPT, "object %zu of ova.xml has no class, id or snapshot", i);
            return false;
        }
    return true;
}

json_t *ova_parse(const char *text, gsize n, GError **error)
{
    static const GMarkupParser parser = { .start_element = on_start,
                                          .end_element = on_end,
                                          .text = on_text };
    g_autoptr(GError) cause = NULL;
    Reader reader = { .text = g_string_new(NULL) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &reader, NULL);
    bool ok = g_markup_parse_context_parse(context, text, (gssize) n, &cause) &&
              g_markup_parse_context_end_parse(context, &cause);
    g_markup_parse_context_free(context);
    reader_clear(&reader);
    if (cause && cause->domain == ERR)
        g_propagate_error(error, g_steal_pointer(&cause));
    else if (!ok)
        err_set(error, ERR_CORRUPT, "ova.xml is no XML: %s", cause ? cause->message : "");
    if (ok && check(reader.result, error))
        return reader.result;
    json_decref(reader.result);
    return NULL;
}

json_t *ova_find(json_t *ova, const char *id, const char **cls)
{
    size_t i;
    json_t *object;
    json_array_foreach (json_object_get(ova, "objects"), i, object) {
        if (strcmp(ova_text(object, "id"), id) != 0)
            continue;
        if (cls)
            *cls = ova_text(object, "class");
        return json_object_get(object, "snapshot");
    }
    return NULL;
}

const char *ova_text(json_t *record, const char *name)
{
    const char *text = json_string_value(json_object_get(record, name));
    return text ? text : "";
}

gint64 ova_number(json_t *record, const char *name)
{
    json_t *value = json_object_get(record, name);
    gint64 number;
    if (json_is_integer(value))
        return json_integer_value(value);
    return json_is_string(value) && g_ascii_string_to_signed(json_string_value(value), 10, 0,
                                                             G_MAXINT64, &number, NULL)
               ? number
               : -1;
}
