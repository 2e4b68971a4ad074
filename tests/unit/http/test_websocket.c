/* WebSockets over plain and TLS connections, with frames made by hand: order, limits, wrong frames,
 * closing, clients that do not read. */
#include "http/certificate.h"
#include "http/websocket.h"

#include "base/error.h"
#include "base/openssl.h"

#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct {
    HttpServer *server;
    guint16 ports[2]; /* plain, TLS */
    char *folder;
    WebSocketLimits limits;
    pthread_mutex_t lock;
    WebSocket *kept; /* the socket that was accepted last; under lock */
    _Atomic int n_closed, n_slow;
    GBytes *big;
    size_t peak_bytes; /* queued for a client that does not read */
} Fixture;

/* --- the server's side --- */

/* n bytes in pieces of all sizes; byte i is the letter of i modulo 23. */
static Rope *make_rope(size_t n)
{
    Rope *rope = rope_new();
    g_autofree char *letters = g_malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        letters[i] = (char) ('a' + i % 23);
    for (size_t at = 0, part = 1; at < n; at += part, part = part * 2 + 1) {
        part = MIN(part, n - at);
        g_autoptr(GBytes) bytes = g_bytes_new(letters + at, part / 2);
        rope_add(rope, bytes);
        rope_add_copy(rope, letters + at + part / 2, part - part / 2);
    }
    return rope;
}

static void on_text(WebSocket *socket, const char *text, size_t n, void *user)
{
    Fixture *f = user;
    assert_int_equal(strlen(text), n);
    if (strcmp(text, "slow") == 0) {
        f->n_slow++;
        g_usleep(300000);
    } else if (strcmp(text, "flood") == 0) {
        while (ws_send_text(socket, f->big))
            f->peak_bytes = MAX(f->peak_bytes, ws_queued_bytes(socket));
        return;
    } else if (g_str_has_prefix(text, "rope ")) {
        g_autoptr(Rope) rope = make_rope((size_t) g_ascii_strtoull(text + 5, NULL, 10));
        ws_send_rope(socket, rope);
        return;
    } else if (strcmp(text, "close") == 0) {
        ws_send_string(socket, "before");
        ws_close(socket, 4001, "as asked");
        assert_false(ws_send_string(socket, "after"));
        return;
    }
    ws_send_string(socket, text);
}

static void on_binary(WebSocket *socket, const void *data, size_t n, void *user)
{
    g_autoptr(GBytes) bytes = g_bytes_new(data, n);
    ws_send_binary(socket, bytes);
}

static void on_closed(WebSocket *socket, void *user)
{
    Fixture *f = user;
    assert_false(ws_send_string(socket, "too late"));
    f->n_closed++;
}

static void handler(HttpRequest *request, void *user)
{
    static const WebSocketOps both = { on_text, on_binary, on_closed };
    static const WebSocketOps only_text = { on_text, NULL, on_closed };
    Fixture *f = user;
    bool text = strcmp(http_path(request), "/text") == 0;
    WebSocket *socket = ws_accept(request, text ? &only_text : &both, &f->limits, f, NULL);
    if (!socket)
        return;
    if (strcmp(http_path(request), "/greet") == 0)
        ws_send_string(socket, "welcome");
    pthread_mutex_lock(&f->lock);
    ws_unref(f->kept);
    f->kept = ws_ref(socket);
    pthread_mutex_unlock(&f->lock);
}

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    pthread_mutex_init(&f->lock, NULL);
    f->folder = g_dir_make_tmp("http-XXXXXX", NULL);
    g_autofree char *cert = g_build_filename(f->folder, "cert.pem", NULL);
    g_autofree char *key = g_build_filename(f->folder, "key.pem", NULL);
    assert_true(http_make_certificate(cert, key, "test", NULL));
    f->limits = (WebSocketLimits){ .max_message_bytes = 200000,
                                   .max_queued_bytes = 32 << 20,
                                   .ping_ms = 200,
                                   .protocol = "binary" };
    f->big = g_bytes_new_take(g_strnfill(1 << 20, 'x'), 1 << 20);
    HttpServerConfig config = {
        .handler = handler, .user = f, .cert_file = cert, .key_file = key, .send_timeout_ms = 1000
    };
    f->server = http_server_new(&config, NULL);
    for (int tls = 0; tls < 2; tls++)
        f->ports[tls] = http_server_listen(f->server, "127.0.0.1:0", tls, NULL);
    *state = f;
    return http_server_start(f->server, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    http_server_free(f->server);
    ws_unref(f->kept);
    g_bytes_unref(f->big);
    g_autofree char *cert = g_build_filename(f->folder, "cert.pem", NULL);
    g_autofree char *key = g_build_filename(f->folder, "key.pem", NULL);
    g_unlink(cert);
    g_unlink(key);
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f);
    return 0;
}

/* --- the client's side --- */

typedef struct {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
} Peer;

static void peer_write(Peer *peer, const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t put = peer->ssl ? SSL_write(peer->ssl, (const char *) data + at, (int) (n - at))
                                : send(peer->fd, (const char *) data + at, n - at, MSG_NOSIGNAL);
        if (put <= 0)
            return;
        at += (size_t) put;
    }
}

/* False at the end of the connection. */
static bool peer_read(Peer *peer, void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = peer->ssl ? SSL_read(peer->ssl, (char *) data + at, (int) (n - at))
                                : recv(peer->fd, (char *) data + at, n - at, 0);
        if (got <= 0)
            return false;
        at += (size_t) got;
    }
    return true;
}

static Peer peer_open(const Fixture *f, bool tls)
{
    Peer peer = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    struct timeval limit = { .tv_sec = 10 };
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(f->ports[tls]),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(peer.fd, (struct sockaddr *) &address, sizeof address), 0);
    if (tls) {
        peer.context = SSL_CTX_new(TLS_client_method());
        peer.ssl = SSL_new(peer.context);
        SSL_set_fd(peer.ssl, peer.fd);
        assert_int_equal(SSL_connect(peer.ssl), 1);
    }
    return peer;
}

static void peer_close(Peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    close(peer->fd);
}

/* The head of the answer. */
static char *peer_ask(Peer *peer, const char *path, const char *more)
{
    g_autofree char *ask = g_strdup_printf("GET %s HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                                           "Upgrade: websocket\r\n%s\r\n",
                                           path, more);
    peer_write(peer, ask, strlen(ask));
    GString *head = g_string_new(NULL);
    char c;
    while (!strstr(head->str, "\r\n\r\n") && peer_read(peer, &c, 1))
        g_string_append_c(head, c);
    return g_string_free(head, FALSE);
}

static Peer peer_upgrade(const Fixture *f, bool tls, const char *path)
{
    Peer peer = peer_open(f, tls);
    g_autofree char *head = peer_ask(&peer, path,
                                     "Sec-WebSocket-Version: 13\r\n"
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_true(g_str_has_prefix(head, "HTTP/1.1 101 "));
    assert_non_null(strstr(head, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    return peer;
}

/* A masked frame; first is FIN and opcode. */
static GByteArray *frame_make(guint8 first, const char *data, size_t n)
{
    static const guint8 mask[4] = { 1, 2, 3, 4 };
    GByteArray *frame = g_byte_array_new();
    guint8 length[9] = { 0x80 | (n < 126 ? (guint8) n : n < 65536 ? 126 : 127) };
    unsigned n_length = n < 126 ? 0 : n < 65536 ? 2 : 8;
    for (unsigned i = 0; i < n_length; i++)
        length[1 + i] = (guint8) ((guint64) n >> (8 * (n_length - 1 - i)));
    g_byte_array_append(frame, &first, 1);
    g_byte_array_append(frame, length, 1 + n_length);
    g_byte_array_append(frame, mask, 4);
    guint at = frame->len;
    g_byte_array_append(frame, (const guint8 *) data, (guint) n);
    for (size_t i = 0; i < n; i++)
        frame->data[at + i] ^= mask[i % 4];
    return frame;
}

static void peer_send(Peer *peer, guint8 first, const char *data, size_t n)
{
    g_autoptr(GByteArray) frame = frame_make(first, data, n);
    peer_write(peer, frame->data, frame->len);
}

static void peer_say(Peer *peer, const char *text)
{
    peer_send(peer, 0x81, text, strlen(text));
}

/* The next frame but pings; its first byte, 0 at the end. *data gets the payload with a NUL. */
static guint8 peer_frame(Peer *peer, char **data, size_t *n)
{
    guint8 head[2], extra[8] = { 0 };
    for (;;) {
        if (!peer_read(peer, head, 2))
            return 0;
        assert_int_equal(head[1] & 0x80, 0); /* servers do not mask */
        unsigned n_extra = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0;
        peer_read(peer, extra, n_extra);
        *n = n_extra ? 0 : head[1];
        for (unsigned i = 0; i < n_extra; i++)
            *n = *n << 8 | extra[i];
        *data = g_malloc(*n + 1);
        (*data)[*n] = '\0';
        if (!peer_read(peer, *data, *n)) {
            g_free(*data);
            return 0;
        }
        if (head[0] != 0x89)
            return head[0];
        g_free(*data);
    }
}

static void expect_text(Peer *peer, const char *wanted)
{
    g_autofree char *data = NULL;
    size_t n;
    assert_int_equal(peer_frame(peer, &data, &n), 0x81);
    assert_string_equal(data, wanted);
}

/* A close frame with the code, then a clean end of the connection. */
static void expect_close(Peer *peer, unsigned code)
{
    g_autofree char *data = NULL;
    size_t n;
    assert_int_equal(peer_frame(peer, &data, &n), 0x88);
    assert_int_equal((guint8) data[0] << 8 | (guint8) data[1], code);
    peer_send(peer, 0x88, data, 2);
    char c;
    assert_false(peer_read(peer, &c, 1));
    peer_close(peer);
}

static void wait_closed(Fixture *f, int n)
{
    for (int i = 0; i < 500 && f->n_closed < n; i++)
        g_usleep(10000);
    assert_int_equal(f->n_closed, n);
}

/* --- tests --- */

static void test_handshake(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *more, *status;
    } cases[] = {
        { "Sec-WebSocket-Version: 13\r\n", "400" },
        { "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", "400" },
        { "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "426" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Peer peer = peer_open(f, false);
        g_autofree char *head = peer_ask(&peer, "/", cases[i].more);
        assert_memory_equal(head + 9, cases[i].status, 3);
        peer_close(&peer);
    }
    Peer peer = peer_open(f, false);
    g_autofree char *head = peer_ask(&peer, "/",
                                     "Sec-WebSocket-Version: 13\r\n"
                                     "Sec-WebSocket-Protocol: chat, binary\r\n"
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    assert_non_null(strstr(head, "Sec-WebSocket-Protocol: binary\r\n"));
    peer_close(&peer);
}

static void expect_pong(Peer *peer)
{
    g_autofree char *data = NULL;
    size_t n;
    assert_int_equal(peer_frame(peer, &data, &n), 0x8a);
    assert_string_equal(data, "p");
}

static void echo_all(Fixture *f, bool tls)
{
    Peer peer = peer_upgrade(f, tls, "/greet");
    expect_text(&peer, "welcome");
    static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 200000 };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strnfill(sizes[i], 'a' + (char) i);
        peer_say(&peer, text);
        expect_text(&peer, text);
    }
    size_t n;
    g_autofree char *data = NULL;
    peer_send(&peer, 0x82, "\0\1\2", 3);
    assert_int_equal(peer_frame(&peer, &data, &n), 0x82);
    assert_int_equal(n, 3);
    assert_memory_equal(data, "\0\1\2", 3);
    peer_send(&peer, 0x01, "frag", 4); /* a ping between fragments */
    peer_send(&peer, 0x89, "p", 1);
    peer_send(&peer, 0x80, "ment", 4);
    expect_pong(&peer);
    expect_text(&peer, "fragment");
    peer_send(&peer, 0x88, "\x03\xe8", 2);
    expect_close(&peer, 1000);
    wait_closed(f, 1);
    assert_false(ws_send_string(f->kept, "gone"));
}

/* The socket has nothing left to do but to wait for the rest, of a frame or of a message; meanwhile
 * another talks. */
static void arrive_in_parts(Fixture *f, bool tls)
{
    Peer peer = peer_upgrade(f, tls, "/"), other = peer_upgrade(f, tls, "/");
    g_autofree char *text = g_strnfill(126, 'x');
    g_autoptr(GByteArray) frame = frame_make(0x81, text, 126);
    for (guint cut = 1; cut < frame->len; cut += cut < 10 ? 1 : 50) {
        g_autoptr(GByteArray) begin = frame_make(0x89, "p", 1);
        g_byte_array_append(begin, frame->data, cut);
        peer_write(&peer, begin->data, begin->len);
        expect_pong(&peer);
        peer_say(&other, "meanwhile");
        expect_text(&other, "meanwhile");
        peer_write(&peer, frame->data + cut, frame->len - cut);
        expect_text(&peer, text);
    }
    peer_send(&peer, 0x01, "\xc3", 1); /* half of a character */
    peer_send(&peer, 0x89, "p", 1);
    expect_pong(&peer);
    peer_say(&other, "meanwhile");
    expect_text(&other, "meanwhile");
    peer_send(&peer, 0x80, "\xa4", 1);
    expect_text(&peer, "\xc3\xa4");
    peer_close(&peer);
    peer_close(&other);
}

static void test_parts(void **state)
{
    arrive_in_parts(*state, false);
    arrive_in_parts(*state, true);
}

static void test_echo(void **state)
{
    echo_all(*state, false);
}

static void test_echo_tls(void **state)
{
    echo_all(*state, true);
}

/* Many small messages in one write come back in order, also when they must wait for each other. */
static void test_order(void **state)
{
    Fixture *f = *state;
    Peer peer = peer_upgrade(f, false, "/");
    g_autoptr(GByteArray) all = g_byte_array_new();
    for (int i = 0; i < 1000; i++) {
        g_autofree char *text = i == 0 ? g_strdup("slow") : g_strdup_printf("message %d", i);
        g_autoptr(GByteArray) frame = frame_make(0x81, text, strlen(text));
        g_byte_array_append(all, frame->data, frame->len);
    }
    peer_write(&peer, all->data, all->len);
    expect_text(&peer, "slow");
    for (int i = 1; i < 1000; i++) {
        g_autofree char *wanted = g_strdup_printf("message %d", i);
        expect_text(&peer, wanted);
    }
    peer_close(&peer);
    wait_closed(f, 1);
}

/* Ten sockets whose handlers take 300 ms each are served at the same time. */
static void test_concurrent(void **state)
{
    Fixture *f = *state;
    Peer peers[10];
    gint64 start = g_get_monotonic_time();
    for (int i = 0; i < 10; i++) {
        peers[i] = peer_upgrade(f, false, "/");
        peer_say(&peers[i], "slow");
    }
    for (int i = 0; i < 10; i++)
        expect_text(&peers[i], "slow");
    assert_in_range(g_get_monotonic_time() - start, 0, 2000000);
    for (int i = 0; i < 10; i++)
        peer_close(&peers[i]);
    wait_closed(f, 10);
}

static void test_wrong_frames(void **state)
{
    Fixture *f = *state;
    Peer big = peer_upgrade(f, false, "/");
    g_autofree char *filler = g_strnfill(200001, 'x');
    peer_say(&big, filler);
    expect_close(&big, 1009);
    Peer bytes = peer_upgrade(f, false, "/");
    peer_send(&bytes, 0x81, "a\xff", 2);
    expect_close(&bytes, 1007);
    Peer bare = peer_upgrade(f, false, "/");
    peer_write(&bare, "\x81\x01x", 3);
    expect_close(&bare, 1002);
    Peer bits = peer_upgrade(f, false, "/");
    peer_send(&bits, 0xc1, "x", 1);
    expect_close(&bits, 1002);
    Peer binary = peer_upgrade(f, false, "/text");
    peer_send(&binary, 0x82, "x", 1);
    expect_close(&binary, 1003);
    wait_closed(f, 5);
}

/* Fragments of one message count together. */
static void test_fragments_limit(void **state)
{
    Fixture *f = *state;
    Peer peer = peer_upgrade(f, true, "/");
    g_autofree char *filler = g_strnfill(100000, 'x');
    for (int i = 0; i < 3; i++)
        peer_send(&peer, i ? 0x00 : 0x01, filler, 100000);
    expect_close(&peer, 1009);
    Peer small = peer_upgrade(f, false, "/");
    peer_say(&small, "hello");
    expect_text(&small, "hello");
    ws_set_max_message(f->kept, 10);
    peer_say(&small, "hello world");
    expect_close(&small, 1009);
}

/* So many fragments and no more, however small they are. */
static void test_fragments_number(void **state)
{
    Fixture *f = *state;
    Peer peer = peer_upgrade(f, false, "/");
    for (int i = 0; i < 4095; i++)
        peer_send(&peer, i ? 0x00 : 0x01, "", 0);
    peer_send(&peer, 0x80, "x", 1);
    expect_text(&peer, "x");
    for (int i = 0; i < 4097; i++)
        peer_send(&peer, i ? 0x00 : 0x01, "", 0);
    expect_close(&peer, 1009);
}

static void test_close(void **state)
{
    Fixture *f = *state;
    for (int tls = 0; tls < 2; tls++) {
        Peer peer = peer_upgrade(f, tls, "/");
        peer_say(&peer, "close");
        expect_text(&peer, "before");
        expect_close(&peer, 4001);
    }
    wait_closed(f, 2);
}

/* A client that does not read is dropped at the bound, and the server's memory with it. */
static void test_flood(void **state)
{
    Fixture *f = *state;
    Peer peer = peer_upgrade(f, true, "/");
    peer_say(&peer, "flood");
    wait_closed(f, 1);
    assert_int_equal(ws_queued_bytes(f->kept), 0);
    assert_in_range(f->peak_bytes, 1 << 20, f->limits.max_queued_bytes);
    peer_close(&peer);
}

/* Pings are answered by nobody here: silent sockets are closed, talking ones stay. */
static void test_silence(void **state)
{
    Fixture *f = *state;
    Peer silent = peer_upgrade(f, false, "/"), talking = peer_upgrade(f, false, "/");
    for (int i = 0; i < 10; i++) {
        peer_send(&talking, 0x8a, "", 0);
        g_usleep(100000);
    }
    assert_int_equal(f->n_closed, 1);
    peer_say(&talking, "still here");
    expect_text(&talking, "still here");
    peer_close(&silent);
    peer_close(&talking);
    wait_closed(f, 2);
}

static void *stop(void *server)
{
    http_server_stop(server, 3000);
    return NULL;
}

static void test_stop(void **state)
{
    Fixture *f = *state;
    Peer peer = peer_upgrade(f, false, "/");
    peer_say(&peer, "slow");
    while (!f->n_slow)
        g_usleep(1000);
    GThread *stopper = g_thread_new("stop", stop, f->server);
    expect_close(&peer, 1012);
    g_thread_join(stopper);
    assert_int_equal(f->n_closed, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void rope_story(Fixture *f, bool tls)
{
    static const size_t sizes[] = { 0, 1, 125, 126, 65535, 65536, 131061, 131062, 131063, 5000000 };
    Peer peer = peer_upgrade(f, tls, "/");
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *ask = g_strdup_printf("rope %zu", sizes[i]), *data = NULL;
        size_t n = 0;
        peer_say(&peer, ask);
        peer_say(&peer, "next"); /* in order, whatever waits */
        assert_int_equal(peer_frame(&peer, &data, &n), 0x81);
        assert_int_equal(n, sizes[i]);
        for (size_t at = 0; at < n; at++)
            if (data[at] != (char) ('a' + at % 23))
                fail_msg("byte %zu of %zu is wrong", at, n);
        expect_text(&peer, "next");
    }
    peer_close(&peer);
}

static void test_rope(void **state)
{
    rope_story(*state, false);
}

static void test_rope_tls(void **state)
{
    rope_story(*state, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_handshake),
        T(test_echo),
        T(test_echo_tls),
        T(test_parts),
        T(test_order),
        T(test_concurrent),
        T(test_wrong_frames),
        T(test_close),
        T(test_flood),
        T(test_silence),
        T(test_fragments_limit),
        T(test_stop),
        T(test_fragments_number),
        T(test_rope),
        T(test_rope_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
