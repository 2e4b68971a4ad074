/* URLs as XO writes them; the texts of its refusals. */
#include "base/error.h"
#include "remote/remote.h"
#include "remote/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_round_trip(void **state)
{
    static const char *const rows[][2] = {
        { "file:///remotes/flat", "file:///remotes/flat" },
        { "file://remotes//flat/", "file:///remotes/flat" },
        { "local:///a", "file:///a" },
        { "file:///a?useVhdDirectory=true", "file:///a?useVhdDirectory=true" },
        { "file:///a?useVhdDirectory=", "file:///a?useVhdDirectory=false" },
        { "file:///a?x=%7B%22level%22%3A1%7D&name=%22stray%22",
          "file:///a?x=%7B%22level%22%3A1%7D" },
        { "nfs://nas:/export/a?useVhdDirectory=true", "nfs://nas:/export/a?useVhdDirectory=true" },
        { "smb://u:p:w@x@DOM\\\\host\\share", "smb://u:p:w@x@DOM\\\\host\\share" },
        { "s3://key:s%2Fcret@s3.example/b/d?allowUnauthorized=true#eu",
          "s3://key:s%2Fcret@s3.example/b/d?allowUnauthorized=true#eu" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(RemoteUrl) url = remote_url_parse(rows[i][0], NULL);
        assert_non_null(url);
        g_autofree char *text = remote_url_format(url);
        assert_string_equal(text, rows[i][1]);
    }
}

static void test_redact(void **state)
{
    static const char *const rows[][2] = {
        { "file:///remotes/"
          "encrypted?useVhdDirectory=true&encryptionKey=%22fixture-key-A-0123456789abcdefgh%22",
          "file:///remotes/"
          "encrypted?useVhdDirectory=true&encryptionKey=%22obfuscated-q3oi6d9X8uenGvdLnHk2%22" },
        { "s3://key:secret@h/b", "s3://key:obfuscated-q3oi6d9X8uenGvdLnHk2@h/b" },
        { "smb://u:p@D\\\\h", "smb://u:obfuscated-q3oi6d9X8uenGvdLnHk2@D\\\\h" },
        { "s3:/key:secret@broken", "obfuscated-q3oi6d9X8uenGvdLnHk2" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = remote_redact_url(rows[i][0]);
        assert_string_equal(text, rows[i][1]);
    }
}

static void test_check(void **state)
{
    static const struct {
        const char *url;
        ErrCode code;
        const char *text;
    } rows[] = {
        { "file:///remotes/flat/xo-vm-backups", ERR_INVALID,
          "remote url should not end with xo-vm-backups" },
        { "file:///remotes/flat/xo-vm-backups/", ERR_INVALID,
          "remote url should not end with xo-vm-backups" },
        { "file:///remotes/bad?encryptionKey=%22fixture-key-A-0123456789abcdefgh%22", ERR_INVALID,
          "Encryption must be used with VHD directory (data blocks)" },
        { "file:///a?useVhdDirectory=true&encryptionKey=%22k%22", ERR_UNSUPPORTED, NULL },
        { "nfs://h:/p", ERR_UNSUPPORTED, NULL },
        { "gopher://h", ERR_INVALID, NULL },
        { "/backups", ERR_INVALID, NULL },
        { "file:///a?useVhdDirectory=tru", ERR_INVALID, NULL },
        { "file:///a?x=%", ERR_INVALID, NULL },
    };
    assert_true(remote_check_url("file:///backups?useVhdDirectory=true", NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        assert_false(remote_check_url(rows[i].url, &error));
        assert_true(err_is(error, rows[i].code));
        assert_null(strstr(error->message, "fixture-key"));
        if (rows[i].text)
            assert_string_equal(error->message, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip),
                                        cmocka_unit_test(test_redact),
                                        cmocka_unit_test(test_check) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
