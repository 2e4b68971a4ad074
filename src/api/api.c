/* Routes of the HTTP server, and the threads that calls run in. */
#include "api/api.h"
#include "api/caller.h"
#include "api/connection.h"
#include "api/consoles.h"
#include "api/rest.h"
#include "api/rest_people.h"
#include "base/log.h"
#include "base/mutant.h"

struct Api {
    ApiParts parts;
    Dispatch dispatch;
    Rest *rest;
    Consoles *consoles;
};

Api *api_new(const ApiParts *parts)
{
    Api *api = g_new0(Api, 1);
    api->parts = *parts;
    api->dispatch.parts = &api->parts;
    caller_install(&api->parts);
    api->dispatch.quick = g_thread_pool_new(connection_work, NULL, API_QUICK_THREADS, FALSE, NULL);
    api->dispatch.door = g_thread_pool_new(connection_work, NULL, API_DOOR_THREADS, FALSE, NULL);
    api->dispatch.slow = g_thread_pool_new(connection_work, NULL, API_LONG_THREADS, FALSE, NULL);
    api->rest = rest_new(&api->parts);
    api->consoles = consoles_new(&api->parts);
    return api;
}

void api_free(Api *api)
{
    g_thread_pool_free(api->dispatch.door, FALSE, TRUE);
    g_thread_pool_free(api->dispatch.quick, FALSE, TRUE);
    g_thread_pool_free(api->dispatch.slow, FALSE, TRUE);
    rest_free(api->rest);
    consoles_free(api->consoles);
    g_free(api);
}

static void health(HttpRequest *request, Api *api)
{
    http_reply_text(request, 200, "application/json", "{\"status\":\"ok\"}\n");
}

static void socket(HttpRequest *request, Api *api)
{
    if (!http_origin_is_ours(request) &&
        !MUTANT(api_foreign_pages)) { /* mutant: system:test_hostile_http.Doors.test_origin */
        log_warning("api", "refused %s: a page of %s opens a WebSocket", http_peer(request),
                    http_header(request, "origin"));
        http_reply_text(request, 403, "text/plain", "Pages of other origins may not do this.\n");
        return;
    }
    if (ws_is_upgrade(request)) {
        connection_accept(request, &api->dispatch);
        return;
    }
    http_reply_header(request, "Upgrade", "websocket");
    http_reply_text(request, 426, "text/plain", "This is the address of the WebSocket API.\n");
}

static void login(HttpRequest *request, Api *api)
{
    rest_login(request, &api->parts);
}

static const struct {
    const char *path;
    void (*serve)(HttpRequest *request, Api *api);
} routes[] = {
    { "/healthz", health },
    { "/api/", socket },
    { "/auth/login", login },
};

/* A browser is to take answers for what they say they are, show them in no foreign frame, and tell
 * nobody the addresses, some of which are secrets. No Strict-Transport-Security (RFC 6797): it
 * binds the whole host, also what others serve there without TLS, and closes the door when a
 * certificate has run out; nothing of ours is served without TLS anyway. */
static void add_headers(HttpRequest *request)
{
    http_reply_header(request, "X-Content-Type-Options", "nosniff");
    http_reply_header(request, "X-Frame-Options", "SAMEORIGIN");
    http_reply_header(request, "Referrer-Policy", "same-origin");
    http_reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
}

void api_handle(HttpRequest *request, void *user)
{
    Api *api = user;
    add_headers(request);
    for (unsigned i = 0; i < G_N_ELEMENTS(routes); i++) {
        if (g_str_equal(http_path(request), routes[i].path)) {
            routes[i].serve(request, api);
            return;
        }
    }
    if (!consoles_handle(api->consoles, request) && !rest_handle(api->rest, request) &&
        !downloads_handle(api->parts.downloads, request))
        http_reply_text(request, 404, "text/plain", "Not Found\n");
}
