/* Messages of e-mail: encoded where they must be, and no text makes a header of its own. That other
 * programs read them is tested in tests/system/test_plugins.py. */
#include "base/error.h"
#include "notify/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *const to[] = { "ann@example.org", "bob@example.org", NULL };

static char *written(const Mail *mail)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) bytes = mail_write(mail, &error);
    assert_null(error);
    return g_strndup(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

/* Every line ends with CRLF and is short. */
static void check_lines(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\r\n", -1);
    for (unsigned i = 0; lines[i]; i++) {
        assert_null(strchr(lines[i], '\n'));
        assert_true(strlen(lines[i]) <= 998);
    }
}

static void plain(void **state)
{
    Mail mail = {
        .from = "xo@example.org", .to = to, .subject = "All is well", .text = "so it is"
    };
    g_autofree char *text = written(&mail);
    check_lines(text);
    assert_non_null(strstr(text, "\r\nFrom: xo@example.org\r\n"));
    assert_non_null(strstr(text, "\r\nTo: ann@example.org,\r\n bob@example.org\r\n"));
    assert_non_null(strstr(text, "\r\nSubject: All is well\r\n"));
    assert_non_null(strstr(text, "@example.org>\r\n"));
    assert_non_null(strstr(text, "\r\n\r\nc28gaXQgaXM=\r\n"));
}

static void injection(void **state)
{
    MailAttachment file = { "a\r\nX-Third: 1\".txt", "text/plain", "x", 1 };
    Mail mail = { .from = "xo@example.org",
                  .from_name = "Me\r\nX-First: 1",
                  .to = to,
                  .subject = "one\r\nX-Second: 1\r\n\r\nbody",
                  .text = "t",
                  .attachments = &file,
                  .n_attachments = 1 };
    g_autofree char *text = written(&mail);
    check_lines(text);
    assert_null(strstr(text, "\r\nX-"));
    assert_non_null(strstr(text, "\r\nSubject: one  X-Second: 1    body\r\n"));
    assert_non_null(strstr(text, "\r\nFrom: \"Me  X-First: 1\"\r\n <xo@example.org>\r\n"));
    assert_non_null(strstr(text, "filename=\"a  X-Third: 1\\\".txt\"\r\n"));
}

/* Whole characters in each word, which together are the text. */
static void encoded(void **state)
{
    GString *long_text = g_string_new(NULL);
    for (unsigned i = 0; i < 40; i++)
        g_string_append(long_text, "dév€loppé 𝄞 ");
    g_autofree char *subject = g_string_free(long_text, FALSE);
    Mail mail = { .from = "xo@example.org", .to = to, .subject = subject, .text = "é" };
    g_autofree char *text = written(&mail);
    check_lines(text);
    g_autoptr(GString) back = g_string_new(NULL);
    const char *at = strstr(text, "\r\nSubject: ");
    const char *end = strstr(at, "\r\nMessage-ID");
    for (at = strstr(at, "=?UTF-8?B?"); at && at < end; at = strstr(at, "=?UTF-8?B?")) {
        at += strlen("=?UTF-8?B?");
        gsize n, n_word = strcspn(at, "?");
        assert_true(n_word + strlen("=?UTF-8?B?"
                                    "?=") <=
                    75);
        g_autofree char *word = g_strndup(at, n_word);
        g_autofree guchar *part = g_base64_decode(word, &n);
        assert_true(g_utf8_validate((const char *) part, (gssize) n, NULL));
        g_string_append_len(back, (const char *) part, (gssize) n);
    }
    assert_string_equal(back->str, subject);
}

/* What is no UTF-8 is made some. */
static void broken_text(void **state)
{
    Mail mail = { .from = "xo@example.org", .to = to, .subject = "\xff\xfe", .text = "\xc3" };
    g_autofree char *text = written(&mail);
    check_lines(text);
    assert_true(g_str_is_ascii(text));
}

static void addresses(void **state)
{
    const char *const wrong[] = { "",
                                  "a",
                                  "@b",
                                  "a@",
                                  "a@b@c",
                                  "a b@c",
                                  "a@b\r\nX: 1",
                                  "<a@b>",
                                  "a@b,c@d",
                                  "\"a\"@b",
                                  "ann@ex\xc3\xa4mple.org" };
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(mail_check_address(wrong[i], &error));
        assert_true(err_is(error, ERR_INVALID));
    }
    g_autofree char *long_one = g_strdup_printf("%0*d@b", MAIL_MAX_ADDRESS_BYTES, 0);
    assert_false(mail_check_address(long_one, NULL));
    assert_true(mail_check_address("ann+xo@mail.example.org", NULL));
    g_auto(GStrv) list = mail_addresses(" a@b.c ,d@e.f", NULL);
    assert_int_equal(g_strv_length(list), 2);
    assert_string_equal(list[0], "a@b.c");
    assert_string_equal(list[1], "d@e.f");
    assert_null(mail_addresses("a@b, ", NULL));
    assert_null(mail_addresses("", NULL));
    g_autofree char *many = g_strnfill(4000, ',');
    assert_null(mail_addresses(many, NULL));
    Mail mail = { .from = "a@b\r\nRCPT TO:<c@d>", .to = to, .subject = "", .text = "" };
    assert_null(mail_write(&mail, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),       cmocka_unit_test(injection), cmocka_unit_test(encoded),
        cmocka_unit_test(broken_text), cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
