/* The loop: accepts, shakes hands, reads heads, watches over deadlines, and owns WebSockets. It
 * never blocks; complete heads go to the pool and come back through http_loop_return. */
#include "http/connection.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    N_EVENTS = 128,
    READ_BYTES = 16384,
    LINGER_MS = 2000,
    MAX_LINGER_BYTES = 16 << 20,
    ACCEPT_BATCH = 64,
    ACCEPT_PAUSE_MS = 500, /* out of descriptors */
};

void connection_in_add(HttpConnection *connection, const void *data, size_t n)
{
    if (!connection->in)
        connection->in = g_byte_array_sized_new(READ_BYTES);
    g_byte_array_append(connection->in, data, (guint) n);
}

void connection_in_take(HttpConnection *connection, size_t n)
{
    connection->in_at += n;
    connection->scanned = 0;
    if (connection->in && connection->in_at == connection->in->len) {
        g_clear_pointer(&connection->in, g_byte_array_unref); /* idle connections hold no buffer */
        connection->in_at = 0;
    }
}

void http_loop_wake(HttpServer *server)
{
    guint64 one = 1;
    ssize_t n = write(server->wake_fd, &one, sizeof one);
    (void) n; /* a full counter wakes as well */
}

void http_loop_return(HttpConnection *connection)
{
    HttpServer *server = connection->server;
    pthread_mutex_lock(&server->lock);
    bool first = g_queue_is_empty(&server->returned);
    g_queue_push_tail(&server->returned, connection);
    pthread_mutex_unlock(&server->lock);
    if (first)
        http_loop_wake(server);
}

static void arm(HttpConnection *connection, uint32_t events)
{
    struct epoll_event event = { .events = events | EPOLLONESHOT, .data.ptr = connection };
    epoll_ctl(connection->server->epoll_fd, EPOLL_CTL_MOD, stream_fd(connection->stream), &event);
}

static void set_deadline(HttpConnection *connection, unsigned ms)
{
    connection->deadline_us = g_get_monotonic_time() + (gint64) ms * 1000;
}

static void count_address(HttpConnection *connection, int change)
{
    GHashTable *table = connection->server->per_address;
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(table, connection->peer)) + (guint) change;
    if (n)
        g_hash_table_insert(table, g_strdup(connection->peer), GUINT_TO_POINTER(n));
    else
        g_hash_table_remove(table, connection->peer);
}

static void set_count(HttpServer *server, int change)
{
    pthread_mutex_lock(&server->lock);
    server->n_connections += (unsigned) change;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* The end of a connection; freed at the end of the round, as events of this round may name it. */
static void close_connection(HttpConnection *connection)
{
    HttpServer *server = connection->server;
    if (connection->state == CONNECTION_CLOSED)
        return;
    if (connection->socket) {
        ws_detach(connection->socket);
        connection->socket = NULL;
    }
    connection->state = CONNECTION_CLOSED;
    count_address(connection, -1);
    g_queue_unlink(&server->connections, &connection->link);
    g_queue_push_tail_link(&server->graves, &connection->link);
}

static void bury(HttpServer *server)
{
    GList *link;
    while ((link = g_queue_pop_head_link(&server->graves))) {
        HttpConnection *connection = link->data;
        stream_free(connection->stream);
        g_clear_pointer(&connection->in, g_byte_array_unref);
        g_free(connection);
        set_count(server, -1);
    }
}

/* Nothing more is sent: ends our direction and waits a little for the client's. */
static void linger(HttpConnection *connection)
{
    stream_end(connection->stream);
    if (connection->socket) {
        ws_detach(connection->socket);
        connection->socket = NULL;
    }
    connection->state = CONNECTION_LINGER;
    set_deadline(connection, LINGER_MS);
    arm(connection, EPOLLIN);
}

static void on_linger(HttpConnection *connection)
{
    char buffer[READ_BYTES];
    ssize_t n = recv(stream_fd(connection->stream), buffer, sizeof buffer, 0);
    if (n > 0)
        connection->n_lingered += (size_t) n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
        connection->n_lingered > MAX_LINGER_BYTES)
        close_connection(connection);
    else
        arm(connection, EPOLLIN);
}

static void refuse(HttpConnection *connection, int status)
{
    g_autofree char *text = http_refusal(status, false);
    http_log_refusal(connection->server, connection->peer, http_reason(status));
    stream_try_write(connection->stream, text, strlen(text), false); /* fits the kernel's buffer */
    linger(connection);
}

/* A head that exceeds the limit: which part of it does? */
static int too_long(const HttpConnection *connection, size_t n)
{
    return memchr(connection_in_data(connection), '\n', n) ? 431 : 414;
}

/* Looks for a head in what has arrived. True when the connection has left this state. */
static bool look_for_head(HttpConnection *connection)
{
    size_t n = connection_in(connection), max = connection->server->config.max_header_bytes;
    if (n == 0)
        return false;
    if (!connection->head_begun) {
        connection->head_begun = true;
        set_deadline(connection, connection->server->config.header_timeout_ms);
    }
    gssize length = http_head_find(connection_in_data(connection), n, &connection->scanned);
    if (length < 0) {
        refuse(connection, 400);
        return true;
    }
    if ((size_t) length > max || (length == 0 && n > max)) {
        refuse(connection, too_long(connection, max));
        return true;
    }
    if (length == 0)
        return false;
    connection->head_bytes = (size_t) length;
    connection->state = CONNECTION_BUSY;
    connection->deadline_us = G_MAXINT64;
    http_threads_submit(connection->server->threads, http_serve, connection);
    return true;
}

static void on_head(HttpConnection *connection, bool readable)
{
    char buffer[READ_BYTES];
    while (!look_for_head(connection)) {
        ssize_t got = readable ? stream_try_read(connection->stream, buffer, sizeof buffer)
                               : STREAM_WANT_READ;
        if (got > 0) {
            connection_in_add(connection, buffer, (size_t) got);
        } else if (got == 0 || got == STREAM_BROKEN) {
            close_connection(connection);
            return;
        } else {
            arm(connection, got == STREAM_WANT_READ ? EPOLLIN : EPOLLOUT);
            return;
        }
    }
}

static void on_handshake(HttpConnection *connection)
{
    int status = stream_try_handshake(connection->stream);
    if (status == STREAM_BROKEN) {
        close_connection(connection);
    } else if (status == 0) {
        connection->state = CONNECTION_HEAD;
        on_head(connection, true);
    } else {
        arm(connection, status == STREAM_WANT_READ ? EPOLLIN : EPOLLOUT);
    }
}

static void after_socket(HttpConnection *connection, SocketFate fate, uint32_t events)
{
    if (fate == SOCKET_STAYS)
        arm(connection, events);
    else if (fate == SOCKET_ENDS)
        linger(connection);
    else
        close_connection(connection);
}

static void pump_socket(HttpConnection *connection)
{
    uint32_t events = 0;
    SocketFate fate = ws_pump(connection->socket, &events);
    after_socket(connection, fate, events);
}

static void on_connection(HttpConnection *connection)
{
    switch (connection->state) {
    case CONNECTION_HANDSHAKE:
        on_handshake(connection);
        break;
    case CONNECTION_HEAD:
        on_head(connection, true);
        break;
    case CONNECTION_SOCKET:
        pump_socket(connection);
        break;
    case CONNECTION_LINGER:
        on_linger(connection);
        break;
    case CONNECTION_BUSY:
    case CONNECTION_CLOSED:
        break;
    }
}

/* A pool thread gives the connection back. */
static void take_back(HttpConnection *connection)
{
    HttpServer *server = connection->server;
    switch (connection->fate) {
    case FATE_DROP:
        close_connection(connection);
        break;
    case FATE_END:
        linger(connection);
        break;
    case FATE_UPGRADE:
        connection->state = CONNECTION_SOCKET;
        ws_attach(connection->socket, connection);
        if (atomic_load(&server->stopping))
            ws_close(connection->socket, 1012, "the server stops");
        pump_socket(connection);
        break;
    case FATE_KEEP:
        if (atomic_load(&server->stopping)) {
            linger(connection);
            break;
        }
        connection->state = CONNECTION_HEAD;
        connection->head_begun = false;
        set_deadline(connection, server->config.idle_timeout_ms);
        on_head(connection, stream_has_pending(connection->stream));
        break;
    }
}

static void take_returned(HttpServer *server)
{
    for (;;) {
        pthread_mutex_lock(&server->lock);
        HttpConnection *connection = g_queue_pop_head(&server->returned);
        WebSocket *socket = connection ? NULL : g_queue_pop_head(&server->woken);
        pthread_mutex_unlock(&server->lock);
        if (connection) {
            take_back(connection);
        } else if (socket) {
            HttpConnection *of = ws_connection(socket);
            if (of && of->state == CONNECTION_SOCKET)
                pump_socket(of);
            ws_unref(socket);
        } else {
            return;
        }
    }
}

/* Makes room: of the connections that wait for a next request, the one that ends first. */
static bool evict_idle(HttpServer *server)
{
    HttpConnection *oldest = NULL;
    for (GList *link = server->connections.head; link; link = link->next) {
        HttpConnection *connection = link->data;
        if (connection->state == CONNECTION_HEAD && connection_in(connection) == 0 &&
            (!oldest || connection->deadline_us < oldest->deadline_us))
            oldest = connection;
    }
    if (oldest)
        close_connection(oldest);
    return oldest != NULL;
}

static void name_peer(HttpConnection *connection, const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *) address;
        inet_ntop(AF_INET, &v4->sin_addr, connection->peer, sizeof connection->peer);
        connection->loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *) address;
        inet_ntop(AF_INET6, &v6->sin6_addr, connection->peer, sizeof connection->peer);
        connection->loopback = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            memmove(connection->peer, connection->peer + 7, strlen(connection->peer + 7) + 1);
    }
}

static bool may_enter(HttpServer *server, const HttpConnection *connection)
{
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(server->per_address, connection->peer));
    bool exempt = (connection->loopback && !server->config.limit_loopback) ||
                  trust_has(server->proxies, connection->peer);
    if (n >= server->config.max_per_address && !exempt)
        return false;
    return g_queue_get_length(&server->connections) < server->config.max_connections ||
           evict_idle(server);
}

static void enter(HttpServer *server, const HttpListener *listener, int fd,
                  const struct sockaddr_storage *address)
{
    HttpConnection *connection = g_new0(HttpConnection, 1);
    name_peer(connection, address);
    if (!may_enter(server, connection)) {
        http_log_refusal(server, connection->peer, "too many connections");
        g_free(connection);
        close(fd);
        return;
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    pthread_mutex_lock(&server->lock);
    connection->stream = stream_new(fd, listener->tls ? server->tls : NULL);
    pthread_mutex_unlock(&server->lock);
    connection->watch = WATCH_CONNECTION;
    connection->server = server;
    connection->state = listener->tls ? CONNECTION_HANDSHAKE : CONNECTION_HEAD;
    connection->head_begun = true; /* the first head has no idle time */
    connection->link.data = connection;
    set_deadline(connection, server->config.header_timeout_ms);
    g_queue_push_tail_link(&server->connections, &connection->link);
    count_address(connection, 1);
    set_count(server, 1);
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.ptr = connection };
    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void watch_listeners(HttpServer *server, bool on)
{
    for (guint i = 0; i < server->listeners->len; i++) {
        HttpListener *listener = server->listeners->pdata[i];
        struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.ptr = listener };
        epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, listener->fd, &event);
    }
}

static void on_listener(HttpServer *server, const HttpListener *listener)
{
    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage address = { 0 };
        socklen_t n = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *) &address, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            enter(server, listener, fd, &address);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warning("http", "cannot accept connections for now: %s", g_strerror(errno));
            watch_listeners(server, false);
            server->accept_after_us = g_get_monotonic_time() + ACCEPT_PAUSE_MS * 1000;
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_deadline(HttpConnection *connection)
{
    if (connection->state == CONNECTION_HEAD && connection_in(connection))
        refuse(connection, 408);
    else
        close_connection(connection);
}

static void tick(HttpServer *server, gint64 now_us)
{
    for (GList *link = server->connections.head, *next; link; link = next) {
        next = link->next;
        HttpConnection *connection = link->data;
        if (connection->state == CONNECTION_SOCKET) {
            uint32_t events = 0;
            SocketFate fate = ws_tick(connection->socket, now_us, &events);
            if (fate != SOCKET_STAYS || events)
                after_socket(connection, fate, events);
        } else if (now_us >= connection->deadline_us) {
            on_deadline(connection);
        }
    }
    if (server->accept_after_us && now_us >= server->accept_after_us) {
        server->accept_after_us = 0;
        if (!atomic_load(&server->stopping))
            watch_listeners(server, true);
    }
}

/* Draining: idle connections go at once, busy ones after their answer. */
static void begin_stop(HttpServer *server)
{
    for (guint i = 0; i < server->listeners->len; i++) {
        HttpListener *listener = server->listeners->pdata[i];
        close(listener->fd);
        listener->fd = -1;
    }
    for (GList *link = server->connections.head, *next; link; link = next) {
        next = link->next;
        HttpConnection *connection = link->data;
        if (connection->state == CONNECTION_SOCKET) {
            ws_close(connection->socket, 1012, "the server stops");
            pump_socket(connection);
        } else if (connection->state == CONNECTION_HEAD ||
                   connection->state == CONNECTION_HANDSHAKE) {
            close_connection(connection);
        }
    }
}

static void cut_all(HttpServer *server)
{
    for (GList *link = server->connections.head, *next; link; link = next) {
        next = link->next;
        HttpConnection *connection = link->data;
        if (connection->state == CONNECTION_BUSY)
            stream_cut(connection->stream);
        else
            close_connection(connection);
    }
}

/* How often deadlines are looked at: a quarter of the shortest. */
static int tick_ms(const HttpServerConfig *config)
{
    unsigned shortest =
        MIN(MIN(config->header_timeout_ms, config->idle_timeout_ms), config->send_timeout_ms);
    return (int) CLAMP(shortest / 4, 10, 250);
}

static void on_event(HttpServer *server, void *data)
{
    switch (*(const HttpWatch *) data) {
    case WATCH_WAKE: {
        guint64 n;
        ssize_t got = read(server->wake_fd, &n, sizeof n);
        (void) got;
        break;
    }
    case WATCH_LISTENER:
        on_listener(server, data);
        break;
    case WATCH_CONNECTION:
        on_connection(data);
        break;
    }
}

void *http_loop(void *user)
{
    HttpServer *server = user;
    struct epoll_event events[N_EVENTS];
    int each_ms = tick_ms(&server->config), stop_seen = 0;
    gint64 next_tick_us = 0;
    while (stop_seen < 3) {
        int n = epoll_wait(server->epoll_fd, events, N_EVENTS, each_ms);
        for (int i = 0; i < n; i++)
            on_event(server, events[i].data.ptr);
        take_returned(server);
        gint64 now_us = g_get_monotonic_time();
        if (now_us >= next_tick_us) {
            tick(server, now_us);
            next_tick_us = now_us + each_ms * 1000;
        }
        int stop = atomic_load(&server->stopping);
        if (stop >= 1 && stop_seen < 1)
            begin_stop(server);
        if (stop >= 2)
            cut_all(server);
        stop_seen = stop;
        bury(server);
    }
    return NULL;
}
