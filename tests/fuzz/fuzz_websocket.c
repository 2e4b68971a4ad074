/* The bytes of a WebSocket client after the handshake, given to the socket as the loop does it.
 * Text that is delivered is UTF-8; the socket ends when its client does. */
#include "http/connection.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_text(WebSocket *socket, const char *text, size_t n, void *user)
{
    g_assert(g_utf8_validate(text, (gssize) n, NULL) || memchr(text, 0, n));
    g_assert(n <= 100000 && text[n] == '\0');
    ws_send_string(socket, "answer");
}

static void on_binary(WebSocket *socket, const void *data, size_t n, void *user)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, n);
    ws_send_binary(socket, bytes);
}

static void on_closed(WebSocket *socket, void *user)
{
    (*(int *) user)++;
}

static void forget_wakes(HttpServer *server)
{
    WebSocket *socket;
    pthread_mutex_lock(&server->lock);
    while ((socket = g_queue_pop_head(&server->woken)))
        ws_unref(socket);
    pthread_mutex_unlock(&server->lock);
}

static void nobody(HttpRequest *request, void *user)
{
}

static WebSocket *upgrade(HttpConnection *connection, int *n_closed)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const WebSocketOps ops = { on_text, on_binary, on_closed };
    static const WebSocketLimits limits = { .max_message_bytes = 100000 };
    HttpRequest request = { .connection = connection,
                            .strings = g_ptr_array_new_with_free_func(g_free),
                            .headers = g_string_new(NULL) };
    g_assert(http_head_parse(&request.head, head, strlen(head)) == 0);
    WebSocket *socket = ws_accept(&request, &ops, &limits, n_closed, NULL);
    g_assert(socket);
    http_head_clear(&request.head);
    g_ptr_array_unref(request.strings);
    g_string_free(request.headers, TRUE);
    return socket;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60000) /* what a socket pair takes without a reader */
        return 0;
    HttpServerConfig config = { .handler = nobody };
    HttpServer *server = http_server_new(&config, NULL);
    server->threads = http_threads_new(2);
    int pair[2], n_closed = 0;
    g_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    HttpConnection connection = { .server = server, .stream = stream_new(pair[0], NULL) };
    WebSocket *socket = upgrade(&connection, &n_closed);
    if (size > 1)
        connection_in_add(&connection, data, size / 2); /* came with the handshake */
    g_assert(write(pair[1], data + size / 2, size - size / 2) >= 0);
    shutdown(pair[1], SHUT_WR);
    ws_attach(socket, &connection);
    uint32_t events;
    for (unsigned i = 0; ws_pump(socket, &events) == SOCKET_STAYS; i++) {
        g_assert(i < 10000);
        http_threads_drain(server->threads, 1000);
    }
    ws_detach(socket);
    g_assert(http_threads_drain(server->threads, 1000) && n_closed == 1);
    forget_wakes(server);
    http_threads_free(server->threads);
    stream_free(connection.stream);
    g_clear_pointer(&connection.in, g_byte_array_unref);
    close(pair[1]);
    http_server_free(server);
    return 0;
}
