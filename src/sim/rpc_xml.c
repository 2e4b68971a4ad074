/* XML-RPC calls read by GMarkup. A <value> is a frame on a stack; whatever it holds becomes JSON,
 * dates and base64 as text, an untyped value as text too. */
#include "sim/rpc.h"

#include <string.h>

enum { MAX_DEPTH = 64 };

typedef struct {
    json_t *value; /* of an array or a struct; NULL: a scalar so far */
    char type[20]; /* of the scalar */
    char *name;    /* of the present member */
} Frame;

typedef struct {
    RpcCall *call;
    GString *text;
    Frame frames[MAX_DEPTH];
    guint depth;
} Reader;

static bool reader_fail(GError **error)
{
    g_set_error(error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, "not an XML-RPC call");
    return false;
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names,
                     const char **values, gpointer user, GError **error)
{
    Reader *reader = user;
    Frame *frame = reader->depth == 0 ? NULL : &reader->frames[reader->depth - 1];
    g_string_truncate(reader->text, 0);
    if (strcmp(element, "value") == 0) {
        if (reader->depth == MAX_DEPTH || (frame != NULL && frame->value == NULL)) {
            reader_fail(error);
            return;
        }
        reader->frames[reader->depth++] = (Frame){ 0 };
    } else if (frame != NULL && strcmp(element, "array") == 0 && frame->value == NULL) {
        frame->value = json_array();
    } else if (frame != NULL && strcmp(element, "struct") == 0 && frame->value == NULL) {
        frame->value = json_object();
    } else if (frame != NULL && frame->value == NULL) {
        g_strlcpy(frame->type, element, sizeof frame->type);
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize n, gpointer user,
                    GError **error)
{
    Reader *reader = user;
    g_string_append_len(reader->text, text, (gssize) n);
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

/* The value is complete: into the container around it, or among the parameters. */
static bool value_close(Reader *reader)
{
    Frame *frame = &reader->frames[--reader->depth];
    json_t *value = frame->value != NULL ? frame->value : scalar(frame->type, reader->text->str);
    g_clear_pointer(&frame->name, g_free);
    frame->value = NULL;
    Frame *outer = reader->depth == 0 ? NULL : &reader->frames[reader->depth - 1];
    if (value == NULL)
        return false;
    if (outer == NULL)
        return json_array_append_new(reader->call->params, value) == 0;
    if (json_is_array(outer->value))
        return json_array_append_new(outer->value, value) == 0;
    if (outer->name == NULL) {
        json_decref(value);
        return false;
    }
    return json_object_set_new(outer->value, outer->name, value) == 0;
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer user, GError **error)
{
    Reader *reader = user;
    if (strcmp(element, "methodName") == 0) {
        g_free(reader->call->method);
        reader->call->method = g_strdup(g_strstrip(reader->text->str));
    } else if (strcmp(element, "name") == 0 && reader->depth > 0) {
        Frame *frame = &reader->frames[reader->depth - 1];
        g_free(frame->name);
        frame->name = g_strdup(reader->text->str);
    } else if (strcmp(element, "value") == 0) {
        if (!value_close(reader))
            reader_fail(error);
        g_string_truncate(reader->text, 0);
    }
}

void rpc_call_clear(RpcCall *call)
{
    g_free(call->method);
    json_decref(call->params);
    json_decref(call->id);
    *call = (RpcCall){ 0 };
}

bool rpc_parse_xml(const char *text, gsize n, RpcCall *call)
{
    static const GMarkupParser parser = { .start_element = on_start,
                                          .end_element = on_end,
                                          .text = on_text };
    *call = (RpcCall){ .params = json_array() };
    Reader reader = { .call = call, .text = g_string_new(NULL) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &reader, NULL);
    bool ok = g_markup_parse_context_parse(context, text, (gssize) n, NULL) &&
              g_markup_parse_context_end_parse(context, NULL) && call->method != NULL;
    g_markup_parse_context_free(context);
    g_string_free(reader.text, TRUE);
    while (reader.depth > 0) {
        Frame *frame = &reader.frames[--reader.depth];
        g_free(frame->name);
        json_decref(frame->value);
    }
    if (!ok)
        rpc_call_clear(call);
    return ok;
}
