/* The API's door: one HTTP handler for the WebSocket at /api/, the one-time downloads below it,
 * REST below /rest, and /healthz.
 *
 * Calls of a socket run at the same time in bounded pools of threads and are answered as they end;
 * those that may take minutes have a pool of their own. */
#pragma once

#include "api/parts.h"
#include "http/server.h"

typedef struct Api Api;

enum {
    API_QUICK_THREADS = 32,
    API_LONG_THREADS = 256,
    API_DOOR_THREADS = 8,
    API_MAX_CALLS = 256, /* in flight on one socket */
    API_MAX_CALLS_BEFORE_SIGN_IN = 16,
    API_MESSAGE_BYTES_BEFORE_SIGN_IN = 64 * 1024,
    API_MESSAGE_BYTES = 16 * 1024 * 1024,
    API_QUEUED_BYTES = 256 * 1024 * 1024,
};

/* The parts are copied, what they point at must outlive it. */
Api *api_new(const ApiParts *parts);
/* Waits for the calls that are going on; the HTTP server must have stopped. */
void api_free(Api *api);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Api, api_free)

/* An HttpHandler; `user` is the Api. */
void api_handle(HttpRequest *request, void *user);
