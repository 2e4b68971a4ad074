/* Answers: head, framing, bytes. The version of the answer is that of the request. */
#include "http/connection.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>
#include <time.h>

enum {
    SMALL_BYTES = 16384,   /* head and body in one write */
    CHUNK_BYTES = 1 << 16, /* the largest chunk */
    KEEP_UNREAD_BYTES = 64 << 10,
};

static const struct {
    int status;
    const char *words;
} reasons[] = {
    { 100, "Continue" },
    { 101, "Switching Protocols" },
    { 200, "OK" },
    { 201, "Created" },
    { 202, "Accepted" },
    { 204, "No Content" },
    { 206, "Partial Content" },
    { 301, "Moved Permanently" },
    { 302, "Found" },
    { 303, "See Other" },
    { 304, "Not Modified" },
    { 307, "Temporary Redirect" },
    { 308, "Permanent Redirect" },
    { 400, "Bad Request" },
    { 401, "Unauthorized" },
    { 403, "Forbidden" },
    { 404, "Not Found" },
    { 405, "Method Not Allowed" },
    { 406, "Not Acceptable" },
    { 408, "Request Timeout" },
    { 409, "Conflict" },
    { 410, "Gone" },
    { 411, "Length Required" },
    { 412, "Precondition Failed" },
    { 413, "Content Too Large" },
    { 414, "URI Too Long" },
    { 415, "Unsupported Media Type" },
    { 416, "Range Not Satisfiable" },
    { 417, "Expectation Failed" },
    { 422, "Unprocessable Content" },
    { 426, "Upgrade Required" },
    { 429, "Too Many Requests" },
    { 431, "Request Header Fields Too Large" },
    { 500, "Internal Server Error" },
    { 501, "Not Implemented" },
    { 502, "Bad Gateway" },
    { 503, "Service Unavailable" },
    { 504, "Gateway Timeout" },
    { 505, "HTTP Version Not Supported" },
};

const char *http_reason(int status)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].words;
    return "Status";
}

char *http_refusal(int status, bool version_10)
{
    return g_strdup_printf("HTTP/1.%d %d %s\r\nConnection: close\r\nContent-Type: text/plain\r\n"
                           "Content-Length: %zu\r\n\r\n%s\n",
                           version_10 ? 0 : 1, status, http_reason(status),
                           strlen(http_reason(status)) + 1, http_reason(status));
}

static bool send_bytes(HttpRequest *request, const void *data, size_t n, bool more, GError **error)
{
    if (request->broken) {
        err_set(error, ERR_NETWORK, "the client has left");
        return false;
    }
    if (stream_write(request->connection->stream, data, n, more,
                     request->connection->server->config.send_timeout_ms, error))
        return true;
    request->broken = true;
    return false;
}

void http_send_continue(HttpRequest *request)
{
    if (!request->continue_due || request->reply != REPLY_NONE)
        return;
    request->continue_due = false;
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    send_bytes(request, text, sizeof text - 1, false, NULL);
}

/* Headers that tell the framing are ours alone. */
static bool is_framing(const char *name)
{
    return g_ascii_strcasecmp(name, "content-length") == 0 ||
           g_ascii_strcasecmp(name, "transfer-encoding") == 0;
}

void http_reply_header(HttpRequest *request, const char *name, const char *value)
{
    bool clean = *name && !strpbrk(name, "\r\n: ") &&
                 (!strpbrk(value, "\r\n") || MUTANT(http_header_split)); /* mutant: http_server */
    if (!clean || is_framing(name) || request->reply != REPLY_NONE) {
        log_warning("http", "answer header %s ignored: %s", clean ? name : "with a line end",
                    request->reply != REPLY_NONE ? "too late" : "not for handlers to set");
        return;
    }
    if (g_ascii_strcasecmp(name, "connection") == 0) {
        if (http_list_has(value, "close")) {
            request->close = true;
            return;
        }
        request->has_connection = true;
    }
    request->has_date |= g_ascii_strcasecmp(name, "date") == 0;
    g_string_append_printf(request->headers, "%s: %s\r\n", name, value);
}

void http_reply_close(HttpRequest *request)
{
    request->close = true;
}

static void add_date(GString *head)
{
    time_t now = time(NULL);
    struct tm parts;
    char text[64];
    gmtime_r(&now, &parts);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    g_string_append_printf(head, "Date: %s\r\n", text);
}

/* Whether the next request can follow on this connection. */
static void decide_close(HttpRequest *request)
{
    guint64 unread = http_body_is_done(&request->body) ? 0 : request->body.left;
    if (!request->head.keep_alive || atomic_load(&request->connection->server->stopping) ||
        request->continue_due || unread > KEEP_UNREAD_BYTES)
        request->close = true;
}

static bool has_no_body(const HttpRequest *request, int status)
{
    return status < 200 || status == 204 || status == 304 ||
           strcmp(request->head.method, "HEAD") == 0;
}

static void add_framing(HttpRequest *request, GString *head, int status, gint64 length)
{
    request->reply_bodiless = has_no_body(request, status);
    if (length == HTTP_LENGTH_CHUNKED && request->head.version_10)
        length = HTTP_LENGTH_UNTIL_CLOSE;
    if (length >= 0) {
        request->reply_left = request->reply_bodiless ? 0 : length;
        if (status >= 200 && status != 204)
            g_string_append_printf(head, "Content-Length: %" G_GINT64_FORMAT "\r\n", length);
    } else if (length == HTTP_LENGTH_CHUNKED) {
        request->reply_chunked = !request->reply_bodiless;
        g_string_append(head, "Transfer-Encoding: chunked\r\n");
    } else {
        request->close = true;
    }
}

static GString *make_head(HttpRequest *request, int status, const char *type, gint64 length)
{
    GString *head = g_string_sized_new(512);
    g_string_append_printf(head, "HTTP/1.%d %d %s\r\n", request->head.version_10 ? 0 : 1, status,
                           http_reason(status));
    decide_close(request);
    add_framing(request, head, status, length);
    if (!request->has_date)
        add_date(head);
    if (type)
        g_string_append_printf(head, "Content-Type: %s\r\n", type);
    g_string_append_len(head, request->headers->str, (gssize) request->headers->len);
    if (request->close)
        g_string_append(head, "Connection: close\r\n");
    else if (request->head.version_10 && !request->has_connection)
        g_string_append(head, "Connection: keep-alive\r\n");
    g_string_append(head, "\r\n");
    return head;
}

static bool may_answer(HttpRequest *request, GError **error)
{
    if (request->reply == REPLY_NONE)
        return true;
    log_warning("http", "%s %s: a second answer was dropped", request->head.method,
                request->head.path);
    err_set(error, ERR_STATE, "the answer was begun already");
    return false;
}

void http_reply(HttpRequest *request, int status, const char *type, const void *body, size_t n)
{
    if (!may_answer(request, NULL))
        return;
    g_autoptr(GString) head = make_head(request, status, type, (gint64) n);
    request->reply = REPLY_DONE;
    if (request->reply_bodiless)
        n = 0;
    bool small = n <= SMALL_BYTES;
    if (small)
        g_string_append_len(head, body, (gssize) n);
    if (send_bytes(request, head->str, head->len, !small, NULL) && !small)
        send_bytes(request, body, n, false, NULL);
}

void http_reply_text(HttpRequest *request, int status, const char *type, const char *text)
{
    http_reply(request, status, type, text, strlen(text));
}

bool http_reply_begin(HttpRequest *request, int status, const char *type, gint64 length,
                      GError **error)
{
    if (!may_answer(request, error))
        return false;
    g_autoptr(GString) head = make_head(request, status, type, length);
    request->reply = REPLY_BEGUN;
    return send_bytes(request, head->str, head->len, false, error);
}

/* Chunks of a bounded size, each in one write. */
static bool write_chunks(HttpRequest *request, const char *data, size_t n, GError **error)
{
    g_autofree char *chunk = g_malloc(MIN(n, CHUNK_BYTES) + 16);
    while (n) {
        size_t part = MIN(n, CHUNK_BYTES);
        int n_size = g_snprintf(chunk, 12, "%zx\r\n", part);
        memcpy(chunk + n_size, data, part);
        memcpy(chunk + (size_t) n_size + part, "\r\n", 2);
        if (!send_bytes(request, chunk, (size_t) n_size + part + 2, false, error))
            return false;
        data += part;
        n -= part;
    }
    return true;
}

bool http_reply_write(HttpRequest *request, const void *data, size_t n, GError **error)
{
    if (request->reply != REPLY_BEGUN) {
        err_set(error, ERR_STATE, "no answer was begun");
        return false;
    }
    if (n == 0 || request->reply_bodiless)
        return true;
    if (request->reply_chunked)
        return write_chunks(request, data, n, error);
    if (request->reply_left >= 0) {
        if ((guint64) n > (guint64) request->reply_left) {
            err_set(error, ERR_STATE, "more bytes than the announced length of the answer");
            return false;
        }
        request->reply_left -= (gint64) n;
    }
    return send_bytes(request, data, n, false, error);
}

bool http_reply_end(HttpRequest *request, GError **error)
{
    if (request->reply != REPLY_BEGUN || request->reply_left > 0) {
        err_set(error, ERR_STATE, "the answer is not complete");
        return false;
    }
    if (request->reply_chunked && !send_bytes(request, "0\r\n\r\n", 5, false, error))
        return false;
    request->reply = REPLY_DONE;
    return !request->broken;
}

bool http_raw_write(HttpRequest *request, const void *data, size_t n, GError **error)
{
    request->raw = true;
    return send_bytes(request, data, n, false, error);
}
