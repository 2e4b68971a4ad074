/* The part that is wanted, however the body is cut; and bodies that are wrong. */
#include "base/error.h"
#include "http/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define TYPE "multipart/form-data; charset=utf-8; boundary=\"a b\""

typedef struct {
    const char *text;
    gsize n, at, step;
} Body;

static ssize_t give(void *data, size_t n, void *user, GError **error)
{
    Body *body = user;
    gsize given = MIN(MIN(n, body->step), body->n - body->at);
    memcpy(data, body->text + body->at, given);
    body->at += given;
    return (ssize_t) given;
}

/* The content of the part "file"; NULL with an error. */
static GString *read_part(const char *type, const char *text, gsize step, GError **error)
{
    Body body = { text, strlen(text), 0, step };
    g_autoptr(Multipart) multipart = multipart_new(type, give, &body, error);
    if (!multipart || !multipart_find(multipart, "file", error))
        return NULL;
    GString *all = g_string_new(NULL);
    char piece[7];
    ssize_t n;
    while ((n = multipart_read(piece, sizeof piece, multipart, error)) > 0)
        g_string_append_len(all, piece, n);
    if (n == 0)
        return all;
    g_string_free(all, TRUE);
    return NULL;
}

static void test_types(void **state)
{
    assert_true(multipart_is("Multipart/Form-Data; boundary=x"));
    assert_true(multipart_is("multipart/form-data"));
    assert_false(multipart_is("multipart/form-database; boundary=x"));
    assert_false(multipart_is("multipart/mixed; boundary=x"));
    assert_false(multipart_is(NULL));
}

static void test_parts(void **state)
{
    static const char *const bodies[] = {
        "--a b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\r\n--a\r\nhello\r\n--a "
        "b--\r\n",
        "not for us\r\n--a b \t\r\ncontent-disposition: form-data; filename=\"name=x\"; "
        "name=\"tables\"\r\n"
        "Content-Type: text/plain\r\n\r\n{}\r\n--a b\r\nX: 1\r\n\r\n\r\n--a b\r\nContent-Type: "
        "a/b\r\n"
        "CONTENT-DISPOSITION:form-data; filename=\"; name=\\\"no\\\"\"; "
        "NAME=file\r\n\r\n\r\n--a\r\nhello\r\n--a b\r\nrest",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bodies); i++) {
        for (gsize step = 1; step < 40; step++) {
            g_autoptr(GError) error = NULL;
            g_autoptr(GString) part = read_part(TYPE, bodies[i], step, &error);
            assert_null(error);
            assert_string_equal(part->str, "\r\n--a\r\nhello");
        }
    }
}

static void test_large(void **state)
{
    g_autoptr(GString)
        body = g_string_new("--a b\r\nContent-Disposition: form-data; name=file\r\n\r\n");
    gsize before = body->len;
    while (body->len < 300000)
        g_string_append(body, "\r\n--a \r\n");
    g_autofree char *content = g_strdup(body->str + before);
    g_string_append(body, "\r\n--a b--");
    g_autoptr(GString) part = read_part(TYPE, body->str, 9999, NULL);
    assert_non_null(part);
    assert_string_equal(part->str, content);
}

static void test_wrong(void **state)
{
    g_autofree char *long_head = g_strnfill(20000, 'x');
    g_autofree char *headed = g_strconcat("--a b\r\n", long_head, NULL);
    const struct {
        const char *type, *body;
        ErrCode code;
    } cases[] = {
        { "multipart/form-data", "", ERR_INVALID },
        { "multipart/form-data; boundary=", "", ERR_INVALID },
        { "multipart/form-data; xboundary=x; boundary", "", ERR_INVALID },
        { TYPE, "", ERR_TRUNCATED },
        { TYPE, "nothing of the kind", ERR_TRUNCATED },
        { TYPE, "--a b--", ERR_NOT_FOUND },
        { TYPE, "--a b", ERR_TRUNCATED },
        { TYPE, "--a b\r\nX: y\r\n", ERR_TRUNCATED },
        { TYPE, headed, ERR_INVALID },
        { TYPE, "--a b\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nx\r\n--a b--",
          ERR_NOT_FOUND },
        { TYPE, "--a b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--a ",
          ERR_TRUNCATED },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(read_part(cases[i].type, cases[i].body, 13, &error));
        if (!err_is(error, cases[i].code))
            fail_msg("case %u: %s", i, error ? error->message : "no error");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
