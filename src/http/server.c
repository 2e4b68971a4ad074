/* Configuration, listeners, start and stop. */
#include "http/connection.h"

#include "base/error.h"
#include "base/log.h"
#include "base/sigpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <wslay/wslay.h>

enum {
    BACKLOG = 511,
    MAX_REFUSALS = 20, /* logged in a second */
    CUT_MS = 30000,    /* for handlers to notice that their client was cut */
};

static void set_default(unsigned *value, unsigned fallback)
{
    if (*value == 0)
        *value = fallback;
}

static void set_defaults(HttpServerConfig *config)
{
    set_default(&config->max_threads, 256);
    set_default(&config->max_connections, 4096);
    set_default(&config->max_per_address, 1024);
    set_default(&config->header_timeout_ms, 10000);
    set_default(&config->idle_timeout_ms, 120000);
    set_default(&config->send_timeout_ms, 60000);
    set_default(&config->body_timeout_ms, 60000);
    if (!config->max_header_bytes)
        config->max_header_bytes = 32 << 10;
}

static void init_queues(HttpServer *server)
{
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    g_queue_init(&server->returned);
    g_queue_init(&server->woken);
    g_queue_init(&server->connections);
    g_queue_init(&server->graves);
    server->per_address = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    server->listeners = g_ptr_array_new_with_free_func(g_free);
}

static void free_struct(HttpServer *server)
{
    for (guint i = 0; i < server->listeners->len; i++) {
        HttpListener *listener = server->listeners->pdata[i];
        if (listener->fd >= 0)
            close(listener->fd);
    }
    g_ptr_array_unref(server->listeners);
    g_hash_table_unref(server->per_address);
    g_clear_pointer(&server->proxies, g_ptr_array_unref);
    g_strfreev(server->origins);
    SSL_CTX_free(server->tls);
    if (server->spare_wslay)
        wslay_event_context_free(server->spare_wslay);
    if (server->epoll_fd >= 0)
        close(server->epoll_fd);
    if (server->wake_fd >= 0)
        close(server->wake_fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    g_free(server->cert_file);
    g_free(server->key_file);
    g_free(server);
}

void http_log_refusal(HttpServer *server, const char *peer, const char *what)
{
    gint64 second = g_get_monotonic_time() / G_USEC_PER_SEC;
    pthread_mutex_lock(&server->lock);
    unsigned n_before = 0;
    if (second != server->refusals_second) {
        n_before = server->n_refusals;
        server->refusals_second = second;
        server->n_refusals = 0;
    }
    unsigned n = ++server->n_refusals;
    pthread_mutex_unlock(&server->lock);
    if (n_before > MAX_REFUSALS)
        log_warning("http", "%u more refusals in that second", n_before - MAX_REFUSALS);
    if (n <= MAX_REFUSALS)
        log_warning("http", "refused %s: %s", peer, what);
}

static bool open_epoll(HttpServer *server, GError **error)
{
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    server->wake_watch = WATCH_WAKE;
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &server->wake_watch };
    if (server->epoll_fd >= 0 && server->wake_fd >= 0 &&
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) == 0)
        return true;
    err_set_errno(error, errno, "HTTP server");
    return false;
}

HttpServer *http_server_new(const HttpServerConfig *config, GError **error)
{
    HttpServer *server = g_new0(HttpServer, 1);
    server->config = *config;
    server->cert_file = g_strdup(config->cert_file);
    server->key_file = g_strdup(config->key_file);
    server->config.cert_file = server->config.key_file = NULL;
    server->config.trusted_proxies = server->config.allowed_origins = NULL;
    server->epoll_fd = server->wake_fd = -1;
    set_defaults(&server->config);
    init_queues(server);
    server->origins = g_strdupv((char **) config->allowed_origins);
    server->proxies = trust_new(config->trusted_proxies, error);
    if (!server->proxies || !open_epoll(server, error) ||
        (server->cert_file && !http_server_reload_certificate(server, error))) {
        free_struct(server);
        return NULL;
    }
    return server;
}

bool http_server_reload_certificate(HttpServer *server, GError **error)
{
    if (!server->cert_file || !server->key_file) {
        err_set(error, ERR_STATE, "the HTTP server was given no certificate");
        return false;
    }
    SSL_CTX *made = stream_tls_context(server->cert_file, server->key_file, error);
    if (!made)
        return false;
    pthread_mutex_lock(&server->lock);
    SSL_CTX *old = server->tls;
    server->tls = made;
    pthread_mutex_unlock(&server->lock);
    SSL_CTX_free(old); /* connections hold their own references */
    return true;
}

static guint16 bound_port(int fd)
{
    struct sockaddr_storage address = { 0 };
    socklen_t n = sizeof address;
    getsockname(fd, (struct sockaddr *) &address, &n);
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *) &address)->sin_port);
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *) &address)->sin6_port);
    return 0;
}

bool http_server_listen_fd(HttpServer *server, int fd, bool tls, GError **error)
{
    if (tls && !server->tls) {
        err_set(error, ERR_INVALID, "HTTPS needs a certificate and a key");
        close(fd);
        return false;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    HttpListener *listener = g_new0(HttpListener, 1);
    *listener = (HttpListener){ WATCH_LISTENER, fd, tls, bound_port(fd) };
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = listener };
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        err_set_errno(error, errno, "listening socket");
        close(fd);
        g_free(listener);
        return false;
    }
    g_ptr_array_add(server->listeners, listener);
    return true;
}

/* "127.0.0.1:80", "[::1]:80", "localhost:80" */
static struct addrinfo *resolve(const char *address, GError **error)
{
    const char *colon = strrchr(address, ':');
    size_t n_host = colon ? (size_t) (colon - address) : 0;
    bool brackets = n_host >= 2 && address[0] == '[' && colon[-1] == ']';
    g_autofree char *host = brackets ? g_strndup(address + 1, n_host - 2)
                                     : g_strndup(address, n_host);
    struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    int status = colon && (brackets || !strchr(host, ':'))
                     ? getaddrinfo(*host ? host : NULL, colon + 1, &hints, &found)
                     : EAI_NONAME;
    if (status == 0)
        return found;
    err_set(error, ERR_INVALID, "%s is not an address to listen on (ADDRESS:PORT): %s", address,
            gai_strerror(status));
    return NULL;
}

guint16 http_server_listen(HttpServer *server, const char *address, bool tls, GError **error)
{
    struct addrinfo *found = resolve(address, error);
    if (!found)
        return 0;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, status = fd < 0 ? -1 : 0;
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        status = bind(fd, found->ai_addr, found->ai_addrlen);
        if (status == 0)
            status = listen(fd, BACKLOG);
    }
    int errnum = errno;
    freeaddrinfo(found);
    if (status < 0) {
        err_set_errno(error, errnum, "cannot listen on %s", address);
        if (fd >= 0)
            close(fd);
        return 0;
    }
    guint16 port = bound_port(fd);
    return http_server_listen_fd(server, fd, tls, error) ? port : 0;
}

bool http_server_start(HttpServer *server, GError **error)
{
    sigpipe_ignore();
    server->threads = http_threads_new(server->config.max_threads);
    int status = pthread_create(&server->loop_thread, NULL, http_loop, server);
    if (status) {
        err_set_errno(error, status, "cannot start the thread of the HTTP server");
        http_threads_free(server->threads);
        return false;
    }
    server->started = true;
    return true;
}

static void move_stop(HttpServer *server, int stage)
{
    atomic_store(&server->stopping, stage);
    http_loop_wake(server);
}

static void wait_empty(HttpServer *server, unsigned timeout_ms)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&server->lock);
    int status = 0;
    while (server->n_connections && status == 0)
        status = pthread_cond_timedwait(&server->changed, &server->lock, &end);
    pthread_mutex_unlock(&server->lock);
}

void http_server_stop(HttpServer *server, unsigned drain_ms)
{
    if (!server->started)
        return;
    move_stop(server, 1);
    if (drain_ms)
        wait_empty(server, drain_ms);
    move_stop(server, 2);
    if (!http_threads_drain(server->threads, CUT_MS)) {
        log_error("http", "handlers still run %d s after the end of the server", CUT_MS / 1000);
        return; /* whatever they use stays */
    }
    wait_empty(server, CUT_MS);
    move_stop(server, 3);
    pthread_join(server->loop_thread, NULL);
    http_threads_drain(server->threads, CUT_MS); /* the last closed() */
    http_threads_free(server->threads);
    server->started = false;
}

void http_server_free(HttpServer *server)
{
    if (!server)
        return;
    http_server_stop(server, 0);
    if (!server->started)
        free_struct(server);
}
