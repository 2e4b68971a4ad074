/* libcurl's handle is used by one thread at a time, under a lock that is never held while waiting.
 */
#include "http/tunnel.h"

#include "base/error.h"
#include "http/raw.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    MAX_ANSWER_BYTES = 16384,
    LOOK_MS = 200, /* how soon a cut is noticed */
};

struct HttpTunnel {
    RawConnection raw;
    pthread_mutex_t lock; /* of raw.easy */
    atomic_bool is_cut;
    GByteArray *early; /* came with the answer of CONNECT */
    char *host;
};

/* --- Bytes --- */

/* Waits a moment; false: the time is over, or somebody cut. */
static bool wait_for(HttpTunnel *tunnel, short events, gint64 until_us)
{
    struct pollfd fd = { .fd = tunnel->raw.fd, .events = events };
    if (atomic_load(&tunnel->is_cut) || (until_us && g_get_monotonic_time() >= until_us))
        return false;
    poll(&fd, 1, LOOK_MS);
    return true;
}

static CURLcode try_read(HttpTunnel *tunnel, void *buffer, size_t n, size_t *got)
{
    pthread_mutex_lock(&tunnel->lock);
    CURLcode code = curl_easy_recv(tunnel->raw.easy, buffer, n, got);
    pthread_mutex_unlock(&tunnel->lock);
    return code;
}

static ssize_t read_until(HttpTunnel *tunnel, void *buffer, size_t n, gint64 until_us,
                          GError **error)
{
    size_t got = 0;
    CURLcode code;
    while ((code = try_read(tunnel, buffer, n, &got)) == CURLE_AGAIN)
        if (!wait_for(tunnel, POLLIN, until_us)) {
            if (atomic_load(&tunnel->is_cut))
                return 0;
            err_set(error, ERR_TIMEOUT, "%s does not answer", tunnel->host);
            return -1;
        }
    if (code == CURLE_OK)
        return (ssize_t) got;
    err_set(error, ERR_NETWORK, "%s: %s", tunnel->host, curl_easy_strerror(code));
    return -1;
}

ssize_t http_tunnel_read(HttpTunnel *tunnel, void *buffer, size_t n, GError **error)
{
    size_t early = MIN(n, tunnel->early->len);
    if (early == 0)
        return read_until(tunnel, buffer, n, 0, error);
    memcpy(buffer, tunnel->early->data, early);
    g_byte_array_remove_range(tunnel->early, 0, (guint) early);
    return (ssize_t) early;
}

static CURLcode try_write(HttpTunnel *tunnel, const void *data, size_t n, size_t *put)
{
    pthread_mutex_lock(&tunnel->lock);
    CURLcode code = curl_easy_send(tunnel->raw.easy, data, n, put);
    pthread_mutex_unlock(&tunnel->lock);
    return code;
}

bool http_tunnel_write(HttpTunnel *tunnel, const void *data, size_t n, unsigned timeout_ms,
                       GError **error)
{
    const char *at = data;
    gint64 until_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    while (n > 0) {
        size_t put = 0;
        CURLcode code = try_write(tunnel, at, n, &put);
        if (code == CURLE_AGAIN && wait_for(tunnel, POLLOUT, until_us))
            continue;
        if (code != CURLE_OK) {
            err_set(error, code == CURLE_AGAIN ? ERR_TIMEOUT : ERR_NETWORK,
                    "%s: the connection takes nothing any more", tunnel->host);
            return false;
        }
        until_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
        at += put;
        n -= put;
    }
    return true;
}

void http_tunnel_cut(HttpTunnel *tunnel)
{
    atomic_store(&tunnel->is_cut, true);
}

/* --- Opening --- */

/* The head of the answer; what follows it goes to `early`. */
static char *read_head(HttpTunnel *tunnel, gint64 until_us, GError **error)
{
    g_autoptr(GString) head = g_string_new(NULL);
    char buffer[2048];
    const char *end;
    while (!(end = strstr(head->str, "\r\n\r\n"))) {
        ssize_t got = read_until(tunnel, buffer, sizeof buffer, until_us, error);
        if (got < 0)
            return NULL;
        if (got == 0 || head->len > MAX_ANSWER_BYTES || memchr(buffer, 0, (size_t) got)) {
            err_set(error, ERR_PROTOCOL, "%s: no answer to CONNECT", tunnel->host);
            return NULL;
        }
        g_string_append_len(head, buffer, got);
    }
    size_t n = (size_t) (end - head->str) + 4;
    g_byte_array_append(tunnel->early, (guint8 *) head->str + n, (guint) (head->len - n));
    return g_strndup(head->str, n);
}

static bool ask(HttpTunnel *tunnel, GUri *uri, unsigned timeout_ms, GError **error)
{
    gint64 until_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    const char *query = g_uri_get_query(uri);
    g_autofree char *request = g_strdup_printf("CONNECT %s%s%s HTTP/1.0\r\nHost: %s\r\n\r\n",
                                               g_uri_get_path(uri), query ? "?" : "",
                                               query ? query : "", g_uri_get_host(uri));
    if (!http_tunnel_write(tunnel, request, strlen(request), timeout_ms, error))
        return false;
    g_autofree char *head = read_head(tunnel, until_us, error);
    if (!head)
        return false;
    const char *status = strchr(head, ' ');
    if (g_str_has_prefix(head, "HTTP/1.") && status && g_str_has_prefix(status, " 200"))
        return true;
    err_set(error, ERR_PROTOCOL, "%s refuses the connection: \"%.*s\"", tunnel->host,
            (int) strcspn(head, "\r"), head);
    return false;
}

HttpTunnel *http_tunnel_open(const HttpTunnelConfig *config, GError **error)
{
    unsigned timeout_ms = config->timeout_ms ? config->timeout_ms : RAW_CONNECT_MS;
    g_autoptr(GUri) uri = g_uri_parse(config->url, G_URI_FLAGS_ENCODED, NULL);
    if (!uri || !g_uri_get_host(uri)) {
        err_set(error, ERR_INVALID, "this is no address of a host");
        return NULL;
    }
    g_autoptr(HttpTunnel) tunnel = g_new0(HttpTunnel, 1);
    pthread_mutex_init(&tunnel->lock, NULL);
    tunnel->early = g_byte_array_new();
    tunnel->host = g_strdup(g_uri_get_host(uri));
    RawConfig how = { config->trust, config->fingerprint, timeout_ms };
    if (!raw_connect(&tunnel->raw, uri, &how, error) || !ask(tunnel, uri, timeout_ms, error))
        return NULL;
    return g_steal_pointer(&tunnel);
}

void http_tunnel_close(HttpTunnel *tunnel)
{
    if (!tunnel)
        return;
    raw_close(&tunnel->raw);
    g_byte_array_unref(tunnel->early);
    pthread_mutex_destroy(&tunnel->lock);
    g_free(tunnel->host);
    g_free(tunnel);
}
