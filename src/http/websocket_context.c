/* wslay's context of a socket, and what it calls. A context is 8.6 KiB, nearly all of it windows
 * for bytes on their way, and thousands of sockets are silent most of the time: one that is between
 * two messages, with nothing to send, has none. The server keeps one context that is free, for the
 * next socket that the loop looks at: mostly that one serves them all, and no message costs memory
 * that is taken and given back.
 */
#include "http/websocket_private.h"

#include "base/mutant.h"

#include <string.h>

enum { MAX_FRAGMENTS = 4096 }; /* of one message: each is an allocation, however small */

/* Contexts go from one socket to another: what they call knows the server. */
static WebSocket *pumped(void *user)
{
    HttpServer *server = user;
    return server->pumped;
}

static ssize_t on_recv(wslay_event_context_ptr context, uint8_t *buffer, size_t n, int flags,
                       void *user)
{
    WebSocket *socket = pumped(user);
    HttpConnection *connection = socket->connection;
    ssize_t got = STREAM_WANT_READ;
    size_t waiting = connection_in(connection);
    if (socket->n_read >= WS_MAX_READ_BYTES || ws_is_paused(socket)) {
        got = STREAM_WANT_READ;
    } else if (waiting) {
        got = (ssize_t) MIN(n, waiting);
        memcpy(buffer, connection_in_data(connection), (size_t) got);
        connection_in_take(connection, (size_t) got);
    } else {
        got = stream_try_read(connection->stream, buffer, n);
    }
    if (got > 0) {
        socket->n_read += (size_t) got;
        socket->n_part_bytes += (guint64) got;
        socket->seen_us = g_get_monotonic_time();
        return got;
    }
    socket->gone |= got == 0 || got == STREAM_BROKEN;
    socket->read_wants_write = got == STREAM_WANT_WRITE;
    wslay_event_set_error(context,
                          socket->gone ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr context, const uint8_t *data, size_t n, int flags,
                       void *user)
{
    WebSocket *socket = pumped(user);
    ssize_t put = stream_try_write(socket->connection->stream, data, n, false);
    if (put > 0)
        return put;
    socket->gone |= put == STREAM_BROKEN || put == 0;
    wslay_event_set_error(context,
                          socket->gone ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static void on_frame(wslay_event_context_ptr context,
                     const struct wslay_event_on_frame_recv_start_arg *frame, void *user)
{
    WebSocket *socket = pumped(user);
    guint64 n = frame->payload_length;
    socket->frame_bytes = 2 + (n < 126 ? 0 : n <= G_MAXUINT16 ? 2 : 8) + 4 + n;
    if (wslay_is_ctrl_frame(frame->opcode) || socket->refused)
        return;
    socket->in_message = !frame->fin;
    socket->n_fragments = frame->opcode == WSLAY_CONTINUATION_FRAME ? socket->n_fragments + 1 : 1;
    if (socket->n_fragments <= MAX_FRAGMENTS ||
        MUTANT(ws_fragments)) /* mutant: http_websocket:test_fragments_number */
        return;
    static const char reason[] = "the message has too many fragments";
    socket->refused = true;
    http_log_refusal(socket->server, socket->peer, reason);
    wslay_event_queue_close(context, WSLAY_CODE_MESSAGE_TOO_BIG, (const uint8_t *) reason,
                            sizeof reason - 1);
    wslay_event_shutdown_read(context);
}

static void on_frame_end(wslay_event_context_ptr context, void *user)
{
    WebSocket *socket = pumped(user);
    socket->n_part_bytes -= socket->frame_bytes;
}

static void on_message(wslay_event_context_ptr context,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    WebSocket *socket = pumped(user);
    bool text = message->opcode == WSLAY_TEXT_FRAME;
    if (wslay_is_ctrl_frame(message->opcode) || socket->refused)
        return;
    if (text ? !socket->ops.text : !socket->ops.binary) {
        socket->refused = true;
        static const char reason[] = "this kind of message is not understood";
        wslay_event_queue_close(context, WSLAY_CODE_UNSUPPORTED_DATA, (const uint8_t *) reason,
                                sizeof reason - 1);
        return;
    }
    guint8 *copy = g_malloc(message->msg_length + 1);
    if (message->msg_length)
        memcpy(copy, message->msg, message->msg_length);
    copy[message->msg_length] = '\0';
    Frame *frame =
        ws_frame_new(message->opcode, 0, g_bytes_new_take(copy, message->msg_length + 1));
    frame->deflated = wslay_get_rsv1(message->rsv);
    ws_post(socket, frame);
}

void ws_context_need(WebSocket *socket)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame,
        .on_frame_recv_end_callback = on_frame_end,
        .on_msg_recv_callback = on_message,
    };
    HttpServer *server = socket->server;
    if (!socket->wslay)
        socket->wslay = g_steal_pointer(&server->spare_wslay);
    if (!socket->wslay && wslay_event_context_server_init(&socket->wslay, &callbacks, server) != 0)
        g_error("no memory for a WebSocket");
    wslay_event_config_set_allowed_rsv_bits(socket->wslay,
                                            socket->deflate_bits ? WSLAY_RSV1_BIT : WSLAY_RSV_NONE);
}

/* Another context would go on as this one, and this one with another socket: no part of a frame or
 * a message is in it, nothing waits to be sent, and nobody has begun to close. */
static bool is_between(const WebSocket *socket)
{
    bool part = socket->n_part_bytes > 0 &&
                !MUTANT(ws_forgets_part); /* mutant: http_websocket:test_parts */
    bool message = socket->in_message &&
                   !MUTANT(ws_forgets_message); /* mutant: http_websocket:test_parts */
    return !socket->gone && !part && !message && wslay_event_want_read(socket->wslay) &&
           !wslay_event_want_write(socket->wslay) && !wslay_event_get_close_sent(socket->wslay) &&
           !wslay_event_get_close_received(socket->wslay);
}

void ws_context_rest(WebSocket *socket)
{
    HttpServer *server = socket->server;
    if (!is_between(socket))
        return;
    if (server->spare_wslay)
        wslay_event_context_free(server->spare_wslay);
    server->spare_wslay = g_steal_pointer(&socket->wslay);
}

void ws_context_free(WebSocket *socket)
{
    if (socket->wslay)
        wslay_event_context_free(socket->wslay);
    socket->wslay = NULL;
}
