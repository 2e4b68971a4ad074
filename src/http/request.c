/* What a handler can ask of its request, and the body. */
#include "http/connection.h"

#include "base/error.h"
#include "base/mutant.h"

#include <poll.h>
#include <string.h>

/* The answer of an accessor; lives as long as the request. */
static const char *keep(const HttpRequest *request, char *text)
{
    if (text)
        g_ptr_array_add(request->strings, text);
    return text;
}

const char *http_method(const HttpRequest *request)
{
    return request->head.method;
}

const char *http_path(const HttpRequest *request)
{
    return request->head.path;
}

const char *http_query_text(const HttpRequest *request)
{
    return request->head.query;
}

const char *http_query(const HttpRequest *request, const char *name)
{
    for (const char *at = request->head.query; *at;) {
        size_t n = strcspn(at, "&");
        const char *equal = memchr(at, '=', n);
        size_t n_name = equal ? (size_t) (equal - at) : n;
        g_autofree char *found = http_percent_decode(at, n_name, true);
        if (found && strcmp(found, name) == 0) {
            const char *value = at + n_name + (equal != NULL);
            return keep(request, http_percent_decode(value, (size_t) (at + n - value), true));
        }
        at += n + (at[n] == '&');
    }
    return NULL;
}

const char *http_header(const HttpRequest *request, const char *name)
{
    const HttpHead *head = &request->head;
    const char *first = NULL;
    GString *joined = NULL;
    for (unsigned i = 0; i < head->n_headers; i++) {
        if (g_ascii_strcasecmp(head->headers[i].name, name) != 0)
            continue;
        if (first && !joined)
            joined = g_string_new(first);
        if (joined)
            g_string_append_printf(joined, ", %s", head->headers[i].value);
        if (!first)
            first = head->headers[i].value;
    }
    return joined ? keep(request, g_string_free(joined, FALSE)) : first;
}

/* One Cookie header. */
static char *find_cookie(const char *header, const char *name)
{
    size_t n_name = strlen(name);
    for (const char *at = header; *at;) {
        at += strspn(at, "; &\t");
        size_t n = strcspn(at, ";&");
        if (n > n_name && strncmp(at, name, n_name) == 0 && at[n_name] == '=') {
            const char *value = at + n_name + 1;
            size_t n_value = n - n_name - 1;
            if (n_value >= 2 && value[0] == '"' && value[n_value - 1] == '"')
                return g_strndup(value + 1, n_value - 2);
            return g_strchomp(g_strndup(value, n_value));
        }
        at += n;
    }
    return NULL;
}

const char *http_cookie(const HttpRequest *request, const char *name)
{
    const HttpHead *head = &request->head;
    for (unsigned i = 0; i < head->n_headers; i++) {
        char *found = strcmp(head->headers[i].name, "cookie") == 0
                          ? find_cookie(head->headers[i].value, name)
                          : NULL;
        if (found)
            return keep(request, found);
    }
    return NULL;
}

const char *http_peer(const HttpRequest *request)
{
    return request->peer;
}

const char *http_host(const HttpRequest *request)
{
    const char *told = request->proxied ? http_header(request, "x-forwarded-host") : NULL;
    const char *host = told ? told : http_header(request, "host");
    return host ? host : "";
}

bool http_origin_is_ours(const HttpRequest *request)
{
    return trust_origin(http_header(request, "origin"), http_host(request),
                        (const char *const *) request->connection->server->origins);
}

bool http_client_left(HttpRequest *request)
{
    return atomic_load(&request->connection->server->stopping) ||
           stream_peer_left(request->connection->stream);
}

gint64 http_body_bytes(const HttpRequest *request)
{
    return request->head.length;
}

/* How long the next bytes may take: one that sends a byte now and then must not hold a thread for
 * ever. 0 with TIMEOUT: no longer. */
static unsigned read_timeout_ms(const HttpRequest *request, GError **error)
{
    const HttpServerConfig *config = &request->connection->server->config;
    gint64 left_ms = config->idle_timeout_ms;
    gint64 earned_ms = (gint64) (request->body.n_bytes * 1000 / HTTP_MIN_BODY_RATE);
    if (!request->raw)
        left_ms = MIN(left_ms, config->body_timeout_ms + earned_ms - request->waited_us / 1000);
    if (request->read_until_us)
        left_ms = MIN(left_ms, (request->read_until_us - g_get_monotonic_time()) / 1000);
    if (MUTANT(http_endless_body)) /* mutant: http_server:test_slow_body */
        return config->idle_timeout_ms;
    if (left_ms > 0)
        return (unsigned) left_ms;
    err_set(error, ERR_TIMEOUT, "the body of %s %s from %s comes too slowly", request->head.method,
            request->head.path, request->peer);
    return 0;
}

/* From what has arrived already, else from the wire. */
static ssize_t read_wire(HttpRequest *request, void *buffer, size_t n, GError **error)
{
    HttpConnection *connection = request->connection;
    size_t waiting = connection_in(connection);
    if (waiting) {
        size_t part = MIN(n, waiting);
        memcpy(buffer, connection_in_data(connection), part);
        connection_in_take(connection, part);
        return (ssize_t) part;
    }
    unsigned timeout_ms = read_timeout_ms(request, error);
    if (timeout_ms == 0)
        return -1;
    gint64 start_us = g_get_monotonic_time();
    ssize_t got = stream_read(connection->stream, buffer, n, timeout_ms, error);
    request->waited_us += g_get_monotonic_time() - start_us;
    return got;
}

static ssize_t truncated(const HttpRequest *request, GError **error)
{
    err_set(
        error, ERR_TRUNCATED, "the body of %s %s from %s ended after %" G_GUINT64_FORMAT " bytes",
        request->head.method, request->head.path, request->connection->peer, request->body.n_bytes);
    return -1;
}

/* Body bytes that need no decoding go straight to the caller's buffer. */
static ssize_t read_direct(HttpRequest *request, void *buffer, size_t n, GError **error)
{
    size_t wanted = (size_t) MIN((guint64) n, http_body_direct(&request->body));
    g_autoptr(GError) cause = NULL;
    ssize_t got = read_wire(request, buffer, wanted, &cause);
    if (got < 0 && err_is(cause, ERR_TIMEOUT)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return -1;
    }
    if (got <= 0)
        return truncated(request, error);
    http_body_skip(&request->body, (size_t) got);
    return got;
}

/* Framing of chunks; returns as soon as body bytes can follow. */
static bool read_framing(HttpRequest *request, GError **error)
{
    HttpConnection *connection = request->connection;
    while (!http_body_direct(&request->body) && !http_body_is_done(&request->body)) {
        if (connection_in(connection) == 0) {
            char buffer[4096];
            g_autoptr(GError) cause = NULL;
            ssize_t got = read_wire(request, buffer, sizeof buffer, &cause);
            if (got < 0 && err_is(cause, ERR_TIMEOUT)) {
                g_propagate_error(error, g_steal_pointer(&cause));
                return false;
            }
            if (got <= 0)
                return truncated(request, error) == 0;
            connection_in_add(connection, buffer, (size_t) got);
        }
        size_t used;
        if (http_body_decode(&request->body, connection_in_data(connection),
                             connection_in(connection), &used, NULL, 0) < 0) {
            err_set(error, ERR_PROTOCOL, "the body of %s %s from %s is chunked wrongly",
                    request->head.method, request->head.path, request->connection->peer);
            return false;
        }
        connection_in_take(connection, used);
    }
    return true;
}

static bool body_within_limit(HttpRequest *request, GError **error)
{
    guint64 max = request->connection->server->config.max_body_bytes;
    if (!max || request->body.n_bytes <= max)
        return true;
    request->too_large = true;
    request->close = true;
    err_set(error, ERR_LIMIT, "the body of %s %s exceeds %" G_GUINT64_FORMAT " bytes",
            request->head.method, request->head.path, max);
    return false;
}

ssize_t http_read(HttpRequest *request, void *buffer, size_t n, GError **error)
{
    if (n == 0)
        return 0;
    http_send_continue(request);
    ssize_t got = read_framing(request, error) ? 0 : -1;
    if (got == 0 && !http_body_is_done(&request->body))
        got = read_direct(request, buffer, n, error);
    if (got > 0 && !body_within_limit(request, error))
        got = -1;
    if (got < 0)
        request->close = true; /* out of step */
    return got;
}

static void over_max(HttpRequest *request, size_t max, GError **error)
{
    request->too_large = true;
    request->close = true;
    err_set(error, ERR_LIMIT, "the body of %s %s exceeds %zu bytes", request->head.method,
            request->head.path, max);
}

GBytes *http_read_all(HttpRequest *request, size_t max, GError **error)
{
    if (request->head.length > 0 && (guint64) request->head.length > max) {
        over_max(request, max, error);
        return NULL;
    }
    g_autoptr(GByteArray) all = g_byte_array_new();
    char buffer[16384];
    ssize_t n;
    while ((n = http_read(request, buffer, sizeof buffer, error)) > 0) {
        if ((size_t) n > max - all->len) {
            over_max(request, max, error);
            return NULL;
        }
        g_byte_array_append(all, (const guint8 *) buffer, (guint) n);
    }
    if (n < 0)
        return NULL;
    guint length = all->len;
    g_byte_array_append(all, (const guint8 *) "", 1);
    g_autoptr(GBytes) whole = g_byte_array_free_to_bytes(g_steal_pointer(&all));
    return g_bytes_new_from_bytes(whole, 0, length);
}

ssize_t http_raw_read(HttpRequest *request, void *buffer, size_t n, GError **error)
{
    request->raw = true;
    return read_wire(request, buffer, n, error);
}

bool http_raw_wait(HttpRequest *request, unsigned timeout_ms)
{
    HttpConnection *connection = request->connection;
    struct pollfd fd = { .fd = stream_fd(connection->stream), .events = POLLIN };
    return connection_in(connection) > 0 || stream_has_pending(connection->stream) ||
           poll(&fd, 1, (int) timeout_ms) > 0;
}

void http_abort(HttpRequest *request)
{
    request->aborted = true;
    request->broken = true;
    stream_reset(request->connection->stream);
}
