/* OpenSSL behind a lock, poll outside of it. */
#include "http/stream.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

/* OpenSSL's record; more in one call would only be cut there. */
enum { MAX_TLS_WRITE = 1 << 20 };

struct HttpStream {
    int fd;
    SSL *ssl; /* NULL: plain */
    pthread_mutex_t lock;
    bool broken; /* after a fatal TLS error nothing may be sent, not even close_notify */
};

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n_out,
                           const unsigned char *in, unsigned n_in, void *user)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, n_out, ours, sizeof ours - 1, in, n_in) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void set_tls_error(GError **error, const char *what, const char *file)
{
    char text[256];
    ERR_error_string_n(ERR_get_error(), text, sizeof text);
    ERR_clear_error();
    err_set(error, ERR_INVALID, "%s %s cannot be used: %s", what, file, text);
}

SSL_CTX *stream_tls_context(const char *cert_file, const char *key_file, GError **error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context, (const unsigned char *) "http", 4);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(context, cert_file) != 1)
        set_tls_error(error, "certificate", cert_file);
    else if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1)
        set_tls_error(error, "private key", key_file);
    else if (SSL_CTX_check_private_key(context) != 1)
        set_tls_error(error, "private key of another certificate", key_file);
    else
        return context;
    SSL_CTX_free(context);
    return NULL;
}

HttpStream *stream_new(int fd, SSL_CTX *context)
{
    HttpStream *stream = g_new0(HttpStream, 1);
    stream->fd = fd;
    pthread_mutex_init(&stream->lock, NULL);
    if (context) {
        stream->ssl = SSL_new(context);
        SSL_set_fd(stream->ssl, fd);
        SSL_set_accept_state(stream->ssl);
    }
    return stream;
}

void stream_free(HttpStream *stream)
{
    if (!stream)
        return;
    SSL_free(stream->ssl);
    close(stream->fd);
    pthread_mutex_destroy(&stream->lock);
    g_free(stream);
}

int stream_fd(const HttpStream *stream)
{
    return stream->fd;
}

bool stream_has_pending(HttpStream *stream)
{
    if (!stream->ssl)
        return false;
    pthread_mutex_lock(&stream->lock);
    bool pending = SSL_has_pending(stream->ssl) == 1;
    pthread_mutex_unlock(&stream->lock);
    return pending;
}

/* What a TLS call that returned `result` wants. Under the lock: errors are per thread, but state is
 * per object. */
static int tls_wants(HttpStream *stream, int result)
{
    switch (SSL_get_error(stream->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        return STREAM_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return STREAM_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        stream->broken = true;
        return STREAM_BROKEN;
    }
}

int stream_try_handshake(HttpStream *stream)
{
    if (!stream->ssl)
        return 0;
    pthread_mutex_lock(&stream->lock);
    ERR_clear_error();
    int result = SSL_do_handshake(stream->ssl);
    if (result == 1) {
        result = 0;
    } else {
        result = tls_wants(stream, result);
        if (result == 0)
            result = STREAM_BROKEN;
    }
    pthread_mutex_unlock(&stream->lock);
    return result;
}

static ssize_t plain_result(ssize_t got, int want)
{
    if (got >= 0)
        return got;
    return errno == EAGAIN || errno == EINTR ? want : STREAM_BROKEN;
}

ssize_t stream_try_read(HttpStream *stream, void *buffer, size_t n)
{
    if (!stream->ssl)
        return plain_result(recv(stream->fd, buffer, n, 0), STREAM_WANT_READ);
    pthread_mutex_lock(&stream->lock);
    ERR_clear_error();
    ssize_t got = SSL_read(stream->ssl, buffer, (int) MIN(n, (size_t) G_MAXINT));
    if (got <= 0)
        got = tls_wants(stream, (int) got);
    pthread_mutex_unlock(&stream->lock);
    return got;
}

ssize_t stream_try_write(HttpStream *stream, const void *data, size_t n, bool more)
{
    if (!stream->ssl)
        return plain_result(send(stream->fd, data, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0)),
                            STREAM_WANT_WRITE);
    pthread_mutex_lock(&stream->lock);
    ERR_clear_error();
    ssize_t put = SSL_write(stream->ssl, data, (int) MIN(n, MAX_TLS_WRITE));
    if (put <= 0) {
        put = tls_wants(stream, (int) put);
        if (put == 0)
            put = STREAM_BROKEN;
    }
    pthread_mutex_unlock(&stream->lock);
    return put;
}

void stream_end(HttpStream *stream)
{
    if (stream->ssl) {
        pthread_mutex_lock(&stream->lock);
        ERR_clear_error();
        if (!stream->broken && SSL_is_init_finished(stream->ssl))
            SSL_shutdown(stream->ssl);
        pthread_mutex_unlock(&stream->lock);
    }
    shutdown(stream->fd, SHUT_WR);
}

void stream_cut(HttpStream *stream)
{
    shutdown(stream->fd, SHUT_RDWR);
}

void stream_reset(HttpStream *stream)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool stream_peer_left(HttpStream *stream)
{
    struct pollfd poll_fd = { .fd = stream->fd, .events = POLLRDHUP };
    return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Waits until the stream can go on; false with TIMEOUT. */
static bool wait_for(HttpStream *stream, int want, unsigned timeout_ms, const char *what,
                     GError **error)
{
    struct pollfd poll_fd = { .fd = stream->fd,
                              .events = want == STREAM_WANT_READ ? POLLIN : POLLOUT };
    gint64 end_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    for (;;) {
        gint64 left_ms = (end_us - g_get_monotonic_time() + 999) / 1000;
        int n = left_ms > 0 ? poll(&poll_fd, 1, (int) left_ms) : 0;
        if (n > 0)
            return true;
        if (n == 0) {
            err_set(error, ERR_TIMEOUT, "the client has not %s a byte for %u ms", what, timeout_ms);
            return false;
        }
    }
}

ssize_t stream_read(HttpStream *stream, void *buffer, size_t n, unsigned timeout_ms, GError **error)
{
    for (;;) {
        ssize_t got = stream_try_read(stream, buffer, n);
        if (got >= 0)
            return got;
        if (got == STREAM_BROKEN) {
            err_set(error, ERR_NETWORK, "the client broke the connection");
            return -1;
        }
        if (!wait_for(stream, (int) got, timeout_ms, "sent", error))
            return -1;
    }
}

bool stream_write(HttpStream *stream, const void *data, size_t n, bool more, unsigned timeout_ms,
                  GError **error)
{
    const char *at = data;
    while (n) {
        ssize_t put = stream_try_write(stream, at, n, more);
        if (put > 0) {
            at += put;
            n -= (size_t) put;
        } else if (put == STREAM_BROKEN || put == 0) {
            err_set(error, ERR_NETWORK, "the client broke the connection");
            return false;
        } else if (!wait_for(stream, (int) put, timeout_ms, "taken", error)) {
            return false;
        }
    }
    return true;
}
