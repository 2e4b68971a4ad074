/* Reading requests and writing answers; see the header for the rules. */
#include "api/jsonrpc.h"
#include "base/mutant.h"

#include <math.h>
#include <string.h>

enum { DUMP_FLAGS = JSON_COMPACT | JSON_ENCODE_ANY };

static void request_free(void *data)
{
    RpcRequest *request = data;
    json_decref(request->id);
    json_decref(request->params);
    g_free(request->method);
    g_free(request);
}

/* 2.0 names its version; 1.0 does not, and its params are an array. */
static bool is_call(json_t *message)
{
    json_t *version = json_object_get(message, "jsonrpc");
    json_t *params = json_object_get(message, "params");
    if (!json_is_string(json_object_get(message, "method")))
        return false;
    if (!version)
        return json_is_array(params);
    return json_is_string(version) && g_str_equal(json_string_value(version), "2.0") &&
           (!params || json_is_array(params) || json_is_object(params));
}

/* JavaScript has one kind of number: 1e3 comes back as 1000. */
static json_t *id_copy(json_t *id)
{
    double value = json_real_value(id);
    if (json_is_real(id) && value == floor(value) && fabs(value) < 9007199254740992.0)
        return json_integer((json_int_t) value);
    return json_incref(id);
}

static RpcRequest *request_of(json_t *message)
{
    if (!json_is_object(message) || !is_call(message))
        return NULL;
    json_t *id = json_object_get(message, "id");
    if (id && !json_is_number(id) && !json_is_string(id))
        return NULL;
    RpcRequest *request = g_new0(RpcRequest, 1);
    request->id = id ? id_copy(id) : NULL;
    request->method = g_strdup(json_string_value(json_object_get(message, "method")));
    request->params = json_incref(json_object_get(message, "params"));
    return request;
}

static void add(RpcMessage *message, json_t *json)
{
    RpcRequest *request = request_of(json);
    if (request)
        g_ptr_array_add(message->requests, request);
}

/* A whole number beyond 64 bits is a number, as it is to JavaScript: what it is for refuses it. */
static json_t *load(const char *text, size_t n)
{
    json_error_t problem;
    json_t *json = json_loadb(text, n, JSON_ALLOW_NUL, &problem);
    if (json || json_error_code(&problem) != json_error_numeric_overflow ||
        MUTANT(rpc_int64_only)) /* mutant: api_jsonrpc */
        return json;
    return json_loadb(text, n, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}

RpcMessage *rpc_parse(const char *text, size_t n)
{
    json_t *json = load(text, n);
    RpcMessage *message = g_new0(RpcMessage, 1);
    message->requests = g_ptr_array_new_with_free_func(request_free);
    message->is_batch = json_is_array(json);
    if (!message->is_batch)
        add(message, json);
    else if (json_array_size(json) <= RPC_MAX_BATCH)
        for (size_t i = 0; i < json_array_size(json); i++)
            add(message, json_array_get(json, i));
    json_decref(json);
    if (message->requests->len > 0)
        return message;
    rpc_message_free(message);
    return NULL;
}

void rpc_message_free(RpcMessage *message)
{
    g_ptr_array_unref(message->requests);
    g_free(message);
}

/* --- Answers --- */

static GBytes *take_text(GString *text)
{
    size_t n = text->len;
    return g_bytes_new_take(g_string_free(text, FALSE), n);
}

static int append_dump(const char *buffer, size_t n, void *user)
{
    g_string_append_len(user, buffer, (gssize) n);
    return 0;
}

static void append_json(GString *text, json_t *json)
{
    json_dump_callback(json, append_dump, text, DUMP_FLAGS);
}

/* Numbers with a fraction in the shortest form that reads back the same. */
static void append_id(GString *text, json_t *id)
{
    if (!json_is_real(id)) {
        append_json(text, id);
        return;
    }
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];
    double value = json_real_value(id);
    for (int digits = 15; digits <= 17; digits++) {
        char format[8];
        g_snprintf(format, sizeof format, "%%.%dg", digits);
        g_ascii_formatd(buffer, sizeof buffer, format, value);
        if (g_ascii_strtod(buffer, NULL) == value)
            break;
    }
    g_string_append(text, buffer);
}

/* Takes the text over. */
static Rope *rope_of(GString *text)
{
    g_autoptr(GBytes) bytes = take_text(text);
    Rope *rope = rope_new();
    rope_add(rope, bytes);
    return rope;
}

Rope *rpc_result_text(json_t *id, json_t *result, const Rope *raw)
{
    GString *text = g_string_new("{\"id\":");
    append_id(text, id);
    g_string_append(text, ",\"jsonrpc\":\"2.0\",\"result\":");
    if (result && !raw)
        append_json(text, result);
    else if (!raw)
        g_string_append(text,
                        MUTANT(jsonrpc_void_null) ? "null" : "true"); /* mutant: api_jsonrpc */
    Rope *rope = rope_of(text);
    if (raw)
        rope_add_rope(rope, raw);
    rope_add_string(rope, "}");
    return rope;
}

Rope *rpc_error_text(json_t *id, json_t *error)
{
    GString *text = g_string_new("{\"error\":");
    append_json(text, error);
    g_string_append(text, ",\"id\":");
    append_id(text, id);
    g_string_append(text, ",\"jsonrpc\":\"2.0\"}");
    return rope_of(text);
}

Rope *rpc_batch_text(GPtrArray *texts)
{
    Rope *all = rope_new();
    for (unsigned i = 0; i < texts->len; i++) {
        rope_add_string(all, i ? "," : "[");
        rope_add_rope(all, texts->pdata[i]);
    }
    rope_add_string(all, "]");
    return all;
}

GBytes *rpc_notification_text(const char *method, GBytes *params)
{
    GString *text = g_string_sized_new(64 + g_bytes_get_size(params));
    g_string_append_printf(text, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
    g_string_append_len(text, g_bytes_get_data(params, NULL), (gssize) g_bytes_get_size(params));
    g_string_append_c(text, '}');
    return take_text(text);
}
