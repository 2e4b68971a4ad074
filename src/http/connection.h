/* What the files of the server share: server, connection, request; private to the room.
 *
 * A connection belongs to one thread at a time: the loop, or the pool thread that serves its
 * present request. Only the loop makes and frees connections. A request lives on the stack of its
 * thread. */
#pragma once

#include "http/body.h"
#include "http/parser.h"
#include "http/server.h"
#include "http/stream.h"
#include "http/threads.h"
#include "http/trust.h"
#include "http/websocket.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct HttpConnection HttpConnection;

/* What epoll points at. */
typedef enum { WATCH_WAKE, WATCH_LISTENER, WATCH_CONNECTION } HttpWatch;

typedef struct {
    HttpWatch watch;
    int fd;
    bool tls;
    guint16 port;
} HttpListener;

typedef enum {
    CONNECTION_HANDSHAKE, /* TLS */
    CONNECTION_HEAD,      /* idle, or a head arrives */
    CONNECTION_BUSY,      /* with a pool thread */
    CONNECTION_SOCKET,    /* a WebSocket */
    CONNECTION_LINGER,    /* answered and shut; reads what still comes, so that no reset hits the
                             answer */
    CONNECTION_CLOSED,    /* freed at the end of the loop's round */
} HttpConnectionState;

typedef enum { FATE_KEEP, FATE_END, FATE_DROP, FATE_UPGRADE } HttpFate;

struct HttpConnection {
    HttpWatch watch;
    HttpServer *server;
    HttpStream *stream;
    char peer[INET6_ADDRSTRLEN];
    bool loopback;
    GByteArray *in; /* received; bytes before in_at are used up; NULL: none */
    size_t in_at, scanned, head_bytes;
    HttpFate fate; /* set by the pool thread when it gives the connection back */
    WebSocket *socket;
    /* of the loop */
    HttpConnectionState state;
    gint64 deadline_us;
    bool head_begun;
    size_t n_lingered;
    GList link;
};

struct HttpRequest {
    HttpConnection *connection;
    HttpHead head;
    HttpBody body;
    GPtrArray *strings; /* answers of the accessors */
    GString *headers;   /* of the reply */
    bool continue_due;  /* the client waits for 100 Continue */
    bool has_date, has_connection;
    enum { REPLY_NONE, REPLY_BEGUN, REPLY_DONE } reply;
    bool reply_chunked, reply_bodiless;
    gint64 reply_left; /* of a known length, else -1 */
    bool close, raw, aborted, too_large;
    bool broken;  /* nothing more can be sent */
    bool proxied; /* came through a trusted proxy */
    char *peer;
    gint64 waited_us;     /* for bytes of the body */
    gint64 read_until_us; /* of a body that nobody wants; 0: no end */
};

struct HttpServer {
    HttpServerConfig config; /* with the defaults filled in */
    char *cert_file, *key_file;
    SSL_CTX *tls;       /* under lock */
    GPtrArray *proxies; /* networks */
    char **origins;
    GPtrArray *listeners;
    HttpThreads *threads;
    pthread_t loop_thread;
    bool started;
    atomic_int stopping; /* 0, 1: draining, 2: cutting, 3: the loop ends */
    int epoll_fd, wake_fd;
    HttpWatch wake_watch;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the number of connections has */
    GQueue returned;        /* HttpConnection, from pool threads */
    GQueue woken;           /* WebSocket with a reference: output waits, or input may go on */
    unsigned n_connections; /* written by the loop under the lock */
    /* of the loop */
    GQueue connections, graves;
    GHashTable *per_address;
    gint64 accept_after_us;
    WebSocket *pumped;                       /* whom wslay's callbacks serve */
    struct wslay_event_context *spare_wslay; /* for the next socket that needs one; or NULL */
    /* of refusals that are logged, under lock */
    gint64 refusals_second;
    unsigned n_refusals;
};

/* --- input buffer of a connection --- */
static inline size_t connection_in(const HttpConnection *connection)
{
    return connection->in ? connection->in->len - connection->in_at : 0;
}
static inline const char *connection_in_data(const HttpConnection *connection)
{
    return (const char *) connection->in->data + connection->in_at;
}
void connection_in_take(HttpConnection *connection, size_t n);
void connection_in_add(HttpConnection *connection, const void *data, size_t n);

/* --- server.c --- */
/* Logs a refusal; a flood of them is cut short. */
void http_log_refusal(HttpServer *server, const char *peer, const char *what);
/* --- serve.c: job of a pool thread --- */
void http_serve(void *connection);
/* --- reply.c --- */
/* A short answer that ends the connection, for refusals before there is a request. */
char *http_refusal(int status, bool version_10);
const char *http_reason(int status);
void http_send_continue(HttpRequest *request);
/* --- loop.c --- */
void *http_loop(void *server);
void http_loop_wake(HttpServer *server);
void http_loop_return(HttpConnection *connection);
/* --- websocket.c, called by upgrade.c --- */
WebSocket *ws_new(HttpRequest *request, const WebSocketOps *ops, const WebSocketLimits *limits,
                  int deflate_bits, void *user);
/* --- and by the loop --- */
typedef enum { SOCKET_STAYS, SOCKET_ENDS, SOCKET_DROPS } SocketFate;
/* Reads and writes what is possible; *events gets the epoll events to wait for. */
SocketFate ws_pump(WebSocket *socket, uint32_t *events);
/* Pings, deadlines; *events stays 0 when nothing changed. */
SocketFate ws_tick(WebSocket *socket, gint64 now_us, uint32_t *events);
void ws_attach(WebSocket *socket, HttpConnection *connection);
void ws_detach(WebSocket *socket);
HttpConnection *ws_connection(WebSocket *socket);
