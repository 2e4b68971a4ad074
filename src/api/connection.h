/* A client's WebSocket: its session and its calls in flight. */
#pragma once

#include "api/call.h"
#include "http/websocket.h"

/* Where calls run. */
typedef struct {
    const ApiParts *parts;
    GThreadPool *quick, *slow; /* of connection_work */
    GThreadPool *door;         /* for those who have not signed in: they cannot hold up others */
} Dispatch;

/* The function of both thread pools; `data` is what this module pushed. */
void connection_work(void *data, void *user);
/* Accepts the upgrade at /api/ and serves it. The dispatch must outlive the connection. */
void connection_accept(HttpRequest *request, const Dispatch *dispatch);
