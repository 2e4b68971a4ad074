/* An HTTP/1.1 server for hostile clients: requests are blocking code in a pool of threads.
 *
 * One epoll loop owns idle connections and WebSockets; a request, with its body, is handed to a
 * pool thread that calls the handler, which reads the body and writes the answer by blocking calls,
 * so that back-pressure is natural. The parser is strict (RFC 9112): duplicate Host or
 * Content-Length, both lengths, bare LF, folding, NUL, unknown codings are refused with 400.
 * Requests 1.0 and 1.1; keep-alive unless either side says otherwise. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct HttpServer HttpServer;
typedef struct HttpRequest HttpRequest;

/* Called in a pool thread; may block for minutes (a long poll asks http_client_left now and then).
 * Must answer by http_reply, http_reply_begin..end, http_take_over or
 * ws_accept (websocket.h); a handler that returns without an answer gives 500. */
typedef void (*HttpHandler)(HttpRequest *request, void *user);

typedef struct {
    HttpHandler handler; /* every request */
    void *user;
    const char *cert_file, *key_file; /* PEM; both NULL: plain HTTP only */
    unsigned max_threads;             /* 0: 256; started on demand, idle ones exit */
    unsigned max_connections;         /* 0: 4096 */
    unsigned max_per_address;         /* 0: 1024; connections of one peer, loopback is exempt */
    size_t max_header_bytes;          /* 0: 32 KiB */
    guint64 max_body_bytes;           /* 0: unlimited (bodies are streamed, never buffered) */
    unsigned header_timeout_ms, idle_timeout_ms, send_timeout_ms; /* 0: 10 s, 120 s, 60 s */
    /* How long a body may keep its handler waiting, all pauses together, beside what it takes at
     * HTTP_MIN_BODY_RATE; and the whole of one that nobody reads. 0: 60 s */
    unsigned body_timeout_ms;
    bool websocket_deflate; /* messages are compressed when the client offers it (deflate.h) */
    bool limit_loopback;    /* max_per_address is for loopback too */
    /* Networks ("10.0.0.0/8") of proxies whose X-Forwarded-For and -Host are believed;
     * NULL: none. They are exempt from max_per_address. */
    const char *const *trusted_proxies;
    /* Origins besides our own whose pages may open WebSockets; NULL: none. */
    const char *const *allowed_origins;
} HttpServerConfig;

/* Bytes a second. */
enum { HTTP_MIN_BODY_RATE = 256 };

/* The config is copied. Fails on unreadable certificates and on proxies that are no networks. */
HttpServer *http_server_new(const HttpServerConfig *config, GError **error);
/* Adds a listener "127.0.0.1:8080", "[::1]:0" (0: any free port); `tls` needs certificates. Several
 * are allowed. The bound port, or 0 with an error. */
guint16 http_server_listen(HttpServer *server, const char *address, bool tls, GError **error);
/* A listening socket made by someone else (LISTEN_FDS); taken over. */
bool http_server_listen_fd(HttpServer *server, int fd, bool tls, GError **error);
/* Starts the loop and pool threads; returns at once. Ignores SIGPIPE unless it has a handler. */
bool http_server_start(HttpServer *server, GError **error);
/* Reads the certificate files again; connections made from now on see them. */
bool http_server_reload_certificate(HttpServer *server, GError **error);
/* Stops accepting, closes WebSockets with 1012, waits up to `drain_ms` for requests, cuts the rest
 * and waits for their handlers. */
void http_server_stop(HttpServer *server, unsigned drain_ms);
/* Stops when still running, then frees. */
void http_server_free(HttpServer *server);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpServer, http_server_free)

/* --- The request; strings live as long as it does. --- */

const char *http_method(const HttpRequest *request);
/* Percent-decoded path without the query; UTF-8; always starts with '/'; never contains NUL nor a
 * ".." segment. */
const char *http_path(const HttpRequest *request);
/* The raw query text after '?', "" if none. */
const char *http_query_text(const HttpRequest *request);
/* A decoded query parameter, NULL if absent. */
const char *http_query(const HttpRequest *request, const char *name);
/* A header, name case-insensitive, NULL if absent; repeated ones joined by ", ". */
const char *http_header(const HttpRequest *request, const char *name);
/* A cookie of the Cookie header ("a=b; c=d" and the older "a=b&c=d"), NULL if absent. */
const char *http_cookie(const HttpRequest *request, const char *name);
/* "127.0.0.1": the client's address, told by a trusted proxy or the connection's own. */
const char *http_peer(const HttpRequest *request);
/* The host that the client asked for, with the port if it named one; "" when it named none. */
const char *http_host(const HttpRequest *request);
/* No page of a foreign origin has sent this (Origin, RFC 6454). */
bool http_origin_is_ours(const HttpRequest *request);
/* The client has gone, or the server is stopping: a handler that waits for something should give
 * up. Does not block. */
bool http_client_left(HttpRequest *request);
/* Content-Length, or -1 when chunked, 0 when there is no body. */
gint64 http_body_bytes(const HttpRequest *request);

/* Reads body bytes, before or after the answer was begun; 0 at the end, -1 with an error (TRUNCATED
 * when the client left). Sends "100 Continue" first when asked for. Blocks up to the idle deadline.
 */
ssize_t http_read(HttpRequest *request, void *buffer, size_t n, GError **error);
/* The whole body, at most `max` bytes (LIMIT beyond), with a NUL after it. */
GBytes *http_read_all(HttpRequest *request, size_t max, GError **error);

/* --- The answer --- */

/* A header of the answer, before http_reply or http_reply_begin; refuses CR and LF. */
void http_reply_header(HttpRequest *request, const char *name, const char *value);
/* The connection closes after this answer. */
void http_reply_close(HttpRequest *request);
/* The whole answer. `type` NULL: no Content-Type. */
void http_reply(HttpRequest *request, int status, const char *type, const void *body, size_t n);
void http_reply_text(HttpRequest *request, int status, const char *type, const char *text);

enum { HTTP_LENGTH_CHUNKED = -1, HTTP_LENGTH_UNTIL_CLOSE = -2 };
/* A streamed answer of `length` bytes, or one of the above. */
bool http_reply_begin(HttpRequest *request, int status, const char *type, gint64 length,
                      GError **error);
/* Blocks until the bytes are with the kernel, or the send deadline (TIMEOUT), or the client has
 * left. */
bool http_reply_write(HttpRequest *request, const void *data, size_t n, GError **error);
bool http_reply_end(HttpRequest *request, GError **error);

/* Takes the connection out of HTTP (CONNECT, faults, bodies of HTTP/1.0 without a length): raw
 * reads and writes, TLS included, one thread may read while another writes. 0 at the end. The
 * connection closes when the handler returns. */
ssize_t http_raw_read(HttpRequest *request, void *buffer, size_t n, GError **error);
bool http_raw_write(HttpRequest *request, const void *data, size_t n, GError **error);
/* Waits up to timeout_ms for bytes, or the end, that http_raw_read then gives at once. */
bool http_raw_wait(HttpRequest *request, unsigned timeout_ms);
/* Cuts the connection with a reset, as a dying host would. */
void http_abort(HttpRequest *request);
