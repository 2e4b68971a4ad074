/* The two spellings of a call on the wire: XML-RPC and JSON-RPC 1.0 and 2.0. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct {
    char *method;
    json_t *params; /* an array */
    json_t *id;     /* JSON-RPC: number or text */
    bool v2;        /* JSON-RPC 2.0 */
} RpcCall;

void rpc_call_clear(RpcCall *call);
/* False when the text is no call: hostile input, at most 64 levels deep. */
bool rpc_parse_xml(const char *text, gsize n, RpcCall *call);
bool rpc_parse_json(const char *text, gsize n, RpcCall *call);
