/* The door of the REST API: finds the route, asks who is there, and runs it. */
#include "api/rest.h"
#include "api/audit.h"
#include "api/call.h"
#include "api/rest_call.h"
#include "api/rest_collection.h"
#include "api/rest_tasks.h"
#include "api/rest_transfer.h"
#include "api/rest_events.h"
#include "api/rest_host.h"
#include "api/rest_pool.h"
#include "api/rest_openapi.h"
#include "api/rest_people.h"
#include "api/rest_request.h"
#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

/* --- What every route can use --- */

const char *rest_arg(const RestRequest *request, const char *name)
{
    return json_string_value(json_object_get(request->args, name));
}

bool rest_flag(const RestRequest *request, const char *name)
{
    const char *value = http_query(request->http, name);
    return value && !g_str_equal(value, "false");
}

json_t *rest_body(RestRequest *request, GError **error)
{
    g_autoptr(GBytes) body = http_read_all(request->http, REST_MAX_BODY_BYTES, error);
    gsize n = 0;
    const char *text = body ? g_bytes_get_data(body, &n) : NULL;
    if (!body)
        return NULL;
    if (n == 0)
        return json_object();
    json_error_t problem;
    json_t *json = json_loadb(text, n, 0, &problem);
    if (json_is_object(json))
        return json;
    err_set(error, ERR_INVALID, "the body is not a JSON object%s%s", json ? "" : ": ",
            json ? "" : problem.text);
    json_decref(json);
    return NULL;
}

void rest_reply(RestRequest *request, int status, json_t *value)
{
    g_autofree char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    http_reply_text(request->http, status, "application/json; charset=utf-8", text ? text : "null");
}

void rest_reply_nothing(RestRequest *request)
{
    http_reply(request->http, 204, NULL, NULL, 0);
}

void rest_redirect(RestRequest *request, int status, const char *path)
{
    http_reply_header(request->http, "Location", path);
    g_autofree char *text = g_strdup_printf("Redirecting to %s", path);
    http_reply_text(request->http, status, "text/plain; charset=utf-8", text);
}

json_t *rest_call(RestRequest *request, const char *method, json_t *params, GError **error)
{
    static const CallTerms usual = { NULL, NULL };
    return rest_call_on(request, method, params, &usual, error);
}

json_t *rest_call_on(RestRequest *request, const char *method, json_t *params,
                     const CallTerms *terms, GError **error)
{
    g_auto(ApiResult) result = { NULL, NULL };
    if (!call_run_on(request->parts, request->session, method, params, terms, &result, error))
        return NULL;
    g_autoptr(GBytes) text = result.text ? rope_flat(result.text) : NULL;
    if (text)
        return json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text),
                          JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    return result.value ? g_steal_pointer(&result.value) : json_null();
}

/* --- Routes without anything behind them --- */

static void ping(RestRequest *request)
{
    rest_reply(request, 200,
               json_pack("{s:s, s:I}", "result", "pong", "timestamp",
                         (json_int_t) (g_get_real_time() / 1000)));
}

/* No interface is served yet. */
static void gui_routes(RestRequest *request)
{
    rest_reply(request, 200, json_object());
}

/* There is no such service for language models here. */
static void mcp_status(RestRequest *request)
{
    rest_reply(request, 200, json_pack("{s:b}", "enabled", 0));
}

static const RestRoute door_routes[] = {
    { "GET", "ping", ping, .is_public = true, .summary = "Whether the server is there.",
      .example = "" },
    { "GET", "gui-routes", gui_routes, .is_public = true,
      .summary = "Where the web interfaces are.", .example = "" },
    { "GET", "mcp/status", mcp_status, .is_public = true,
      .summary = "Whether language models may work with the server: they may not.", .example = "" },
    { NULL },
};

/* --- Requests --- */

/* Calls of methods are told by the methods. What else changes something, and what carries whole
 * disks and machines away, is told here. */
static bool is_told(const RestRoute *route)
{
    bool carries = strstr(route->path, "}.") != NULL;
    return route->shape != REST_CALLS && !route->untold &&
           (carries || !g_str_equal(route->verb, "GET"));
}

static void tell(RestRequest *request, gint64 start_us)
{
    const RestRoute *route = request->route;
    g_autofree char *name = g_strdup_printf("%s " REST_BASE "/%s", route->verb, route->path);
    const Method method = { .name = name };
    audit_call(request->parts, &method, request->user, request->session, request->args, NULL,
               request->failure, (g_get_monotonic_time() - start_us) / 1000);
}

/* Refuses who asks too often; `user` NULL: by the address. */
static bool in_pace(RestRequest *request, const char *user)
{
    Pace *pace = request->parts->pace;
    g_autoptr(GError) error = NULL;
    if (!pace || pace_take(pace, user, user ? NULL : http_peer(request->http), NULL,
                           g_get_monotonic_time(), &error))
        return true;
    g_autofree char *seconds = g_strdup_printf("%u", pace_retry_s(error));
    http_reply_header(request->http, "Retry-After", seconds);
    rest_refuse(request, 429, error->message, json_incref(api_error_data(error)));
    return false;
}

static void serve(RestRequest *request)
{
    gint64 start_us = g_get_monotonic_time();
    bool may = in_pace(request, NULL) && (request->route->is_public || rest_sign_in(request));
    const char *user = json_string_value(json_object_get(request->user, "id"));
    if (may && (!user || in_pace(request, user))) {
        request->route->run(request);
        if (is_told(request->route) &&
            !MUTANT(rest_untold)) /* mutant: system:test_audit.Rest.test_files */
            tell(request, start_us);
    }
    g_clear_error(&request->failure);
    json_decref(request->args);
    json_decref(request->user);
    g_clear_pointer(&request->viewer, viewer_free);
    g_clear_pointer(&request->grants, grants_free);
    g_clear_pointer(&request->session, session_unref);
}

/* There is no such route, or not with this verb. */
static void serve_none(RestRequest *request, const char *verb, const char *allowed)
{
    bool asks = allowed && g_str_equal(verb, "OPTIONS");
    if (allowed) {
        bool reads = g_str_has_prefix(allowed, "GET") || strstr(allowed, ", GET");
        g_autofree char *all = g_strdup_printf("%s%s, OPTIONS", allowed, reads ? ", HEAD" : "");
        http_reply_header(request->http, "Allow", all);
    }
    g_autofree char *text = g_strdup_printf("no such route: %s %s", verb, http_path(request->http));
    if (asks)
        rest_reply_nothing(request);
    else
        rest_refuse(request, allowed ? 405 : 404, text, NULL);
}

/* What follows REST_BASE in a path, without the slashes around it; NULL when it is another path.
 * "/v5/rest" is the same place for an interface below /v5. */
static char *path_below(const char *path)
{
    if (g_str_has_prefix(path, "/v5" REST_BASE))
        path += 3;
    if (!g_str_has_prefix(path, REST_BASE))
        return NULL;
    const char *rest = path + strlen(REST_BASE);
    if (*rest && *rest != '/')
        return NULL;
    char *below = g_strdup(*rest ? rest + 1 : rest);
    size_t n = strlen(below);
    if (n && below[n - 1] == '/')
        below[n - 1] = 0;
    return below;
}

bool rest_handle(Rest *rest, HttpRequest *http)
{
    g_autofree char *path = path_below(http_path(http));
    if (!path)
        return false;
    RestRequest request = { .rest = rest, .parts = rest->parts, .http = http };
    const char *verb = http_method(http);
    g_autofree char *allowed = NULL;
    request.route = rest_router_find(rest->router, g_str_equal(verb, "HEAD") ? "GET" : verb, path,
                                     &request.args, &allowed);
    if (!*path)
        rest_redirect(&request, 302, REST_BASE "/docs");
    else if (request.route)
        serve(&request);
    else
        serve_none(&request, verb, allowed);
    g_clear_error(&request.failure);
    return true;
}

RestRouter *rest_routes_new(void)
{
    RestRouter *router = rest_router_new();
    rest_router_add_table(router, door_routes);
    rest_router_add_table(router, rest_openapi_routes);
    rest_router_add_table(router, rest_task_routes);
    rest_router_add_table(router, rest_event_routes);
    rest_router_add_table(router, rest_dashboard_routes);
    rest_router_add_table(router, rest_host_routes);
    rest_router_add_table(router, rest_machine_routes);
    rest_router_add_table(router, rest_pool_routes);
    rest_router_add_table(router, rest_transfer_routes);
    rest_router_add_table(router, rest_people_routes);
    rest_collections_add(router);
    rest_calls_add(router);
    return router;
}

json_t *rest_describe(void)
{
    RestRouter *router = rest_routes_new();
    json_t *document = rest_openapi(router);
    rest_router_free(router);
    return document;
}

Rest *rest_new(const ApiParts *parts)
{
    Rest *rest = g_new0(Rest, 1);
    rest->parts = parts;
    rest->actions = rest_actions_new(rest);
    rest->feeds = rest_feeds_new(parts);
    rest->router = rest_routes_new();
    return rest;
}

void rest_free(Rest *rest)
{
    rest_feeds_free(rest->feeds);
    g_thread_pool_free(rest->actions, FALSE, TRUE);
    rest_router_free(rest->router);
    g_free(rest);
}
