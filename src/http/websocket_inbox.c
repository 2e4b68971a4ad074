/* Messages that have arrived, delivered in their order by one job at a time, in a pool thread. What
 * was compressed is inflated there, not in the loop. */
#include "http/websocket_private.h"

#include "base/error.h"
#include "http/deflate.h"

enum {
    MAX_INBOX = 64,    /* messages; then the socket is not read */
    JOB_MESSAGES = 16, /* then other sockets get the thread */
};

static Frame *next_message(WebSocket *socket)
{
    pthread_mutex_lock(&socket->lock);
    Frame *frame = g_queue_pop_head(&socket->inbox);
    if (!frame)
        socket->running = false;
    else if (frame->bytes)
        socket->inbox_bytes -= g_bytes_get_size(frame->bytes);
    if (frame && socket->paused && g_queue_get_length(&socket->inbox) <= MAX_INBOX / 2) {
        socket->paused = false;
        if (!socket->closed)
            ws_wake(socket);
    }
    pthread_mutex_unlock(&socket->lock);
    return frame;
}

static void hand_over(WebSocket *socket, guint8 opcode, const char *data, gsize n)
{
    if (opcode == WSLAY_TEXT_FRAME)
        socket->ops.text(socket, data, n, socket->user);
    else
        socket->ops.binary(socket, data, n, socket->user);
}

static void refuse(WebSocket *socket, unsigned code, const char *reason)
{
    http_log_refusal(socket->server, socket->peer, reason);
    ws_close(socket, code, reason);
}

/* NUL is a character like others. */
static bool is_utf8(const char *text, gsize n)
{
    for (const char *end = text + n; !g_utf8_validate_len(text, (gsize) (end - text), &text);
         text++)
        if (*text)
            return false;
    return true;
}

/* A small message may become a large one: no larger than one that comes as it is. */
static void deliver_deflated(WebSocket *socket, const Frame *frame, const char *data, gsize n)
{
    g_autoptr(GError) error = NULL;
    gsize n_text;
    g_autofree char *text =
        inflate_message(data, n, atomic_load(&socket->max_message_bytes), &n_text, &error);
    if (!text)
        refuse(socket,
               err_is(error, ERR_LIMIT) ? WSLAY_CODE_MESSAGE_TOO_BIG : WSLAY_CODE_PROTOCOL_ERROR,
               error->message);
    else if (frame->opcode == WSLAY_TEXT_FRAME && !is_utf8(text, n_text))
        refuse(socket, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "a text that is not UTF-8");
    else
        hand_over(socket, frame->opcode, text, n_text);
}

static void deliver(WebSocket *socket, const Frame *frame)
{
    if (frame->opcode == CLOSED) {
        if (socket->ops.closed)
            socket->ops.closed(socket, socket->user);
        return;
    }
    gsize n;
    const char *data = g_bytes_get_data(frame->bytes, &n);
    if (frame->deflated)
        deliver_deflated(socket, frame, data, n - 1); /* the last byte is our NUL */
    else
        hand_over(socket, frame->opcode, data, n - 1);
}

static void deliver_all(void *user)
{
    WebSocket *socket = user;
    for (unsigned i = 0; i < JOB_MESSAGES; i++) {
        Frame *frame = next_message(socket);
        if (!frame) {
            ws_unref(socket);
            return;
        }
        deliver(socket, frame);
        ws_frame_free(frame);
    }
    http_threads_submit(socket->server->threads, deliver_all, socket);
}

void ws_post(WebSocket *socket, Frame *frame)
{
    pthread_mutex_lock(&socket->lock);
    g_queue_push_tail(&socket->inbox, frame);
    socket->inbox_bytes += frame->bytes ? g_bytes_get_size(frame->bytes) : 0;
    if (g_queue_get_length(&socket->inbox) >= MAX_INBOX ||
        socket->inbox_bytes > atomic_load(&socket->max_message_bytes))
        socket->paused = true;
    bool start = !socket->running;
    socket->running = true;
    pthread_mutex_unlock(&socket->lock);
    if (start)
        http_threads_submit(socket->server->threads, deliver_all, ws_ref(socket));
}

bool ws_is_paused(WebSocket *socket)
{
    pthread_mutex_lock(&socket->lock);
    bool paused = socket->paused;
    pthread_mutex_unlock(&socket->lock);
    return paused;
}
