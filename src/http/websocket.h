/* WebSocket (RFC 6455) over the HTTP server; framing by libwslay.
 *
 * Messages of one socket are delivered one after the other, in order, in pool threads; different
 * sockets run at the same time. Sending never blocks: bytes are queued up to a bound, and a client
 * that does not read beyond it is dropped. */
#pragma once

#include "base/rope.h"
#include "http/server.h"

typedef struct WebSocket WebSocket;

typedef struct {
    /* A whole text message, UTF-8, NUL after it. Called from a pool thread; may block (calls that
     * last should be answered from elsewhere). */
    void (*text)(WebSocket *socket, const char *text, size_t n, void *user);
    /* A whole binary message; NULL: the socket is closed with 1003. */
    void (*binary)(WebSocket *socket, const void *data, size_t n, void *user);
    /* The socket is closed; last call, `user` may be freed. */
    void (*closed)(WebSocket *socket, void *user);
} WebSocketOps;

typedef struct {
    size_t max_message_bytes; /* 0: 16 MiB; 1009 beyond */
    size_t max_queued_bytes;  /* 0: 64 MiB; dropped beyond */
    unsigned ping_ms;         /* 0: 30 s; a socket silent for 3 pings is closed */
    const char *protocol;     /* sub-protocol, agreed on when the client offers it; NULL: none */
} WebSocketLimits;

bool ws_is_upgrade(const HttpRequest *request);
/* Answers the upgrade, from a handler; after success the request must not be used. The socket lives
 * until closed(), which can come once the handler has returned; what is sent before is queued. A
 * handshake that cannot be accepted is answered with 400 or 426 and gives NULL. */
WebSocket *ws_accept(HttpRequest *request, const WebSocketOps *ops, const WebSocketLimits *limits,
                     void *user, GError **error);

/* Thread-safe. The bytes are shared, not copied. False when the socket is closed or over its bound.
 */
bool ws_send_text(WebSocket *socket, GBytes *text);
/* Long texts in pieces: the rope must not change any more. */
bool ws_send_rope(WebSocket *socket, Rope *text);
bool ws_send_string(WebSocket *socket, const char *text);
bool ws_send_binary(WebSocket *socket, GBytes *data);
/* Changes the limit of messages from the client (small before sign-in, larger after). */
void ws_set_max_message(WebSocket *socket, size_t max_message_bytes);
/* Bytes that wait to be sent. */
size_t ws_queued_bytes(WebSocket *socket);
void ws_close(WebSocket *socket, unsigned code, const char *reason);

/* A reference keeps the handle valid after closed(); sends then return false. */
WebSocket *ws_ref(WebSocket *socket);
void ws_unref(WebSocket *socket);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WebSocket, ws_unref)
