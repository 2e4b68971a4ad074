/* What the files of a WebSocket share; nobody else includes it. */
#pragma once

#include "http/connection.h"
#include "http/stage.h"

#include <wslay/wslay.h>

typedef struct {
    guint8 opcode; /* CLOSED in the inbox: the last call */
    guint16 code;  /* of a close frame */
    bool deflated;
    GBytes *bytes;
    Rope *rope; /* instead of bytes, of frames to send */
} Frame;

enum {
    CLOSED = 0xff,
    WS_MAX_READ_BYTES = 1 << 20, /* per round, so that one socket does not hold the loop */
};

struct WebSocket {
    atomic_int n_refs;
    HttpServer *server;
    WebSocketOps ops;
    void *user;
    char *peer;
    size_t max_queued_bytes;
    unsigned ping_ms;
    int deflate_bits; /* of the window; 0: messages are not compressed */
    atomic_size_t max_message_bytes;

    pthread_mutex_t lock;
    GQueue out, inbox;   /* Frame */
    size_t queued_bytes; /* of out and the current frame */
    size_t inbox_bytes;
    bool closed;    /* the loop has let it go */
    bool closing;   /* a close frame is queued: nothing after it */
    bool overflown; /* the client does not read */
    bool woken;     /* in server->woken */
    bool running;   /* a job delivers */
    bool paused;    /* the inbox is full */

    /* of the loop */
    HttpConnection *connection;
    wslay_event_context_ptr wslay; /* NULL between messages */
    guint64 n_part_bytes;          /* taken in, of frames that have not ended */
    guint64 frame_bytes;           /* of the frame that arrives, with its header */
    bool in_message;               /* more fragments are to come */
    Frame *current;
    guint8 header[10];
    size_t n_header, n_sent;
    Stage stage; /* of a rope */
    bool gone, blocked, read_wants_write, refused;
    size_t n_read;
    unsigned n_fragments; /* of the message that arrives */
    gint64 seen_us, next_ping_us, blocked_us, close_us;
};

/* Takes the bytes. */
Frame *ws_frame_new(guint8 opcode, guint16 code, GBytes *bytes);
void ws_frame_free(void *frame);
/* Under the socket's lock: the loop shall look at it. */
void ws_wake(WebSocket *socket);

/* --- websocket_context.c, in the loop --- */

void ws_context_need(WebSocket *socket);
/* Leaves it to the next socket unless it holds something. */
void ws_context_rest(WebSocket *socket);
void ws_context_free(WebSocket *socket);

/* --- websocket_inbox.c --- */

/* A message that has arrived, from the loop; the bytes, NULL with CLOSED, are taken. */
void ws_post(WebSocket *socket, Frame *frame);
bool ws_is_paused(WebSocket *socket);
