/* The strict parser: what is a request, what is refused, and where a body ends. */
#include "http/body.h"
#include "http/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* -1: never a head, 0: incomplete, else the status of the parse with 200 for 0. */
static int judge_n(const char *text, size_t n, HttpHead *head)
{
    size_t scanned = 0;
    gssize length = http_head_find(text, n, &scanned);
    if (length <= 0)
        return (int) length;
    int status = http_head_parse(head, text, (size_t) length);
    return status ? status : 200;
}

static int judge(const char *text)
{
    HttpHead head = { 0 };
    int status = judge_n(text, strlen(text), &head);
    http_head_clear(&head);
    return status;
}

static void test_accepts(void **state)
{
    HttpHead head = { 0 };
    const char *text = "GET /a%20b/%C3%A9?x=1&y HTTP/1.1\r\nHost: me:80\r\nAccept:  a, b \r\n"
                       "Connection: Keep-Alive, close\r\n\r\nrest";
    assert_int_equal(judge_n(text, strlen(text), &head), 200);
    assert_string_equal(head.method, "GET");
    assert_string_equal(head.path, "/a b/\xc3\xa9");
    assert_string_equal(head.query, "x=1&y");
    assert_string_equal(http_head_get(&head, "ACCEPT"), "a, b");
    assert_false(head.keep_alive);
    assert_int_equal(head.length, 0);
    http_head_clear(&head);
    assert_int_equal(judge("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(judge("GET / HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(judge("GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(judge("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(judge("CONNECT /console?ref=x HTTP/1.1\r\nHost: a\r\n\r\n"), 200);
    assert_int_equal(judge("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1125899906842624\r\n\r\n"),
                     200);
    assert_int_equal(judge("GET / HTTP/1.1\r\nHost: a\r\n"), 0);
}

static void test_refuses(void **state)
{
#define H "Host: a\r\n"
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        { "GET / HTTP/1.1\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
        { "GET / HTTP/1.1\nHost: a\n\n", -1 },
        { "GET / HTTP/1.1\r\nHost: a\n\r\n", -1 },
        { "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", -1 },
        { "GET / HTTP/1.1\r\n" H " folded: x\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X: a\x01\r\n\r\n", 400 },
        { "GET  / HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET / HTTP/1.1 \r\n" H "\r\n", 400 },
        { "GET / HTTP/2.0\r\n" H "\r\n", 505 },
        { "GET / http/1.1\r\n" H "\r\n", 400 },
        { "GET /\r\n" H "\r\n", 400 },
        { "G(T / HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET a HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /%zz HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /%00 HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /%ff HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /?a=%zz HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /?a=1&b=%00 HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /?%ff HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /?a=100% HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /?a=b+c%26%C3%A9&&= HTTP/1.1\r\n" H "\r\n", 200 },
        { "GET /a/../b HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /a/%2e%2e%2fb HTTP/1.1\r\n" H "\r\n", 400 },
        { "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", 400 },
        { "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", 400 },
        { "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", -1 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", 413 },
        { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
          400 },
        { "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400 },
        { "POST / HTTP/1.1\r\n" H "Expect: miracles\r\n\r\n", 417 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        if (judge(cases[i].text) != cases[i].status)
            fail_msg("case %u: %d instead of %d: %s", i, judge(cases[i].text), cases[i].status,
                     cases[i].text);
    HttpHead head = { 0 };
    assert_int_equal(judge_n("GET /\0 HTTP/1.1\r\n\r\n", 21, &head), -1);
}

static void test_many_headers(void **state)
{
    g_autoptr(GString) text = g_string_new("GET / HTTP/1.1\r\nHost: a\r\n");
    for (unsigned i = 0; i < HTTP_MAX_HEADERS; i++)
        g_string_append_printf(text, "X-%u: %u\r\n", i, i);
    g_string_append(text, "\r\n");
    assert_int_equal(judge(text->str), 431);
}

/* Byte by byte, the end is found at the same place. */
static void test_incremental(void **state)
{
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /";
    size_t scanned = 0, end = strlen("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for (size_t n = 0; n <= strlen(text); n++)
        assert_int_equal(http_head_find(text, n, &scanned), n < end ? 0 : end);
}

/* Feeds the body in pieces of `step` bytes. The decoded body, or NULL when refused; *rest is what
 * the body did not take. */
static char *decode(gint64 length, const char *in, size_t step, const char **rest)
{
    HttpBody body;
    http_body_init(&body, length);
    g_autoptr(GString) out = g_string_new(NULL);
    size_t n_in = strlen(in), at = 0;
    while (at < n_in && !http_body_is_done(&body)) {
        char buffer[3];
        size_t used;
        gssize n = http_body_decode(&body, in + at, MIN(step, n_in - at), &used, buffer, 3);
        if (n < 0)
            return NULL;
        g_string_append_len(out, buffer, n);
        at += used;
    }
    *rest = in + at;
    g_string_append(out, http_body_is_done(&body) ? "." : "?");
    return g_string_free(g_steal_pointer(&out), FALSE);
}

static void expect_body(gint64 length, const char *in, const char *wanted, const char *rest)
{
    for (size_t step = 1; step < 9; step += 7) {
        const char *left = "";
        g_autofree char *got = decode(length, in, step, &left);
        if (!wanted) {
            assert_null(got);
            continue;
        }
        assert_string_equal(got, wanted);
        assert_string_equal(left, rest);
    }
}

static void test_bodies(void **state)
{
    expect_body(5, "helloGET", "hello.", "GET");
    expect_body(5, "hel", "hel?", "");
    expect_body(-1, "5\r\nhello\r\n0\r\n\r\nGET", "hello.", "GET");
    expect_body(-1, "5;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\nZ: w\r\n\r\nGET",
                "hello0123456789.", "GET");
    expect_body(-1, "5\nhello\r\n0\r\n\r\n", NULL, NULL);
    expect_body(-1, "5\r\nhelloX\r\n0\r\n\r\n", NULL, NULL);
    expect_body(-1, "5 \r\nhello\r\n0\r\n\r\n", NULL, NULL);
    expect_body(-1, "-5\r\nhello\r\n0\r\n\r\n", NULL, NULL);
    expect_body(-1, "0x5\r\nhello\r\n0\r\n\r\n", NULL, NULL);
    expect_body(-1, "\r\nhello\r\n", NULL, NULL);
    expect_body(-1, "10000000000000005\r\nhello\r\n0\r\n\r\n", NULL, NULL);
}

static void test_chunk_limits(void **state)
{
    g_autofree char *filler = g_strnfill(HTTP_MAX_TRAILERS, 'x');
    g_autofree char *line = g_strdup_printf("5;%s\r\nhello\r\n", filler);
    g_autofree char *trailer = g_strdup_printf("0\r\nX: %s\r\n\r\n", filler);
    expect_body(-1, line, NULL, NULL);
    expect_body(-1, trailer, NULL, NULL);
}

static void test_decode(void **state)
{
    g_autofree char *text = http_percent_decode("a+b%26", 6, true);
    assert_string_equal(text, "a b&");
    assert_null(http_percent_decode("%4", 2, true));
    assert_true(http_list_has("a, Upgrade ,b", "upgrade"));
    assert_false(http_list_has("a, Upgrader", "upgrade"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),      cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_many_headers), cmocka_unit_test(test_incremental),
        cmocka_unit_test(test_bodies),       cmocka_unit_test(test_chunk_limits),
        cmocka_unit_test(test_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
