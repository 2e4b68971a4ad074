/* The NBD client against peers made by hand: a server as XAPI has it, without NBD_OPT_GO, and
 * replies that must not be believed. */
#include "nbd/nbd.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { DISK_BYTES = 3000000 };

typedef enum {
    XAPI,
    WITH_ZEROES,
    NO_EXPORT,
    WRONG_COOKIE,
    WRONG_MAGIC,
    HALF,
    HUGE_REPLY,
    NO_SIZE
} Kind;

typedef struct {
    Kind kind;
    int listener;
    char name[100]; /* that was asked for */
    bool goodbye;
    pthread_t thread;
    NbdTarget target;
} Peer;

static bool get(int fd, void *data, size_t n)
{
    return n == 0 || recv(fd, data, n, MSG_WAITALL) == (ssize_t) n;
}

static void put(int fd, const void *data, size_t n)
{
    if (send(fd, data, n, MSG_NOSIGNAL) < 0)
        return;
}

static void put_number(int fd, guint64 value, unsigned n)
{
    guint64 big = GUINT64_TO_BE(value);
    put(fd, (const char *) &big + 8 - n, n);
}

static guint32 get_32(int fd)
{
    guint32 value = 0;
    get(fd, &value, 4);
    return GUINT32_FROM_BE(value);
}

static void put_reply(int fd, guint32 option, guint32 type, guint32 n)
{
    put_number(fd, 0x3e889045565a9, 8);
    put_number(fd, option, 4);
    put_number(fd, type, 4);
    put_number(fd, n, 4);
}

/* Options until the export is chosen; false when the connection ends before. */
static bool negotiate(Peer *peer, int fd)
{
    guint64 magic;
    char data[1000];
    bool zeroes = peer->kind == WITH_ZEROES;
    put(fd, "NBDMAGICIHAVEOPT", 16);
    put_number(fd, zeroes ? 1 : 3, 2);
    assert_int_equal(get_32(fd), zeroes ? 1 : 3);
    while (get(fd, &magic, 8)) {
        guint32 option = get_32(fd), n = get_32(fd);
        assert_true(n < sizeof data && get(fd, data, n));
        if (peer->kind == HUGE_REPLY) {
            put_reply(fd, option, 3, 1 << 30);
        } else if (peer->kind == NO_SIZE) {
            put_reply(fd, option, 1, 0);
        } else if (option != 1) {
            put_reply(fd, option, (1u << 31) + 1, 4);
            put(fd, "what", 4);
        } else if (peer->kind == NO_EXPORT) {
            return false;
        } else {
            g_strlcpy(peer->name, data, MIN(n + 1, sizeof peer->name));
            put_number(fd, DISK_BYTES, 8);
            put_number(fd, 3, 2);
            char nothing[124] = { 0 };
            put(fd, nothing, zeroes ? sizeof nothing : 0);
            return true;
        }
    }
    return false;
}

static void answer(const Peer *peer, int fd, guint64 cookie, guint64 offset, guint32 n)
{
    g_autofree char *data = g_malloc(n);
    for (guint32 i = 0; i < n; i++)
        data[i] = (char) ((offset + i) * 31 >> 3);
    put_number(fd, peer->kind == WRONG_MAGIC ? 0x668e33ef : 0x67446698, 4);
    put_number(fd, 0, 4);
    put_number(fd, cookie + (peer->kind == WRONG_COOKIE), 8);
    put(fd, data, peer->kind == HALF ? n / 2 : n);
}

static void *serve(void *user)
{
    Peer *peer = user;
    int fd = accept(peer->listener, NULL, NULL);
    bool more = negotiate(peer, fd);
    while (more) {
        guint8 request[28];
        guint64 cookie, offset;
        guint32 n;
        if (!get(fd, request, sizeof request))
            break;
        memcpy(&cookie, request + 8, 8);
        memcpy(&offset, request + 16, 8);
        memcpy(&n, request + 24, 4);
        peer->goodbye = request[7] == 2;
        more = !peer->goodbye && peer->kind != HALF;
        if (!peer->goodbye)
            answer(peer, fd, GUINT64_FROM_BE(cookie), GUINT64_FROM_BE(offset), GUINT32_FROM_BE(n));
    }
    close(fd);
    return NULL;
}

static void peer_start(Peer *peer, Kind kind)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof address;
    *peer = (Peer){ .kind = kind, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    bind(peer->listener, (struct sockaddr *) &address, n);
    listen(peer->listener, 5);
    getsockname(peer->listener, (struct sockaddr *) &address, &n);
    peer->target = (NbdTarget){ .address = "127.0.0.1",
                                .port = ntohs(address.sin_port),
                                .export_name = "/uuid?session_id=secret",
                                .tls = NBD_TLS_ALLOW,
                                .timeout_ms = 5000 };
    pthread_create(&peer->thread, NULL, serve, peer);
}

static void peer_end(Peer *peer)
{
    pthread_join(peer->thread, NULL);
    close(peer->listener);
}

static void test_as_xapi(void **state)
{
    for (Kind kind = XAPI; kind <= WITH_ZEROES; kind++) {
        Peer peer;
        peer_start(&peer, kind);
        g_autoptr(GError) error = NULL;
        g_autofree char *data = g_malloc(DISK_BYTES);
        NbdDisk *disk = nbd_open(&peer.target, &error);
        if (!disk || !nbd_read(disk, 0, data, DISK_BYTES, &error))
            fail_msg("%s", error->message);
        assert_int_equal(nbd_size(disk), DISK_BYTES);
        for (size_t i = 0; i < DISK_BYTES; i++)
            if (data[i] != (char) (i * 31 >> 3))
                fail_msg("byte %zu is wrong", i);
        nbd_free(disk);
        peer_end(&peer);
        assert_string_equal(peer.name, "/uuid?session_id=secret");
        assert_true(peer.goodbye);
    }
}

static void test_bad_replies(void **state)
{
    static const struct {
        Kind kind;
        ErrCode code;
    } cases[] = { { WRONG_COOKIE, ERR_PROTOCOL }, { WRONG_MAGIC, ERR_PROTOCOL },
                  { HALF, ERR_TRUNCATED },        { NO_EXPORT, ERR_NOT_FOUND },
                  { HUGE_REPLY, ERR_PROTOCOL },   { NO_SIZE, ERR_PROTOCOL } };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        Peer peer;
        peer_start(&peer, cases[i].kind);
        peer.target.tls = NBD_TLS_NEVER;
        g_autoptr(GError) error = NULL;
        char data[1000];
        NbdDisk *disk = nbd_open(&peer.target, &error);
        bool read = disk && nbd_read(disk, 0, data, sizeof data, &error);
        nbd_free(disk);
        peer_end(&peer);
        if (read || !err_is(error, cases[i].code))
            fail_msg("case %u: %s", i, error ? error->message : "success");
        assert_null(strstr(error->message, "secret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_as_xapi),
                                        cmocka_unit_test(test_bad_replies) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
