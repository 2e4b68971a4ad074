/* The server over loopback sockets: framing, keep-alive, deadlines, faults, stopping. */
#include "http/server.h"

#include "base/error.h"
#include "wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

enum { BIG_BYTES = 8 << 20, HUGE_BYTES = 256 << 20 };

typedef struct {
    HttpServer *server;
    guint16 port;
    _Atomic int n_blocked;
    _Atomic bool release;
    _Atomic int read_error; /* ErrCode + 1 of the last failed body read */
} Fixture;

static void echo(HttpRequest *request, Fixture *f)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = http_read_all(request, 1 << 20, &error);
    if (!body) {
        f->read_error = error->code + 1;
        return;
    }
    http_reply_header(request, "X-Method", http_method(request));
    http_reply(request, 200, "text/plain", g_bytes_get_data(body, NULL), g_bytes_get_size(body));
}

static void stream(HttpRequest *request, gint64 length)
{
    char block[100000];
    memset(block, 'b', sizeof block);
    g_autoptr(GError) error = NULL;
    http_reply_begin(request, 200, "application/octet-stream", length, &error);
    for (size_t left = length == HUGE_BYTES ? HUGE_BYTES : BIG_BYTES; left;) {
        size_t n = MIN(left, sizeof block);
        if (!http_reply_write(request, block, n, &error))
            return;
        left -= n;
    }
    http_reply_end(request, &error);
}

static void block(HttpRequest *request, Fixture *f)
{
    f->n_blocked++;
    while (!f->release && !http_client_left(request))
        g_usleep(5000);
    http_reply_text(request, 200, NULL, "released");
    f->n_blocked--;
}

static void early(HttpRequest *request)
{
    char buffer[4096];
    size_t total = 0;
    ssize_t n;
    http_reply_begin(request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, NULL);
    while ((n = http_read(request, buffer, sizeof buffer, NULL)) > 0)
        total += (size_t) n;
    g_autofree char *text = g_strdup_printf("%zu", total);
    http_reply_write(request, text, strlen(text), NULL);
    http_reply_end(request, NULL);
}

static void raw(HttpRequest *request)
{
    char buffer[100];
    ssize_t n;
    http_raw_write(request, "RAW:", 4, NULL);
    while ((n = http_raw_read(request, buffer, sizeof buffer, NULL)) > 0)
        http_raw_write(request, buffer, (size_t) n, NULL);
}

static void facts(HttpRequest *request)
{
    const char *a = http_query(request, "a b"), *none = http_query(request, "none");
    const char *cookie = http_cookie(request, "session_id"), *twice = http_header(request, "Twice");
    g_autofree char *text = g_strdup_printf("%s|%s|%s|%s|%s|%s", a, none ? none : "-", cookie,
                                            twice, http_peer(request), http_path(request));
    http_reply_text(request, 200, NULL, text);
}

static void handler(HttpRequest *request, void *user)
{
    Fixture *f = user;
    const char *path = http_path(request);
    if (strcmp(path, "/echo") == 0)
        echo(request, f);
    else if (strcmp(path, "/chunked") == 0)
        stream(request, HTTP_LENGTH_CHUNKED);
    else if (strcmp(path, "/length") == 0)
        stream(request, BIG_BYTES);
    else if (strcmp(path, "/huge") == 0)
        stream(request, HUGE_BYTES);
    else if (strcmp(path, "/until-close") == 0)
        stream(request, HTTP_LENGTH_UNTIL_CLOSE);
    else if (strcmp(path, "/short") == 0)
        stream(request, BIG_BYTES + 1);
    else if (strcmp(path, "/torn") == 0)
        http_reply_begin(request, 200, NULL, HTTP_LENGTH_UNTIL_CLOSE, NULL);
    else if (strcmp(path, "/block") == 0)
        block(request, f);
    else if (strcmp(path, "/early") == 0)
        early(request);
    else if (strcmp(path, "/raw") == 0)
        raw(request);
    else if (strcmp(path, "/facts") == 0)
        facts(request);
    else if (strcmp(path, "/abort") == 0)
        http_abort(request);
    else if (strcmp(path, "/split") == 0) {
        http_reply_header(request, "X-Evil", "a\r\nX-Injected: b");
        http_reply_text(request, 200, NULL, "split");
    } else if (strcmp(path, "/empty") == 0)
        http_reply(request, 204, NULL, NULL, 0);
    else if (strcmp(path, "/silent") != 0)
        http_reply_text(request, 404, "text/plain", "nothing here");
}

static int set_up_as(void **state, bool limited)
{
    Fixture *f = g_new0(Fixture, 1);
    HttpServerConfig config = { .handler = handler,
                                .user = f,
                                .max_threads = 128,
                                .max_header_bytes = 4096,
                                .max_body_bytes = 16 << 20,
                                .header_timeout_ms = 400,
                                .idle_timeout_ms = 700,
                                .send_timeout_ms = 700,
                                .body_timeout_ms = 500,
                                .max_per_address = 40,
                                .limit_loopback = limited };
    f->server = http_server_new(&config, NULL);
    f->port = http_server_listen(f->server, "127.0.0.1:0", false, NULL);
    *state = f;
    return http_server_start(f->server, NULL) && f->port ? 0 : -1;
}

static int set_up(void **state)
{
    return set_up_as(state, false);
}

static int set_up_limited(void **state)
{
    return set_up_as(state, true);
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    http_server_free(f->server);
    g_free(f);
    return 0;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in: %.600s", part, text);
}

#define HEAD "HTTP/1.1\r\nHost: a\r\n"
#define LAST HEAD "Connection: close\r\n"

static void test_simple(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = wire_ask(f->port, "GET /nowhere " LAST "\r\n");
    assert_true(g_str_has_prefix(text, "HTTP/1.1 404 Not Found\r\n"));
    assert_has(text, "\r\nContent-Length: 12\r\n");
    assert_has(text, "\r\nDate: ");
    assert_has(text, "\r\nConnection: close\r\n");
    assert_true(g_str_has_suffix(text, "\r\n\r\nnothing here"));
}

static void test_facts(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = wire_ask(f->port, "GET /facts?x=y&a+b=%41+c&none2=1 " LAST
                                              "Twice: 1\r\nTwice: 2\r\n"
                                              "Cookie: x=1&session_id=OpaqueRef:5\r\n\r\n");
    assert_true(g_str_has_suffix(text, "A c|-|OpaqueRef:5|1, 2|127.0.0.1|/facts"));
}

static void test_version_10(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = wire_ask(f->port, "GET /nowhere HTTP/1.0\r\n\r\n");
    assert_true(g_str_has_prefix(text, "HTTP/1.0 404 "));
    assert_has(text, "Connection: close\r\n");
    g_autofree char *two = wire_ask(f->port, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                                             "GET /chunked HTTP/1.0\r\n\r\n");
    assert_has(two, "Connection: keep-alive\r\n");
    assert_has(two, "HTTP/1.0 200 OK\r\n");
    assert_null(strstr(two, "Transfer-Encoding"));
}

static void test_pipelined(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = wire_ask(f->port, "POST /echo " HEAD "Content-Length: 3\r\n\r\none"
                                              "POST /echo " HEAD "Transfer-Encoding: chunked\r\n"
                                              "\r\n3\r\ntwo\r\n0\r\n\r\n"
                                              "POST /nowhere " HEAD "Content-Length: 3\r\n\r\nxxx"
                                              "HEAD /nowhere " HEAD "\r\nGET /empty " HEAD "\r\n"
                                              "POST /echo " LAST "Content-Length: 4\r\n\r\nlast");
    g_auto(GStrv) parts = g_strsplit(text, "HTTP/1.1 ", -1);
    assert_int_equal(g_strv_length(parts), 7);
    assert_true(g_str_has_suffix(parts[1], "\r\n\r\none"));
    assert_true(g_str_has_suffix(parts[2], "\r\n\r\ntwo"));
    assert_true(g_str_has_suffix(parts[3], "\r\n\r\nnothing here"));
    assert_true(g_str_has_suffix(parts[4], "\r\n\r\n"));
    assert_has(parts[4], "Content-Length: 12\r\n");
    assert_true(g_str_has_prefix(parts[5], "204 No Content\r\n"));
    assert_null(strstr(parts[5], "Content-Length"));
    assert_true(g_str_has_suffix(parts[6], "\r\n\r\nlast"));
}

static void test_refusals(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *ask, *status;
    } cases[] = {
        { "GET / HTTP/1.1\r\n\r\n", "400" },
        { "GET / HTTP/1.1\nHost: a\n\n", "400" },
        { "POST /echo " HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "400" },
        { "POST /echo " HEAD "Content-Length: 99999999\r\n\r\nx", "413" },
        { "POST /echo " HEAD "Content-Length: 2000000\r\n\r\nx", "413" },
        { "GET /silent " LAST "\r\n", "500" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = wire_ask(f->port, cases[i].ask);
        g_autofree char *wanted = g_strconcat("HTTP/1.1 ", cases[i].status, " ", NULL);
        if (!g_str_has_prefix(text, wanted) || strstr(text, "<"))
            fail_msg("%s\n gave \n%s", cases[i].ask, text);
    }
}

static void test_too_long(void **state)
{
    Fixture *f = *state;
    g_autofree char *filler = g_strnfill(8000, 'x');
    g_autofree char *line = g_strconcat("GET /", filler, " " LAST "\r\n", NULL);
    g_autofree char *text = wire_ask(f->port, line);
    assert_true(g_str_has_prefix(text, "HTTP/1.1 414 "));
    g_autofree char *headers = g_strconcat("GET / " HEAD "X: ", filler, "\r\n\r\n", NULL);
    g_autofree char *text2 = wire_ask(f->port, headers);
    assert_true(g_str_has_prefix(text2, "HTTP/1.1 431 "));
}

static void test_split(void **state)
{
    Fixture *f = *state;
    g_autofree char *text = wire_ask(f->port, "GET /split " LAST "\r\n");
    assert_null(strstr(text, "X-Injected"));
    assert_true(g_str_has_suffix(text, "split"));
}

static void test_continue(void **state)
{
    Fixture *f = *state;
    int fd = wire_connect(f->port);
    wire_send(fd, "POST /echo " LAST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", -1);
    g_autofree char *first = wire_until(fd, "\r\n\r\n");
    assert_string_equal(first, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_send(fd, "hello", -1);
    g_autofree char *text = wire_drain(fd);
    assert_true(g_str_has_suffix(text, "\r\n\r\nhello"));
    /* An answer instead of 100 ends the connection: the body may or may not come. */
    g_autofree char *no = wire_ask(f->port, "POST /x " HEAD "Expect: 100-continue\r\n"
                                            "Content-Length: 5\r\n\r\n");
    assert_true(g_str_has_prefix(no, "HTTP/1.1 404 "));
    assert_has(no, "Connection: close\r\n");
}

static void test_streams(void **state)
{
    Fixture *f = *state;
    g_autofree char *until = wire_ask(f->port, "GET /until-close " HEAD "\r\n");
    g_autofree char *length = wire_ask(f->port, "GET /length " LAST "\r\n");
    g_autofree char *chunked = wire_ask(f->port, "GET /chunked " LAST "\r\n");
    assert_null(strstr(until, "Content-Length"));
    assert_has(length, "\r\nContent-Length: 8388608\r\n");
    assert_has(chunked, "\r\nTransfer-Encoding: chunked\r\n");
    assert_has(chunked, "\r\n\r\n10000\r\n");
}

/* What is not whole must look broken. */
static void test_torn(void **state)
{
    Fixture *f = *state;
    g_autofree char *torn = wire_ask(f->port, "GET /torn " HEAD "\r\n");
    assert_true(g_str_has_suffix(torn, "<RESET>"));
    g_autofree char *abort = wire_ask(f->port, "GET /abort " HEAD "\r\n");
    assert_string_equal(abort, "<RESET>");
}

static void test_early_answer(void **state)
{
    Fixture *f = *state;
    int fd = wire_connect(f->port);
    wire_send(fd, "PUT /early " HEAD "Content-Length: 200000\r\n\r\n", -1);
    g_autofree char *head = wire_until(fd, "\r\n\r\n");
    assert_true(g_str_has_prefix(head, "HTTP/1.1 200 OK\r\n"));
    g_autofree char *body = g_strnfill(200000, 'x');
    wire_send(fd, body, 200000);
    g_autofree char *text = wire_drain(fd);
    assert_string_equal(text, "200000");
}

static void test_raw(void **state)
{
    Fixture *f = *state;
    int fd = wire_connect(f->port);
    wire_send(fd, "CONNECT /raw " HEAD "\r\nfirst", -1);
    g_autofree char *first = wire_until(fd, "RAW:first");
    wire_send(fd, "second", -1);
    g_autofree char *second = wire_until(fd, "second");
    shutdown(fd, SHUT_WR);
    g_autofree char *rest = wire_drain(fd);
    assert_string_equal(rest, "");
}

static void test_client_leaves(void **state)
{
    Fixture *f = *state;
    int fd = wire_connect(f->port);
    wire_send(fd, "POST /echo " HEAD "Content-Length: 100\r\n\r\nhalf", -1);
    close(fd);
    for (int i = 0; i < 200 && !f->read_error; i++)
        g_usleep(10000);
    assert_int_equal(f->read_error, ERR_TRUNCATED + 1);
}

static void test_deadlines(void **state)
{
    Fixture *f = *state;
    gint64 start = g_get_monotonic_time();
    int slow = wire_connect(f->port);
    wire_send(slow, "GET / HTT", -1);
    g_autofree char *late = wire_drain(slow);
    assert_true(g_str_has_prefix(late, "HTTP/1.1 408 "));
    int mute = wire_connect(f->port);
    g_autofree char *nothing = wire_drain(mute);
    assert_string_equal(nothing, "");
    int idle = wire_connect(f->port);
    wire_send(idle, "GET /x " HEAD "\r\n", -1);
    g_autofree char *answer = wire_drain(idle);
    assert_true(g_str_has_prefix(answer, "HTTP/1.1 404 "));
    int body = wire_connect(f->port);
    wire_send(body, "POST /echo " HEAD "Content-Length: 100\r\n\r\nhalf", -1);
    g_autofree char *stalled = wire_drain(body);
    assert_true(g_str_has_prefix(stalled, "HTTP/1.1 500 "));
    assert_int_equal(f->read_error, ERR_TIMEOUT + 1);
    assert_in_range(g_get_monotonic_time() - start, 2000000, 6000000);
}

/* Sends a byte now and then, as long as it is heard (the server lingers for 2 s); how long that
 * was.
 */
static gint64 trickle(guint16 port, const char *head)
{
    gint64 start = g_get_monotonic_time();
    int fd = wire_connect(port);
    wire_send(fd, head, -1);
    for (unsigned i = 0; i < 100; i++) {
        g_usleep(50000);
        if (send(fd, "x", 1, MSG_NOSIGNAL) != 1)
            break;
    }
    close(fd);
    return g_get_monotonic_time() - start;
}

/* One that sends its body byte by byte does not hold a thread, wanted or not. */
static void test_slow_body(void **state)
{
    Fixture *f = *state;
    assert_in_range(trickle(f->port, "POST /echo " HEAD "Content-Length: 1000\r\n\r\n"), 400000,
                    4000000);
    assert_int_equal(f->read_error, ERR_TIMEOUT + 1);
    assert_in_range(trickle(f->port, "POST /nowhere " HEAD "Content-Length: 1000\r\n\r\n"), 300000,
                    4000000);
    assert_in_range(
        trickle(f->port, "POST /nowhere " HEAD "Transfer-Encoding: chunked\r\n\r\nffff\r\n"),
        300000, 4000000);
}

/* One address gets so many connections and no more; those that end make room. */
static void test_per_address(void **state)
{
    Fixture *f = *state;
    int fds[40];
    for (unsigned i = 0; i < 40; i++)
        fds[i] = wire_connect(f->port);
    g_autofree char *one_more = wire_ask(f->port, "GET /x " LAST "\r\n");
    assert_false(g_str_has_prefix(one_more, "HTTP/1.1"));
    close(fds[0]);
    g_usleep(100000);
    g_autofree char *again = wire_ask(f->port, "GET /x " LAST "\r\n");
    assert_true(g_str_has_prefix(again, "HTTP/1.1 404 "));
    for (unsigned i = 1; i < 40; i++)
        close(fds[i]);
}

/* A reader that does not read is given up after the send deadline. */
static void test_send_deadline(void **state)
{
    Fixture *f = *state;
    int fd = wire_connect(f->port);
    wire_send(fd, "GET /huge " HEAD "\r\n", -1);
    g_usleep(1500000);
    g_autofree char *text = wire_drain(fd);
    assert_true(g_str_has_suffix(text, "<RESET>"));
}

/* More long requests than the server has processors; each has a thread of its own. */
static void test_blocked(void **state)
{
    Fixture *f = *state;
    enum { N = 100 };
    int fds[N];
    for (int i = 0; i < N; i++) {
        fds[i] = wire_connect(f->port);
        wire_send(fds[i], "GET /block " LAST "\r\n", -1);
    }
    for (int i = 0; i < 500 && f->n_blocked < N; i++)
        g_usleep(10000);
    assert_int_equal(f->n_blocked, N);
    g_autofree char *other = wire_ask(f->port, "GET /x " LAST "\r\n");
    assert_true(g_str_has_prefix(other, "HTTP/1.1 404 "));
    close(fds[0]); /* noticed while it is blocked */
    for (int i = 0; i < 500 && f->n_blocked == N; i++)
        g_usleep(10000);
    assert_int_equal(f->n_blocked, N - 1);
    f->release = true;
    for (int i = 1; i < N; i++) {
        g_autofree char *text = wire_drain(fds[i]);
        assert_true(g_str_has_suffix(text, "released"));
    }
}

static void test_stop(void **state)
{
    Fixture *f = *state;
    int idle = wire_connect(f->port), busy = wire_connect(f->port);
    wire_send(busy, "GET /block " HEAD "\r\n", -1);
    for (int i = 0; i < 500 && !f->n_blocked; i++)
        g_usleep(10000);
    http_server_stop(f->server, 5000);
    g_autofree char *nothing = wire_drain(idle), *answer = wire_drain(busy);
    assert_string_equal(nothing, "");
    assert_has(answer, "Connection: close\r\n");
    assert_true(g_str_has_suffix(answer, "released"));
}

static void test_addresses(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) error = NULL;
    static const char *const wrong[] = { "", "80", "127.0.0.1", "::1:80", "nowhere.invalid:1" };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&error);
        assert_int_equal(http_server_listen(f->server, wrong[i], false, &error), 0);
        assert_true(err_is(error, ERR_INVALID));
    }
    g_clear_error(&error);
    assert_int_equal(http_server_listen(f->server, "127.0.0.1:0", true, &error), 0);
    assert_true(err_is(error, ERR_INVALID)); /* no certificate */
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_simple),
        T(test_facts),
        T(test_version_10),
        T(test_pipelined),
        T(test_refusals),
        T(test_too_long),
        T(test_split),
        T(test_continue),
        T(test_streams),
        T(test_torn),
        T(test_early_answer),
        T(test_raw),
        T(test_deadlines),
        T(test_send_deadline),
        T(test_client_leaves),
        T(test_blocked),
        T(test_stop),
        T(test_addresses),
        T(test_slow_body),
        cmocka_unit_test_setup_teardown(test_per_address, set_up_limited, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
