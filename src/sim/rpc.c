/* A POST of the API: its call parsed, dispatched, and answered in the spelling it came in.
 *
 * Failures of the API are answers with status 200; only what is no call at all gives a 500. */
#include "sim/rpc.h"

#include "sim/inner.h"

#include <string.h>

enum { MAX_BODY = 300 * 1024 };

bool rpc_parse_json(const char *text, gsize n, RpcCall *call)
{
    json_t *root = json_loadb(text, n, 0, NULL);
    json_t *method = json_object_get(root, "method"), *params = json_object_get(root, "params");
    json_t *id = json_object_get(root, "id");
    *call = (RpcCall){ 0 };
    bool ok = json_is_string(method) && (params == NULL || json_is_array(params)) &&
              (json_is_integer(id) || json_is_string(id));
    if (ok) {
        call->method = g_strdup(json_string_value(method));
        call->params = params == NULL ? json_array() : json_incref(params);
        call->id = json_incref(id);
        call->v2 = json_object_get(root, "jsonrpc") != NULL;
    }
    json_decref(root);
    return ok;
}

static void id_append(GString *out, json_t *id)
{
    g_autofree char *text = json_dumps(id, JSON_ENCODE_ANY);
    g_string_append_printf(out, ",\"id\":%s}", text);
}

static GString *answer_json(Sim *sim, guint host, HttpRequest *request, const RpcCall *call)
{
    g_autoptr(GError) error = NULL;
    Wire *wire = wire_new(false);
    GString *out = wire_text(wire);
    g_string_append(out, call->v2 ? "{\"jsonrpc\":\"2.0\",\"result\":" : "{\"result\":");
    if (call_dispatch(sim, host, request, call->method, call->params, wire, &error)) {
        if (!call->v2)
            g_string_append(out, ",\"error\":null");
    } else {
        json_t *failure = call_failure(error), *code = json_incref(json_array_get(failure, 0));
        wire_reset(wire, 0);
        g_string_append(out, call->v2 ? "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":"
                                      : "{\"result\":null,\"error\":");
        if (call->v2) {
            wire_json(wire, code);
            json_array_remove(failure, 0);
            g_string_append(out, ",\"data\":");
        }
        wire_json(wire, failure);
        g_string_append(out, call->v2 ? "}" : "");
        json_decref(failure);
        json_decref(code);
    }
    id_append(out, call->id);
    return wire_finish(wire);
}

static const char xml_head[] = "<?xml version=\"1.0\"?><methodResponse><params><param>";
static const char xml_tail[] = "</param></params></methodResponse>";
static const char xml_success[] = "<value><struct><member><name>Status</name><value>Success</value>"
                                  "</member><member><name>Value</name>";
static const char xml_failure[] = "<value><struct><member><name>Status</name><value>Failure</value>"
                                  "</member><member><name>ErrorDescription</name>";
static const char xml_end[] = "</member></struct></value>";

static GString *answer_xml(Sim *sim, guint host, HttpRequest *request, const RpcCall *call)
{
    g_autoptr(GError) error = NULL;
    Wire *wire = wire_new(true);
    GString *out = wire_text(wire);
    /* The one result that comes without its envelope. */
    bool bare = strcmp(call->method, "system.listMethods") == 0;
    g_string_append(out, xml_head);
    g_string_append(out, bare ? "" : xml_success);
    if (call_dispatch(sim, host, request, call->method, call->params, wire, &error)) {
        g_string_append(out, bare ? "" : xml_end);
    } else {
        json_t *failure = call_failure(error);
        wire_reset(wire, strlen(xml_head));
        g_string_append(out, xml_failure);
        wire_json(wire, failure);
        g_string_append(out, xml_end);
        json_decref(failure);
    }
    g_string_append(out, xml_tail);
    return wire_finish(wire);
}

static void refuse(HttpRequest *request, const char *why)
{
    g_autofree char *page = g_strdup_printf("<html><body><h1>HTTP 500 internal server error</h1>"
                                            "<p>%s</p></body></html>",
                                            why);
    http_reply_close(request);
    http_reply_text(request, 500, "text/html", page);
}

void rpc_serve(Sim *sim, guint host, HttpRequest *request)
{
    bool json = g_str_has_prefix(http_path(request), "/jsonrpc");
    RpcCall call;
    if (http_body_bytes(request) < 0) {
        refuse(request, "Content-Length is required");
        return;
    }
    g_autoptr(GBytes) body = http_read_all(request, MAX_BODY, NULL);
    gsize n = 0;
    const char *text = body == NULL ? NULL : g_bytes_get_data(body, &n);
    if (text == NULL || !(json ? rpc_parse_json(text, n, &call) : rpc_parse_xml(text, n, &call))) {
        refuse(request, "the body is not a call");
        return;
    }
    g_autoptr(GString) answer = json ? answer_json(sim, host, request, &call)
                                     : answer_xml(sim, host, request, &call);
    rpc_call_clear(&call);
    http_reply_header(request, "access-control-allow-origin", "*");
    http_reply_header(request, "access-control-allow-headers", "X-Requested-With");
    http_reply_header(request, "cache-control", "no-cache, no-store");
    http_reply(request, 200, json ? "application/json" : "text/xml", answer->str, answer->len);
}
