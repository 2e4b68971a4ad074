/* A socket that never blocks, waited for in short steps so that cancellation is seen. */
#include "nbd/wire.h"

#include "base/error.h"
#include "base/mutant.h"
#include "base/openssl.h"
#include "base/sigpipe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_PORT = 10809,
    DEFAULT_TIMEOUT_MS = 60000,
    STEP_MS = 250, /* between looks at the cancellation */
    MAX_IO_BYTES = 1 << 20,
};

struct NbdWire {
    int fd;
    SSL *ssl;              /* NULL: plain */
    STACK_OF(X509) * pins; /* what the server may present */
    char *server;
    unsigned timeout_ms;
    gint64 end_us;
    Cancel *cancel;
};

NbdWire *nbd_wire_new(const NbdTarget *target, int fd)
{
    sigpipe_ignore();
    NbdWire *wire = g_new0(NbdWire, 1);
    bool v6 = strchr(target->address, ':') != NULL;
    wire->fd = fd;
    wire->server = g_strdup_printf("nbd://%s%s%s:%u", v6 ? "[" : "", target->address, v6 ? "]" : "",
                                   target->port ? target->port : DEFAULT_PORT);
    wire->timeout_ms = target->timeout_ms ? target->timeout_ms : DEFAULT_TIMEOUT_MS;
    wire->cancel = cancel_ref(target->cancel);
    nbd_wire_begin(wire);
    return wire;
}

void nbd_wire_free(NbdWire *wire)
{
    if (!wire)
        return;
    SSL_free(wire->ssl);
    sk_X509_pop_free(wire->pins, X509_free);
    if (wire->fd >= 0)
        close(wire->fd);
    cancel_unref(wire->cancel);
    g_free(wire->server);
    g_free(wire);
}

const char *nbd_wire_server(const NbdWire *wire)
{
    return wire->server;
}

void nbd_wire_begin(NbdWire *wire)
{
    wire->end_us = g_get_monotonic_time() + (gint64) wire->timeout_ms * 1000;
}

/* Until fd is ready, or with TIMEOUT or CANCELLED. */
static bool wait_for(const NbdWire *wire, int fd, short events, GError **error)
{
    for (;;) {
        if (cancel_check(wire->cancel, wire->server, error))
            return false;
        gint64 left_ms = (wire->end_us - g_get_monotonic_time() + 999) / 1000;
        if (left_ms <= 0)
            break;
        struct pollfd poll_fd = { .fd = fd, .events = events };
        if (poll(&poll_fd, 1, (int) MIN(left_ms, STEP_MS)) > 0)
            return true;
    }
    err_set(error, ERR_TIMEOUT, "%s has not answered within %u ms", wire->server, wire->timeout_ms);
    return false;
}

/* --- connecting --- */

static int connect_one(const NbdWire *wire, const struct addrinfo *to, GError **error)
{
    int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err_set_errno(error, errno, "%s", wire->server);
        return -1;
    }
    int status = connect(fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno, on = 1;
    if (status == EINPROGRESS) {
        socklen_t n = sizeof status;
        if (!wait_for(wire, fd, POLLOUT, error)) {
            close(fd);
            return -1;
        }
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &status, &n);
    }
    if (status) {
        err_set(error, ERR_NETWORK, "%s: %s", wire->server, g_strerror(status));
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

NbdWire *nbd_wire_connect(const NbdTarget *target, GError **error)
{
    g_autoptr(NbdWire) wire = nbd_wire_new(target, -1);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    g_autofree char *port = g_strdup_printf("%u", target->port ? target->port : DEFAULT_PORT);
    g_autoptr(GError) cause = NULL;
    int status = getaddrinfo(target->address, port, &hints, &found);
    if (status)
        err_set(&cause, ERR_NETWORK, "%s: %s", wire->server, gai_strerror(status));
    for (const struct addrinfo *to = found; to && wire->fd < 0; to = to->ai_next) {
        g_clear_error(&cause);
        wire->fd = connect_one(wire, to, &cause);
    }
    if (found)
        freeaddrinfo(found);
    if (wire->fd >= 0)
        return g_steal_pointer(&wire);
    g_propagate_error(error, g_steal_pointer(&cause));
    return NULL;
}

/* --- TLS --- */

static bool is_pinned(const NbdWire *wire, const X509 *cert)
{
    for (int i = 0; i < sk_X509_num(wire->pins); i++)
        if (X509_cmp(sk_X509_value(wire->pins, i), cert) == 0)
            return true;
    return false;
}

/* Exactly a given certificate, or one that a given authority signed for the name. */
static int on_verify(X509_STORE_CTX *context, void *user)
{
    const NbdWire *wire = user;
    X509 *cert = X509_STORE_CTX_get0_cert(context);
    if (!wire->pins || MUTANT(nbd_trusts_all)) /* mutant: nbd */
        return 1;
    return cert && is_pinned(wire, cert) ? 1 : X509_verify_cert(context);
}

static bool read_pins(NbdWire *wire, SSL_CTX *context, const char *pem, GError **error)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;
    wire->pins = sk_X509_new_null();
    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), cert);
        sk_X509_push(wire->pins, cert);
    }
    BIO_free(bio);
    ERR_clear_error(); /* the end of the PEM is one */
    if (sk_X509_num(wire->pins))
        return true;
    err_set(error, ERR_TLS, "%s: the certificate to trust is not PEM", wire->server);
    return false;
}

/* The name for authorities' certificates and for the server to choose by. */
static void set_name(SSL *ssl, const char *name)
{
    char binary[16];
    if (inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
        return;
    }
    SSL_set_tlsext_host_name(ssl, name);
    X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), name, 0);
}

static SSL_CTX *make_context(NbdWire *wire, const NbdTarget *target, GError **error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(context, on_verify, wire);
    if (!target->cert || read_pins(wire, context, target->cert, error))
        return context;
    SSL_CTX_free(context);
    return NULL;
}

/* After a TLS call that gave `result`: true to try again. */
static bool tls_wait(NbdWire *wire, int result, ErrCode code, GError **error)
{
    int cause = SSL_get_error(wire->ssl, result);
    if (cause == SSL_ERROR_WANT_READ || cause == SSL_ERROR_WANT_WRITE)
        return wait_for(wire, wire->fd, cause == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, error);
    long verified = SSL_get_verify_result(wire->ssl);
    unsigned long number = ERR_get_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    ERR_clear_error();
    if (verified != X509_V_OK)
        err_set(error, ERR_TLS, "%s presents a certificate that is not the expected one (%s)",
                wire->server, X509_verify_cert_error_string(verified));
    else if (cause == SSL_ERROR_SSL && reason && !strstr(reason, "unexpected eof"))
        err_set(error, code, "%s: %s", wire->server, reason);
    else
        err_set(error, ERR_NETWORK, "%s broke the connection", wire->server);
    return false;
}

bool nbd_wire_start_tls(NbdWire *wire, const NbdTarget *target, GError **error)
{
    SSL_CTX *context = make_context(wire, target, error);
    if (!context)
        return false;
    wire->ssl = SSL_new(context);
    SSL_CTX_free(context); /* the connection holds a reference */
    SSL_set_fd(wire->ssl, wire->fd);
    set_name(wire->ssl, target->subject && *target->subject ? target->subject : target->address);
    for (;;) {
        ERR_clear_error();
        int result = SSL_connect(wire->ssl);
        if (result == 1)
            return true;
        if (!tls_wait(wire, result, ERR_TLS, error))
            return false;
    }
}

/* --- bytes --- */

/* After a socket call that gave `result`: true to try again. */
static bool plain_wait(NbdWire *wire, ssize_t result, short events, GError **error)
{
    if (result < 0 && (errno == EAGAIN || errno == EINTR))
        return wait_for(wire, wire->fd, events, error);
    err_set(error, ERR_NETWORK, "%s broke the connection%s%s", wire->server, result ? ": " : "",
            result ? g_strerror(errno) : "");
    return false;
}

bool nbd_wire_read(NbdWire *wire, void *data, size_t n, GError **error)
{
    for (char *at = data; n;) {
        size_t part = MIN(n, MAX_IO_BYTES);
        ERR_clear_error();
        ssize_t got = wire->ssl ? SSL_read(wire->ssl, at, (int) part) : recv(wire->fd, at, part, 0);
        if (got > 0) {
            at += got;
            n -= (size_t) got;
        } else if (wire->ssl ? !tls_wait(wire, (int) got, ERR_NETWORK, error)
                             : !plain_wait(wire, got, POLLIN, error)) {
            return false;
        }
    }
    return true;
}

static ssize_t write_some(NbdWire *wire, const char *data, size_t n)
{
    ERR_clear_error();
    return wire->ssl ? SSL_write(wire->ssl, data, (int) MIN(n, MAX_IO_BYTES))
                     : send(wire->fd, data, n, MSG_NOSIGNAL);
}

bool nbd_wire_write(NbdWire *wire, const void *data, size_t n, GError **error)
{
    for (const char *at = data; n;) {
        ssize_t put = write_some(wire, at, n);
        if (put > 0) {
            at += put;
            n -= (size_t) put;
        } else if (wire->ssl ? !tls_wait(wire, (int) put, ERR_NETWORK, error)
                             : !plain_wait(wire, put, POLLOUT, error)) {
            return false;
        }
    }
    return true;
}

void nbd_wire_push(NbdWire *wire, const void *data, size_t n)
{
    write_some(wire, data, n);
    if (wire->ssl)
        SSL_shutdown(wire->ssl);
    ERR_clear_error();
}
