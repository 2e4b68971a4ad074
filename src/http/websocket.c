/* WebSockets: wslay reads frames and writes control frames; data frames are written here, straight
 * from the shared bytes. The loop alone touches wslay and the connection; other threads meet it in
 * two queues under a lock: frames to send, and the inbox that one pool job at a time empties. */
#include "http/websocket_private.h"

#include "base/log.h"
#include "base/mutant.h"
#include "http/deflate.h"

#include <string.h>
#include <sys/epoll.h>

enum {
    CLOSE_MS = 5000,     /* for the peer's close frame after ours */
    WRITE_BYTES = 16384, /* header and beginning of a frame in one write */
    MAX_CONTROLS = 512,  /* pongs that wait: the client pings and does not read */
    MAX_REASON_BYTES = 123,
};

Frame *ws_frame_new(guint8 opcode, guint16 code, GBytes *bytes)
{
    Frame *frame = g_new(Frame, 1);
    *frame = (Frame){ .opcode = opcode, .code = code, .bytes = bytes };
    return frame;
}

static Frame *frame_new_rope(Rope *rope)
{
    Frame *frame = g_new(Frame, 1);
    *frame = (Frame){ .opcode = WSLAY_TEXT_FRAME, .rope = rope };
    return frame;
}

static size_t frame_bytes(const Frame *frame)
{
    return frame->rope ? rope_bytes(frame->rope) : g_bytes_get_size(frame->bytes);
}

void ws_frame_free(void *user)
{
    Frame *frame = user;
    if (!frame)
        return;
    if (frame->bytes)
        g_bytes_unref(frame->bytes);
    rope_unref(frame->rope);
    g_free(frame);
}

WebSocket *ws_ref(WebSocket *socket)
{
    atomic_fetch_add(&socket->n_refs, 1);
    return socket;
}

void ws_unref(WebSocket *socket)
{
    if (!socket || atomic_fetch_sub(&socket->n_refs, 1) != 1)
        return;
    g_queue_clear_full(&socket->out, ws_frame_free);
    g_queue_clear_full(&socket->inbox, ws_frame_free);
    ws_frame_free(socket->current);
    stage_end(&socket->stage);
    ws_context_free(socket);
    pthread_mutex_destroy(&socket->lock);
    g_free(socket->peer);
    g_free(socket);
}

HttpConnection *ws_connection(WebSocket *socket)
{
    return socket->connection;
}

/* --- output, from any thread --- */

/* Under the socket's lock. */
void ws_wake(WebSocket *socket)
{
    if (socket->woken)
        return;
    socket->woken = true;
    HttpServer *server = socket->server;
    pthread_mutex_lock(&server->lock);
    bool first = g_queue_is_empty(&server->woken);
    g_queue_push_tail(&server->woken, ws_ref(socket));
    pthread_mutex_unlock(&server->lock);
    if (first)
        http_loop_wake(server);
}

/* Takes the frame over. */
static bool queue_frame(WebSocket *socket, Frame *frame)
{
    size_t n = frame_bytes(frame);
    pthread_mutex_lock(&socket->lock);
    bool open = !socket->closed && !socket->closing && !socket->overflown;
    if (open && n > socket->max_queued_bytes - socket->queued_bytes && !MUTANT(ws_no_bound)) {
        /* mutant: http_websocket */
        socket->overflown = true;
        open = false;
        ws_wake(socket);
    }
    if (open) {
        socket->queued_bytes += n;
        g_queue_push_tail(&socket->out, frame);
        ws_wake(socket);
    }
    pthread_mutex_unlock(&socket->lock);
    if (!open)
        ws_frame_free(frame);
    return open;
}

static bool is_to_deflate(const WebSocket *socket, size_t n)
{
    return socket->deflate_bits && n >= DEFLATE_MIN_BYTES;
}

static bool send_deflated(WebSocket *socket, guint8 opcode, GBytes *message)
{
    Frame *frame = ws_frame_new(opcode, 0, deflate_message(message, socket->deflate_bits));
    frame->deflated = true;
    return queue_frame(socket, frame);
}

bool ws_send_text(WebSocket *socket, GBytes *text)
{
    if (is_to_deflate(socket, g_bytes_get_size(text)))
        return send_deflated(socket, WSLAY_TEXT_FRAME, text);
    return queue_frame(socket, ws_frame_new(WSLAY_TEXT_FRAME, 0, g_bytes_ref(text)));
}

bool ws_send_rope(WebSocket *socket, Rope *text)
{
    if (!is_to_deflate(socket, rope_bytes(text)))
        return queue_frame(socket, frame_new_rope(rope_ref(text)));
    g_autoptr(GBytes) flat = rope_flat(text);
    return send_deflated(socket, WSLAY_TEXT_FRAME, flat);
}

bool ws_send_string(WebSocket *socket, const char *text)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    return ws_send_text(socket, bytes);
}

bool ws_send_binary(WebSocket *socket, GBytes *data)
{
    return queue_frame(socket, ws_frame_new(WSLAY_BINARY_FRAME, 0, g_bytes_ref(data)));
}

size_t ws_queued_bytes(WebSocket *socket)
{
    pthread_mutex_lock(&socket->lock);
    size_t n = socket->queued_bytes;
    pthread_mutex_unlock(&socket->lock);
    return n;
}

void ws_close(WebSocket *socket, unsigned code, const char *reason)
{
    size_t n = reason ? strlen(reason) : 0;
    if (n > MAX_REASON_BYTES)
        n = (size_t) (g_utf8_find_prev_char(reason, reason + MAX_REASON_BYTES + 1) - reason);
    pthread_mutex_lock(&socket->lock);
    if (!socket->closed && !socket->closing) {
        socket->closing = true;
        g_queue_push_tail(&socket->out, ws_frame_new(WSLAY_CONNECTION_CLOSE, (guint16) code,
                                                     g_bytes_new(reason ? reason : "", n)));
        ws_wake(socket);
    }
    pthread_mutex_unlock(&socket->lock);
}

void ws_set_max_message(WebSocket *socket, size_t max_message_bytes)
{
    atomic_store(&socket->max_message_bytes, max_message_bytes);
}

/* --- the loop's side --- */

void ws_attach(WebSocket *socket, HttpConnection *connection)
{
    socket->connection = connection;
    socket->seen_us = g_get_monotonic_time();
    socket->next_ping_us = socket->seen_us + (gint64) socket->ping_ms * 1000;
}

void ws_detach(WebSocket *socket)
{
    socket->connection = NULL;
    pthread_mutex_lock(&socket->lock);
    socket->closed = true;
    g_queue_clear_full(&socket->out, ws_frame_free);
    socket->queued_bytes = 0;
    pthread_mutex_unlock(&socket->lock);
    ws_post(socket, ws_frame_new(CLOSED, 0, NULL));
    ws_unref(socket);
}

/* The header of an unfragmented, unmasked frame (RFC 6455 §5.2). */
static void make_header(WebSocket *socket)
{
    guint64 n = frame_bytes(socket->current);
    guint8 *header = socket->header;
    header[0] = 0x80 | (socket->current->deflated ? 0x40 : 0) | socket->current->opcode;
    unsigned n_length = n < 126 ? 0 : n <= G_MAXUINT16 ? 2 : 8;
    header[1] = n_length == 0 ? (guint8) n : n_length == 2 ? 126 : 127;
    for (unsigned i = 0; i < n_length; i++)
        header[2 + i] = (guint8) (n >> (8 * (n_length - 1 - i)));
    socket->n_header = 2 + n_length;
    socket->n_sent = 0;
}

/* One write of the current frame. The same call again after a refusal offers the same bytes, as
 * OpenSSL demands. */
static ssize_t write_current(WebSocket *socket)
{
    gsize n;
    if (socket->current->rope)
        return stage_write(&socket->stage, socket->connection->stream, socket->current->rope,
                           socket->header, socket->n_header);
    const char *data = g_bytes_get_data(socket->current->bytes, &n);
    HttpStream *stream = socket->connection->stream;
    if (socket->n_sent >= socket->n_header) {
        size_t at = socket->n_sent - socket->n_header;
        return stream_try_write(stream, data + at, n - at, false);
    }
    char buffer[WRITE_BYTES];
    size_t n_left = socket->n_header - socket->n_sent, n_data = MIN(n, sizeof buffer - n_left);
    memcpy(buffer, socket->header + socket->n_sent, n_left);
    if (n_data)
        memcpy(buffer + n_left, data, n_data);
    return stream_try_write(stream, buffer, n_left + n_data, false);
}

static bool push_current(WebSocket *socket)
{
    size_t total = socket->n_header + frame_bytes(socket->current);
    while (socket->n_sent < total) {
        ssize_t put = write_current(socket);
        if (put <= 0) {
            socket->gone |= put == STREAM_BROKEN || put == 0;
            return false;
        }
        socket->n_sent += (size_t) put;
        socket->blocked_us = 0;
    }
    pthread_mutex_lock(&socket->lock);
    socket->queued_bytes -= frame_bytes(socket->current);
    pthread_mutex_unlock(&socket->lock);
    g_clear_pointer(&socket->current, ws_frame_free);
    stage_end(&socket->stage);
    return true;
}

static Frame *next_frame(WebSocket *socket)
{
    pthread_mutex_lock(&socket->lock);
    Frame *frame = g_queue_pop_head(&socket->out);
    pthread_mutex_unlock(&socket->lock);
    return frame;
}

/* The next frame becomes the current one, or goes to wslay. False when there is none. */
static bool begin_frame(WebSocket *socket)
{
    Frame *frame = next_frame(socket);
    if (!frame)
        return false;
    if (frame->opcode == WSLAY_CONNECTION_CLOSE) {
        gsize n;
        const uint8_t *reason = g_bytes_get_data(frame->bytes, &n);
        wslay_event_queue_close(socket->wslay, frame->code, reason, n);
        ws_frame_free(frame);
    } else {
        socket->current = frame;
        make_header(socket);
        if (frame->rope)
            stage_begin(&socket->stage, socket->n_header + frame_bytes(frame));
    }
    return true;
}

/* Writes until nothing is left or the kernel is full. Control frames go between data frames. */
static void write_all(WebSocket *socket)
{
    socket->blocked = false;
    while (!socket->gone && !socket->blocked) {
        if (socket->current) {
            socket->blocked = !push_current(socket);
        } else if (wslay_event_want_write(socket->wslay)) {
            if (wslay_event_send(socket->wslay) != 0)
                socket->gone = true;
            socket->blocked = wslay_event_want_write(socket->wslay);
        } else if (wslay_event_get_close_sent(socket->wslay) || !begin_frame(socket)) {
            break;
        }
    }
    if (!socket->blocked)
        socket->blocked_us = 0;
    else if (!socket->blocked_us)
        socket->blocked_us = g_get_monotonic_time();
}

static void read_all(WebSocket *socket)
{
    socket->n_read = 0;
    socket->read_wants_write = false;
    wslay_event_config_set_max_recv_msg_length(socket->wslay,
                                               atomic_load(&socket->max_message_bytes));
    if (wslay_event_want_read(socket->wslay) && wslay_event_recv(socket->wslay) != 0)
        socket->gone = true;
    if (wslay_event_get_queued_msg_count(socket->wslay) > MAX_CONTROLS)
        socket->gone = true;
}

static SocketFate fate_of(WebSocket *socket)
{
    pthread_mutex_lock(&socket->lock);
    bool overflown = socket->overflown;
    pthread_mutex_unlock(&socket->lock);
    if (overflown) {
        log_warning("http", "WebSocket of %s dropped: it does not read", socket->peer);
        stream_reset(socket->connection->stream);
        return SOCKET_DROPS;
    }
    if (socket->gone)
        return SOCKET_DROPS;
    if (!wslay_event_want_read(socket->wslay) && !wslay_event_want_write(socket->wslay))
        return SOCKET_ENDS;
    if (wslay_event_get_close_sent(socket->wslay) && !socket->close_us)
        socket->close_us = g_get_monotonic_time() + CLOSE_MS * 1000;
    return SOCKET_STAYS;
}

SocketFate ws_pump(WebSocket *socket, uint32_t *events)
{
    pthread_mutex_lock(&socket->lock);
    socket->woken = false;
    pthread_mutex_unlock(&socket->lock);
    ws_context_need(socket);
    socket->server->pumped = socket;
    read_all(socket);
    write_all(socket);
    SocketFate fate = fate_of(socket);
    ws_context_rest(socket);
    bool paused = ws_is_paused(socket);
    *events = (paused ? 0 : EPOLLIN) | (socket->blocked || socket->read_wants_write ? EPOLLOUT : 0);
    if (fate == SOCKET_STAYS && !paused && socket->n_read >= WS_MAX_READ_BYTES) {
        pthread_mutex_lock(&socket->lock);
        ws_wake(socket); /* more may wait where epoll does not see it */
        pthread_mutex_unlock(&socket->lock);
    }
    return fate;
}

SocketFate ws_tick(WebSocket *socket, gint64 now_us, uint32_t *events)
{
    gint64 ping_us = (gint64) socket->ping_ms * 1000;
    gint64 send_us = (gint64) socket->server->config.send_timeout_ms * 1000;
    if (socket->close_us && now_us >= socket->close_us)
        return SOCKET_ENDS;
    if ((socket->blocked_us && now_us - socket->blocked_us > send_us) ||
        (now_us - socket->seen_us > 3 * ping_us && !ws_is_paused(socket))) {
        log_debug("http", "WebSocket of %s closed: silent", socket->peer);
        stream_reset(socket->connection->stream);
        return SOCKET_DROPS;
    }
    if (now_us < socket->next_ping_us)
        return SOCKET_STAYS;
    socket->next_ping_us = now_us + ping_us;
    struct wslay_event_msg ping = { .opcode = WSLAY_PING };
    ws_context_need(socket);
    if (!socket->close_us)
        wslay_event_queue_msg(socket->wslay, &ping);
    return ws_pump(socket, events);
}

WebSocket *ws_new(HttpRequest *request, const WebSocketOps *ops, const WebSocketLimits *limits,
                  int deflate_bits, void *user)
{
    static const WebSocketLimits none = { 0 };
    if (!limits)
        limits = &none;
    WebSocket *socket = g_new0(WebSocket, 1);
    atomic_init(&socket->n_refs, 1);
    socket->server = request->connection->server;
    socket->ops = *ops;
    socket->user = user;
    socket->peer = g_strdup(http_peer(request));
    atomic_init(&socket->max_message_bytes,
                limits->max_message_bytes ? limits->max_message_bytes : 16 << 20);
    socket->max_queued_bytes = limits->max_queued_bytes ? limits->max_queued_bytes : 64 << 20;
    socket->ping_ms = limits->ping_ms ? limits->ping_ms : 30000;
    pthread_mutex_init(&socket->lock, NULL);
    g_queue_init(&socket->out);
    g_queue_init(&socket->inbox);
    socket->deflate_bits = deflate_bits;
    return socket;
}
