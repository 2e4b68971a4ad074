/* HTTP(S) requests by libcurl, blocking. One easy handle per thread inside; DNS and TLS sessions
 * are shared. */
#pragma once

#include "base/cancel.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef enum {
    HTTP_TRUST_SYSTEM,      /* chain and name verified */
    HTTP_TRUST_ANY,         /* encrypted, unverified */
    HTTP_TRUST_FINGERPRINT, /* only a certificate with this SHA-256 */
} HttpTrust;

/* The body as it arrives; false stops the transfer and sets an error. */
typedef bool (*HttpSink)(const void *data, size_t n, void *user, GError **error);
/* Where the next bytes of the body should go, and how many may; NULL: anywhere. */
typedef void *(*HttpRoom)(size_t *n, void *user);
/* The next bytes to send: up to n; 0 at the end; -1 with an error. */
typedef ssize_t (*HttpSource)(void *data, size_t n, void *user, GError **error);
/* Each answer header line, name lower-cased; before them the status as ":status", "200", so that a
 * sink knows what it is given. */
typedef void (*HttpHeaderSeen)(const char *name, const char *value, void *user);

typedef struct {
    const char *method; /* NULL: GET */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated, or NULL */
    HttpTrust trust;
    const char *fingerprint; /* hex, colons allowed */
    const char *proxy;       /* "http://host:port", NULL: none; the environment is not consulted */
    const void *body;        /* a body in memory … */
    size_t body_bytes;
    HttpSource source;   /* … or streamed */
    gint64 source_bytes; /* -1: unknown, sent chunked */
    /* The source may end before source_bytes: the connection is cut there, and that is a success
     * (how XAPI takes imports of unknown length). The status is that of the early answer, else 200.
     */
    bool cut_at_end;
    /* On a new connection: libcurl sends a request again, whatever its method, when a connection
     * that it used before breaks without an answer. For what must not happen twice. */
    bool once;
    /* A long answer to a GET, on a connection of its own and with less work for each byte. Without
     * a proxy; total_timeout_ms is that of the connecting. With `room` the sink is given that
     * place, or another. */
    bool straight;
    HttpRoom room;
    HttpSink sink;
    HttpHeaderSeen header_seen;
    void *user;                                                      /* of the callbacks */
    unsigned connect_timeout_ms, stall_timeout_ms, total_timeout_ms; /* 0: 20 s, 300 s, none */
    Cancel *cancel; /* ends the transfer within a second */
} HttpCall;

/* The status (any HTTP status is a success here), or 0 with an error: NETWORK, TLS, TIMEOUT,
 * CANCELLED, TRUNCATED (the answer broke off), or the sink's or source's. Redirections are not
 * followed. Messages name the host and the cause, never the path or the query. */
int http_call(const HttpCall *call, GError **error);
/* http_call with the body collected, at most max bytes (LIMIT beyond), with a NUL after it. */
int http_fetch(const HttpCall *call, size_t max, GBytes **body, GError **error);

/* SHA-256 of the certificate that the server at "host:port" presents, lower-case hex with colons;
 * for the person who is asked to confirm it. */
char *http_fingerprint(const char *host_port, GError **error);
