/* The socket to the workers: whole messages at any pace, ends, damage; errors there and back. */
#include "base/error.h"
#include "run/protocol.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static const char whole[] = "\x0a\0\0\0{\"a\":\"bc\"}";
enum { WHOLE_BYTES = 14 };

static void make(int *fd, Channel **channel)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *fd = fds[0];
    *channel = channel_new(fds[1]);
}

/* A byte at a time, slower than the reader's patience. */
static void *dribble(void *fd)
{
    for (unsigned i = 0; i < 3 * WHOLE_BYTES; i++) {
        g_usleep(5000);
        if (write(*(int *) fd, whole + i % WHOLE_BYTES, 1) != 1)
            return NULL;
    }
    return NULL;
}

static void test_slow_sender(void **state)
{
    int fd;
    Channel *channel;
    pthread_t thread;
    unsigned n = 0;
    make(&fd, &channel);
    pthread_create(&thread, NULL, dribble, &fd);
    while (n < 3) {
        g_autoptr(GError) error = NULL;
        json_t *message = channel_receive(channel, 2, &error);
        if (!message && !err_is(error, ERR_TIMEOUT))
            fail_msg("%s", error->message);
        n += message != NULL;
        json_decref(message);
    }
    pthread_join(thread, NULL);
    close(fd);
    channel_free(channel);
}

static void test_ends(void **state)
{
    int fd;
    Channel *channel;
    g_autoptr(GError) error = NULL;
    make(&fd, &channel);
    assert_null(channel_receive(channel, 1, &error));
    assert_true(err_is(error, ERR_TIMEOUT));
    assert_int_equal(write(fd, whole, 7), 7);
    close(fd);
    g_clear_error(&error);
    assert_null(channel_receive(channel, 1000, &error));
    assert_true(err_is(error, ERR_TRUNCATED));
    g_clear_error(&error);
    assert_false(channel_send(channel, json_object(), &error));
    assert_true(err_is(error, ERR_TRUNCATED));
    channel_free(channel);
}

static void test_damage(void **state)
{
    static const struct {
        const char *bytes;
        gsize n;
    } rows[] = {
        { "\0\0\0\0", 4 }, { "\xff\xff\xff\xff", 4 }, { "\2\0\0\0[]", 6 }, { "\2\0\0\0{x", 6 }
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        int fd;
        Channel *channel;
        g_autoptr(GError) error = NULL;
        make(&fd, &channel);
        assert_int_equal(write(fd, rows[i].bytes, rows[i].n), rows[i].n);
        assert_null(channel_receive(channel, 1000, &error));
        assert_true(err_is(error, ERR_PROTOCOL));
        close(fd);
        channel_free(channel);
    }
}

static void test_errors(void **state)
{
    g_autoptr(GError) error = NULL, again = NULL;
    const char *detail[] = { "VDI_IN_USE", "OpaqueRef:1", NULL };
    err_set_detail(&error, ERR_XAPI, detail, "VDI 12");
    json_t *json = protocol_error(error);
    protocol_raise(json, &again);
    json_decref(json);
    assert_string_equal(err_xapi_code(again), "VDI_IN_USE");
    assert_string_equal(again->message, "VDI 12");
    g_clear_error(&again);
    json_t *nonsense = json_pack("{s:s}", "code", "NO_SUCH_CODE");
    protocol_raise(nonsense, &again);
    json_decref(nonsense);
    assert_true(err_is(again, ERR_INTERNAL));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_slow_sender),
                                        cmocka_unit_test(test_ends), cmocka_unit_test(test_damage),
                                        cmocka_unit_test(test_errors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
