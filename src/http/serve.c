/* One request from its head to the end of its answer, in a thread of the pool. */
#include "http/connection.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

/* A body that the handler left unread is read off up to here, beyond it the connection closes. */
enum { MAX_UNREAD_BYTES = 256 << 10 };

static void request_init(HttpRequest *request, HttpConnection *connection)
{
    memset(request, 0, sizeof *request);
    request->connection = connection;
    request->strings = g_ptr_array_new_with_free_func(g_free);
    request->headers = g_string_new(NULL);
    request->reply_left = -1;
}

static void request_clear(HttpRequest *request)
{
    g_free(request->peer);
    http_head_clear(&request->head);
    g_ptr_array_unref(request->strings);
    g_string_free(request->headers, TRUE);
}

static void name_client(HttpRequest *request)
{
    const GPtrArray *proxies = request->connection->server->proxies;
    const char *peer = request->connection->peer;
    request->proxied = trust_has(proxies, peer);
    request->peer = trust_client(proxies, peer, http_header(request, "x-forwarded-for"));
}

/* 0, or the status of the refusal. */
static int request_parse(HttpRequest *request)
{
    HttpConnection *connection = request->connection;
    int status =
        http_head_parse(&request->head, connection_in_data(connection), connection->head_bytes);
    connection_in_take(connection, connection->head_bytes);
    if (status)
        return status;
    guint64 max = connection->server->config.max_body_bytes;
    if (max && request->head.length > 0 && (guint64) request->head.length > max)
        return 413;
    http_body_init(&request->body, request->head.length);
    name_client(request);
    request->continue_due = request->head.expect_continue && !http_body_is_done(&request->body);
    return 0;
}

/* Keeps the connection in step: the next request begins after this body. */
static bool read_off(HttpRequest *request)
{
    char buffer[8192];
    size_t total = 0;
    ssize_t n = 0;
    request->read_until_us = g_get_monotonic_time() +
                             (gint64) request->connection->server->config.header_timeout_ms * 1000;
    while (total <= MAX_UNREAD_BYTES && (n = http_read(request, buffer, sizeof buffer, NULL)) > 0)
        total += (size_t) n;
    return n == 0;
}

/* The answer is complete, or is made so, or the connection cannot be used further. */
static HttpFate settle(HttpRequest *request)
{
    if (request->connection->socket)
        return FATE_UPGRADE;
    if (request->aborted)
        return FATE_DROP;
    if (request->raw)
        return FATE_END;
    if (request->reply == REPLY_NONE) {
        if (!request->too_large)
            log_error("http", "%s %s: the handler gave no answer", request->head.method,
                      request->head.path);
        int status = request->too_large ? 413 : 500;
        http_reply_text(request, status, "text/plain",
                        status == 413 ? "The body is too large.\n" : "No answer.\n");
    }
    if (request->reply == REPLY_BEGUN && request->reply_left == 0)
        request->reply = REPLY_DONE;
    if (request->broken || request->reply == REPLY_BEGUN) {
        if (!MUTANT(http_clean_end))                   /* mutant: http_server */
            stream_reset(request->connection->stream); /* a client must see that it is not whole */
        return FATE_DROP;
    }
    if (request->close || !(http_body_is_done(&request->body) || read_off(request)))
        return FATE_END;
    return FATE_KEEP;
}

void http_serve(void *user)
{
    HttpConnection *connection = user;
    HttpRequest request;
    request_init(&request, connection);
    int status = request_parse(&request);
    if (status) {
        g_autofree char *text = http_refusal(status, request.head.version_10);
        http_log_refusal(connection->server, connection->peer, http_reason(status));
        stream_write(connection->stream, text, strlen(text), false,
                     connection->server->config.send_timeout_ms, NULL);
        connection->fate = FATE_END;
    } else {
        connection->server->config.handler(&request, connection->server->config.user);
        connection->fate = settle(&request);
    }
    request_clear(&request);
    http_loop_return(connection);
}
