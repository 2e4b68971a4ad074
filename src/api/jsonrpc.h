/* JSON-RPC messages as text: what a client sent, what it is answered.
 *
 * Version 2.0, and 1.0 for messages without "jsonrpc" (their params must be an array). Ids are
 * echoed as they came. As in XO, a message that makes no sense (not JSON, another version, no
 * method, a null id) gets no answer at all; a batch, which XO cannot do, is answered by an array.
 * Source: https://www.jsonrpc.org/specification and recorded exchanges with XO. No I/O here. */
#pragma once

#include "base/rope.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum { RPC_MAX_BATCH = 1000 };

typedef struct {
    json_t *id; /* number or string; NULL: a notification, which is not answered */
    char *method;
    json_t *params; /* object, array, or NULL */
} RpcRequest;

typedef struct {
    GPtrArray *requests; /* of RpcRequest; at least one */
    bool is_batch;
} RpcMessage;

/* NULL when there is nothing to do. */
RpcMessage *rpc_parse(const char *text, size_t n);
void rpc_message_free(RpcMessage *message);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RpcMessage, rpc_message_free)

/* {"id", "jsonrpc", "result"}: the result is `raw` JSON text when given, else `result`, NULL being
 * true. */
Rope *rpc_result_text(json_t *id, json_t *result, const Rope *raw);
/* `error`: {code, message[, data]}. */
Rope *rpc_error_text(json_t *id, json_t *error);
/* The array of `texts` (Rope). */
Rope *rpc_batch_text(GPtrArray *texts);
/* {"jsonrpc", "method", "params": raw}. */
GBytes *rpc_notification_text(const char *method, GBytes *params);
