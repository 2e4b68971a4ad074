/* HTTP/1.1 as a client that reads one answer and goes: a head, then a body until its length, its
 * last chunk or the end of the connection. */
#include "http/straight.h"

#include "base/mutant.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <string.h>

enum {
    BUFFER_BYTES = 128 << 10,
    HEAD_MAX_BYTES = 64 << 10,
    WAIT_MS = 500, /* between two looks at the cancel */
};

typedef struct {
    Straight *given;
    CURL *easy;
    int fd;
    char *buffer;
    size_t from, to; /* what is in it and not yet taken */
    bool ended;      /* the other side has closed */
    int status;
    bool chunked;
    gint64 left; /* of the body, or of the chunk; -1: until the end of the connection */
} Exchange;

static CURLcode on_context(CURL *easy, void *context, void *user)
{
    const StraightTls *tls = user;
    SSL_CTX_set_read_ahead(context, 1); /* a record at a time, not its head and then the rest */
    return tls->next ? tls->next(easy, context, tls->user) : CURLE_OK;
}

void straight_prepare(CURL *easy, StraightTls *tls)
{
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long) BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, tls);
}

/* --- the wire --- */

static CURLcode wait_for(const Exchange *exchange, short events)
{
    Straight *given = exchange->given;
    gint64 end_us = g_get_monotonic_time() + (gint64) given->stall_timeout_ms * 1000;
    for (;;) {
        gint64 left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
        struct pollfd waiting = { .fd = exchange->fd, .events = events };
        given->stalled = left_ms <= 0;
        if (given->stalled || cancel_is_set(given->call->cancel))
            return CURLE_ABORTED_BY_CALLBACK;
        if (poll(&waiting, 1, (int) MIN(left_ms, WAIT_MS)) > 0)
            return CURLE_OK;
    }
}

static CURLcode send_all(const Exchange *exchange, const char *text, size_t n)
{
    CURLcode code = CURLE_OK;
    while (n > 0 && code == CURLE_OK) {
        size_t sent = 0;
        code = curl_easy_send(exchange->easy, text, n, &sent);
        if (code == CURLE_AGAIN)
            code = wait_for(exchange, POLLOUT);
        text += sent;
        n -= sent;
    }
    return code;
}

/* *n becomes what came; 0 at the end. */
static CURLcode receive(Exchange *exchange, void *to, size_t *n)
{
    size_t room = *n;
    CURLcode code;
    while ((code = curl_easy_recv(exchange->easy, to, room, n)) == CURLE_AGAIN) {
        code = wait_for(exchange, POLLIN);
        if (code != CURLE_OK)
            break;
    }
    if (code == CURLE_OK && *n == 0)
        exchange->ended = true;
    return code == CURLE_OK && cancel_is_set(exchange->given->call->cancel)
               ? CURLE_ABORTED_BY_CALLBACK
               : code;
}

/* More behind what is in the buffer. */
static CURLcode fill(Exchange *exchange)
{
    memmove(exchange->buffer, exchange->buffer + exchange->from, exchange->to - exchange->from);
    exchange->to -= exchange->from;
    exchange->from = 0;
    size_t n = BUFFER_BYTES - exchange->to;
    CURLcode code = receive(exchange, exchange->buffer + exchange->to, &n);
    exchange->to += code == CURLE_OK ? n : 0;
    return code;
}

static CURLcode broke_off(Exchange *exchange)
{
    g_snprintf(exchange->given->cause, CURL_ERROR_SIZE, "the answer broke off");
    return exchange->status ? CURLE_PARTIAL_FILE : CURLE_GOT_NOTHING;
}

/* The next line with its end, in the buffer until the next fill. */
static CURLcode next_line(Exchange *exchange, char **line, size_t *n)
{
    for (;;) {
        char *from = exchange->buffer + exchange->from;
        char *end = memchr(from, '\n', exchange->to - exchange->from);
        if (end) {
            *line = from;
            *n = (size_t) (end + 1 - from);
            exchange->from += *n;
            return CURLE_OK;
        }
        if (exchange->to - exchange->from >= HEAD_MAX_BYTES)
            return CURLE_WEIRD_SERVER_REPLY;
        CURLcode code = fill(exchange);
        if (code != CURLE_OK)
            return code;
        if (exchange->ended)
            return broke_off(exchange);
    }
}

/* --- the head --- */

static bool is_header(const char *line, size_t n, const char *name, const char **value)
{
    size_t n_name = strlen(name);
    if (n <= n_name || g_ascii_strncasecmp(line, name, n_name) != 0 || line[n_name] != ':')
        return false;
    *value = line + n_name + 1 + strspn(line + n_name + 1, " \t");
    return true;
}

static bool take_header(Exchange *exchange, const char *line, size_t n)
{
    const char *value;
    if (is_header(line, n, "transfer-encoding", &value)) {
        exchange->chunked = g_ascii_strncasecmp(value, "chunked", strlen("chunked")) == 0;
        return exchange->chunked; /* nothing else was asked for */
    }
    if (is_header(line, n, "content-length", &value)) {
        char *end;
        if (!g_ascii_isdigit(*value))
            return false;
        exchange->left = g_ascii_strtoll(value, &end, 10);
        return exchange->left < G_MAXINT64 && strchr(" \t\r\n", *end);
    }
    return true;
}

/* "HTTP/1.1 200 OK" */
static int status_of(const char *line, size_t n)
{
    const char *digits = line + strlen("HTTP/1.1 ");
    if (n < strlen("HTTP/1.1 200\n") || memcmp(line, "HTTP/1.", 7) != 0 || digits[-1] != ' ')
        return 0;
    for (unsigned i = 0; i < 3; i++)
        if (!g_ascii_isdigit(digits[i]))
            return 0;
    return (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
}

/* A head, which may be an interim one. */
static CURLcode read_head(Exchange *exchange)
{
    const Straight *given = exchange->given;
    char *line;
    size_t n, n_all = 0;
    CURLcode code = next_line(exchange, &line, &n);
    if (code != CURLE_OK)
        return code;
    exchange->status = status_of(line, n);
    exchange->chunked = false;
    exchange->left = -1;
    if (exchange->status < 100)
        return CURLE_WEIRD_SERVER_REPLY;
    given->header(line, 1, n, given->user);
    for (;;) {
        code = next_line(exchange, &line, &n);
        n_all += n;
        if (code != CURLE_OK)
            return code;
        if (*line == '\n' || (*line == '\r' && n == 2))
            return CURLE_OK;
        if (n_all > HEAD_MAX_BYTES || memchr(line, '\0', n) || !take_header(exchange, line, n))
            return CURLE_WEIRD_SERVER_REPLY;
        given->header(line, 1, n, given->user);
    }
}

/* --- the body --- */

static CURLcode give(const Exchange *exchange, char *data, size_t n)
{
    const Straight *given = exchange->given;
    return n == 0 || given->body(data, 1, n, given->user) == n ? CURLE_OK : CURLE_WRITE_ERROR;
}

/* At most what is left, as it comes: straight to where the caller wants it. */
static CURLcode pass_some(Exchange *exchange)
{
    const HttpCall *call = exchange->given->call;
    size_t n = exchange->to - exchange->from;
    char *data = exchange->buffer + exchange->from;
    CURLcode code = CURLE_OK;
    bool held = n > 0;
    if (!held) {
        data = call->room ? call->room(&n, call->user) : NULL;
        if (!data) {
            data = exchange->buffer;
            n = BUFFER_BYTES;
        }
    }
    if (exchange->left >= 0)
        n = (size_t) MIN((guint64) n, (guint64) exchange->left);
    if (held)
        exchange->from += n;
    else
        code = receive(exchange, data, &n);
    if (code != CURLE_OK)
        return code;
    if (exchange->left > 0)
        exchange->left -= (gint64) n;
    return give(exchange, data, n);
}

static CURLcode pass_length(Exchange *exchange)
{
    CURLcode code = CURLE_OK;
    while (code == CURLE_OK && exchange->left != 0 && !exchange->ended)
        code = pass_some(exchange);
    bool whole = exchange->left <= 0 || MUTANT(http_straight_cut); /* mutant: http_client */
    return code != CURLE_OK || whole ? code : broke_off(exchange);
}

/* The head of a chunk; its extensions are of no use. */
static CURLcode chunk_begin(Exchange *exchange)
{
    char *line, *end = NULL;
    size_t n;
    CURLcode code = next_line(exchange, &line, &n);
    if (code != CURLE_OK)
        return code;
    guint64 size = g_ascii_isxdigit(*line) ? g_ascii_strtoull(line, &end, 16) : G_MAXUINT64;
    if (size > G_MAXINT32 || !strchr("; \t\r\n", *end))
        return CURLE_WEIRD_SERVER_REPLY;
    exchange->left = (gint64) size;
    return CURLE_OK;
}

static CURLcode pass_chunks(Exchange *exchange)
{
    char *line;
    size_t n;
    for (;;) {
        CURLcode code = chunk_begin(exchange);
        bool last = exchange->left == 0;
        if (code == CURLE_OK && !last)
            code = pass_length(exchange);
        do /* what ends a chunk is an empty line, the last one may have trailers before it */
            code = code == CURLE_OK ? next_line(exchange, &line, &n) : code;
        while (code == CURLE_OK && last && n > 2);
        if (code != CURLE_OK || last)
            return code;
        if (n > 2)
            return CURLE_WEIRD_SERVER_REPLY;
    }
}

static CURLcode ask(Exchange *exchange)
{
    const HttpCall *call = exchange->given->call;
    const char *host = strstr(call->url, "://") + 3;
    gsize n_host = strcspn(host, "/?#");
    const char *at = memchr(host, '@', n_host), *name = at ? at + 1 : host;
    const char *path = host + n_host;
    g_autoptr(GString) text = g_string_new("GET ");
    g_string_append_printf(text, "%s%.*s HTTP/1.1\r\nHost: %.*s\r\n", *path == '/' ? "" : "/",
                           (int) strcspn(path, "#"), path, (int) (host + n_host - name), name);
    for (const char *const *line = exchange->given->headers; *line; line++)
        g_string_append_printf(text, "%s\r\n", *line);
    g_string_append(text, "Connection: close\r\n\r\n");
    return send_all(exchange, text->str, text->len);
}

static CURLcode talk(Exchange *exchange)
{
    CURLcode code = ask(exchange);
    do
        code = code == CURLE_OK ? read_head(exchange) : code;
    while (code == CURLE_OK && exchange->status < 200);
    if (code != CURLE_OK || exchange->status == 204 || exchange->status == 304)
        return code;
    return exchange->chunked ? pass_chunks(exchange) : pass_length(exchange);
}

CURLcode straight_perform(Straight *straight, CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    CURLcode code = curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd);
    if (code != CURLE_OK || fd == CURL_SOCKET_BAD)
        return CURLE_COULDNT_CONNECT;
    g_autofree char *buffer = g_malloc(BUFFER_BYTES);
    Exchange exchange = { .given = straight, .easy = easy, .fd = fd, .buffer = buffer };
    return talk(&exchange);
}
