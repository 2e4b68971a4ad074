/* The answer to a call, token by token. The result of an ordinary call is built whole; of
 * get_all_records each member of "result" is a record, of event.from each element of
 * "result.events" is an event: these are built one at a time and handed over. */
#include "xapi/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

enum { SLICE_BYTES = 128 << 10 };

static bool take_token(const JsonToken *token, void *user, GError **error);
static size_t take_record(const char *at, size_t n, unsigned depth, void *user);

void reply_begin(Reply *reply)
{
    JsonStreamConfig config = { .lenient = true, .take_object = reply->taken ? take_record : NULL };
    reply->slice = reply->taken ? g_byte_array_sized_new(SLICE_BYTES) : NULL;
    reply->stream = json_stream_new(&config, take_token, reply);
    reply->build = json_build_new();
}

void reply_clear(Reply *reply)
{
    g_clear_pointer(&reply->stream, json_stream_free);
    g_clear_pointer(&reply->build, json_build_free);
    g_clear_pointer(&reply->slice, g_byte_array_unref);
    g_clear_pointer(&reply->result, json_decref);
    g_clear_pointer(&reply->error, json_decref);
    g_clear_pointer(&reply->member, g_free);
    g_clear_pointer(&reply->key, g_free);
    reply->status = 0;
}

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static void give_event(Reply *reply, json_t *event)
{
    const char *operation = json_text(event, "operation");
    json_t *record = json_object_get(event, "snapshot");
    bool deleted = strcmp(operation, "del") == 0;
    if (deleted || json_is_object(record))
        reply->events->event(json_text(event, "class"), operation, json_text(event, "ref"),
                             deleted ? NULL : json_incref(record), reply->events->user);
    json_decref(event);
}

static void give_ref_counts(Reply *reply, json_t *counts)
{
    const char *cls;
    json_t *n;
    if (reply->events->ref_count)
        json_object_foreach (counts, cls, n)
            reply->events->ref_count(cls, json_integer_value(n), reply->events->user);
    json_decref(counts);
}

/* A value is complete at the depth at which it was begun. */
static void give_value(Reply *reply, json_t *value, unsigned depth)
{
    bool in_result = is(reply->member, "result");
    if (depth == 1 && is(reply->member, "error")) {
        json_decref(reply->error);
        reply->error = value;
    } else if (depth == 1 && in_result) {
        json_decref(reply->result);
        reply->result = value;
    } else if (depth == 2 && in_result && reply->mode == REPLY_RECORDS) {
        reply->seen(reply->cls, reply->key, value, reply->seen_user);
    } else if (depth == 2 && in_result && is(reply->key, "token")) {
        json_decref(reply->result);
        reply->result = value;
    } else if (depth == 2 && in_result && is(reply->key, "valid_ref_counts")) {
        give_ref_counts(reply, value);
    } else if (depth == 3 && in_result && is(reply->key, "events")) {
        give_event(reply, value);
    } else {
        json_decref(value);
    }
}

static void keep_key(Reply *reply, const JsonToken *token)
{
    char **place = token->depth == 1 ? &reply->member : &reply->key;
    g_free(*place);
    *place = g_strndup(token->text, token->n);
}

/* Whether a bracket here is only walked through, not built. */
static bool is_walked(const Reply *reply, const JsonToken *token)
{
    bool object = token->kind == JSON_TOKEN_OBJECT || token->kind == JSON_TOKEN_OBJECT_END;
    bool array = token->kind == JSON_TOKEN_ARRAY || token->kind == JSON_TOKEN_ARRAY_END;
    if (token->depth == 0)
        return object;
    if (reply->mode == REPLY_WHOLE || !is(reply->member, "result"))
        return false;
    if (token->depth == 1)
        return object;
    return token->depth == 2 && array && reply->mode == REPLY_EVENTS && is(reply->key, "events");
}

static bool take_token(const JsonToken *token, void *user, GError **error)
{
    Reply *reply = user;
    json_t *done;
    if (!json_build_is_open(reply->build)) {
        if (is_walked(reply, token))
            return true;
        if (token->kind == JSON_TOKEN_KEY) {
            keep_key(reply, token);
            return true;
        }
    }
    if (!json_build_add(reply->build, token, &done, error))
        return false;
    if (done)
        give_value(reply, done, token->depth);
    return true;
}

/* A record that its taker understands need not be built. */
static size_t take_record(const char *at, size_t n, unsigned depth, void *user)
{
    Reply *reply = user;
    bool is_record = depth == 2 && reply->mode == REPLY_RECORDS && is(reply->member, "result") &&
                     !json_build_is_open(reply->build);
    return is_record ? reply->taken(reply->cls, reply->key, at, n, reply->seen_user) : 0;
}

void reply_header(const char *name, const char *value, void *user)
{
    Reply *reply = user;
    if (strcmp(name, ":status") == 0)
        reply->status = atoi(value);
}

static bool feed_slice(Reply *reply, GError **error)
{
    bool ok = json_stream_feed(reply->stream, reply->slice->data, reply->slice->len, error);
    g_byte_array_set_size(reply->slice, 0);
    return ok;
}

bool reply_sink(const void *data, size_t n, void *user, GError **error)
{
    Reply *reply = user;
    if (reply->status && reply->status != 200)
        return true; /* the page of an error; reply_end names the status */
    if (!reply->slice)
        return json_stream_feed(reply->stream, data, n, error);
    g_byte_array_append(reply->slice, data, (guint) n);
    return reply->slice->len < SLICE_BYTES || feed_slice(reply, error);
}

static bool refused(json_t *error_value, const char *method, GError **error)
{
    if (json_is_array(error_value)) {
        xapi_set_refusal_json(error, method, error_value);
        return true;
    }
    json_t *code = json_object_get(error_value, "message");
    if (!json_is_string(code))
        return false;
    json_t *all = json_array(), *data = json_object_get(error_value, "data"), *param;
    json_array_append(all, code);
    size_t i;
    json_array_foreach (data, i, param)
        json_array_append(all, param);
    xapi_set_refusal_json(error, method, all);
    json_decref(all);
    return true;
}

bool reply_end(Reply *reply, const char *host, const char *method, GError **error)
{
    if (reply->status && reply->status != 200) {
        err_set(error, ERR_PROTOCOL, "%s answered HTTP %d to %s", host, reply->status, method);
        return false;
    }
    if ((reply->slice && !feed_slice(reply, error)) || !json_stream_end(reply->stream, error)) {
        g_prefix_error(error, "%s: the answer of %s: ", method, host);
        return false;
    }
    if (reply->error && refused(reply->error, method, error))
        return false;
    if (!reply->member) {
        err_set(error, ERR_PROTOCOL, "%s: the answer of %s is no JSON-RPC", method, host);
        return false;
    }
    return true;
}
