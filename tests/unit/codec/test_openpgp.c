/* Messages that a passphrase opens: those of gpg 2.2 and of openpgp.js 5 and 6 (which XO uses), our
 * own, and damaged ones. */
#include "codec/openpgp.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define PASSPHRASE "correct horse"
#define TEXT       "{\"users\":[]}\n"

/* By whom, and the message in base64. */
static const char *const messages[][2] = {
    { "gpg, zip",
      "jA0ECQMCzFBkmRoMTqn/0kkBXMZsaqqvniWvTIL1/E7aue6566JoE9jaJ7jVEozvI5FTB5jFhdwj5rBsxHQtTXnn"
      "k22QkdyFJ/PmrF6qwGDFYFPBjY7T1Zxm" },
    { "gpg, zlib",
      "jA0ECQMC2oVi66dGrEb/0k8BATbQsxEapJih6hOHAHdy5ThqtHIbj6wqL+vjpWw37CB0LZhrp2cwmZWYPGuWrS/c"
      "9okFFDtiV17IUxNyQHTVgBLG2LMcp4ebYP92+M/X" },
    { "gpg, not compressed",
      "jA0ECQMCah3d1d0Dw7n/0kUBs7eNNEd0TFo83x+5GfE6ngRj0LnnGnyl83/EF/uG+dUi3rFOQiPAlK1zPxbO36d6"
      "lz084Axdjf/h9Lnl2Mx1qgwv+d4=" },
    { "gpg, AES-128 and SHA-1",
      "jA0EBwMC+ALd2ISL4EL/0j4BrNHJRnJOZdU1yKeMWURVUWCaU252qGZBSESfnySTZLudzXDGldiB0mEj9jilsI7F"
      "MIbvVUN6arppURhkgQ==" },
    { "openpgp.js 5",
      "wy4ECQMIgRjUUGhze3XgHbPYXQWLxkLdcM+HeHFrZGn6DjiQnC81x2i5c//iWypk0j8BVBW/U6L9hTQ7yq+FUqxs"
      "6yFU8UmCYE5nRuuFFCqOGoXxjmQBdnvoK1+P6ueD/P0BNXBBoYJv37XG9GuvTOw=" },
    { "openpgp.js 6",
      "wy4ECQMIYdYF+jbk5Rvg1tpYWE3bUeEdLYCLdgnaCP6CSfeESYI3pSaHZr7vVbBK0j8B4yjdkrYMN097P1WIj/Mk"
      "q0MoJU54nz3dPUI7fRXp307lid4+Gv8ZDDJkEXu83JZSYGz94GPvkkZJUJgj878=" },
};

static GBytes *message(unsigned i)
{
    gsize n;
    guint8 *data = g_base64_decode(messages[i][1], &n);
    return g_bytes_new_take(data, n);
}

static GBytes *open_bytes(GBytes *sealed, const char *passphrase, gsize max, GError **error)
{
    return openpgp_open(g_bytes_get_data(sealed, NULL), g_bytes_get_size(sealed), passphrase, max,
                        error);
}

static void test_opens_others(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(messages); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) sealed = message(i);
        assert_true(openpgp_is_sealed(g_bytes_get_data(sealed, NULL), g_bytes_get_size(sealed)));
        g_autoptr(GBytes) text = open_bytes(sealed, PASSPHRASE, 1000, &error);
        if (!text)
            fail_msg("%s: %s", messages[i][0], error->message);
        assert_int_equal(g_bytes_get_size(text), strlen(TEXT));
        assert_memory_equal(g_bytes_get_data(text, NULL), TEXT, strlen(TEXT));
        assert_null(open_bytes(sealed, "another", 1000, &error));
        assert_true(err_is(error, ERR_DENIED));
        g_clear_error(&error);
        assert_null(open_bytes(sealed, PASSPHRASE, 5, &error));
        assert_true(err_is(error, ERR_LIMIT));
    }
}

static void test_opens_its_own(void **state)
{
    const gsize sizes[] = { 0, 16, 17, 70000 };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree guint8 *data = g_malloc(sizes[i] + 1);
        for (gsize k = 0; k < sizes[i]; k++)
            data[k] = (guint8) (k * 31 + i);
        g_autoptr(GBytes) sealed = openpgp_seal(data, sizes[i], PASSPHRASE, &error);
        assert_non_null(sealed);
        g_autoptr(GBytes) again = openpgp_seal(data, sizes[i], PASSPHRASE, &error);
        assert_false(g_bytes_equal(sealed, again)); /* another salt */
        g_autoptr(GBytes) text = open_bytes(sealed, PASSPHRASE, 100000, &error);
        assert_non_null(text);
        assert_int_equal(g_bytes_get_size(text), sizes[i]);
        assert_memory_equal(g_bytes_get_data(text, NULL), data, sizes[i]);
    }
}

/* Whatever bit is wrong: an error, never another text. */
static void test_damage(void **state)
{
    g_autoptr(GBytes) sealed = message(2);
    gsize n = g_bytes_get_size(sealed);
    for (gsize i = 0; i < n; i++) {
        g_autofree guint8 *copy = g_memdup2(g_bytes_get_data(sealed, NULL), n);
        g_autoptr(GError) error = NULL;
        copy[i] ^= (guint8) (1 << i % 8);
        g_autoptr(GBytes) text = openpgp_open(copy, n, PASSPHRASE, 1000, &error);
        assert_null(text);
        assert_non_null(error);
    }
    for (gsize i = 0; i < n; i++) {
        g_autoptr(GError) error = NULL;
        assert_null(openpgp_open(g_bytes_get_data(sealed, NULL), i, PASSPHRASE, 1000, &error));
        assert_non_null(error);
    }
}

static void test_is_sealed(void **state)
{
    assert_false(openpgp_is_sealed("", 0));
    assert_false(openpgp_is_sealed("{}", 2));
    assert_false(openpgp_is_sealed("\x1f\x8b\x08", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_others),
        cmocka_unit_test(test_opens_its_own),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
