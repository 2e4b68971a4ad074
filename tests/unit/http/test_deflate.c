/* What is offered and agreed; messages there and back; bombs and rubbish. */
#include "base/error.h"
#include "http/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_offers(void **state)
{
    static const struct {
        const char *offers;
        int bits;
    } cases[] = {
        { NULL, 0 },
        { "", 0 },
        { "x-webkit-deflate-frame", 0 },
        { "permessage-deflate", 15 },
        { "Permessage-Deflate ; client_max_window_bits", 15 },
        { "permessage-deflate; client_max_window_bits=8; server_no_context_takeover", 15 },
        { "permessage-deflate; server_max_window_bits=10", 10 },
        { "permessage-deflate; server_max_window_bits=8, permessage-deflate", 15 },
        { "permessage-deflate; server_max_window_bits=16", 0 },
        { "permessage-deflate; server_max_window_bits", 0 },
        { "permessage-deflate; server_no_context_takeover=1", 0 },
        { "permessage-deflate; unknown", 0 },
        { "permessage-deflate; client_max_window_bits; client_max_window_bits", 0 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GString) answer = g_string_new(NULL);
        if (deflate_agree(cases[i].offers, answer) != cases[i].bits)
            fail_msg("%s", cases[i].offers);
        assert_true(!answer->len == !cases[i].bits);
        assert_true(!strstr(answer->str, "server_max_window_bits") == (cases[i].bits != 10));
    }
}

static void test_there_and_back(void **state)
{
    static const gsize sizes[] = { 0, 1, 1000, 300000 };
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (int bits = 9; bits <= 15; bits++) {
            g_autofree guint8 *text = g_malloc(sizes[i] + 1);
            for (gsize k = 0; k < sizes[i]; k++)
                text[k] = (guint8) (k * k >> 7);
            g_autoptr(GBytes) message = g_bytes_new(text, sizes[i]);
            g_autoptr(GBytes) packed = deflate_message(message, bits);
            gsize n, n_packed;
            const void *data = g_bytes_get_data(packed, &n_packed);
            g_autofree char *back = inflate_message(data, n_packed, sizes[i], &n, NULL);
            assert_non_null(back);
            assert_int_equal(n, sizes[i]);
            assert_memory_equal(back, text, n);
            assert_int_equal(back[n], 0);
        }
    }
}

static void test_refused(void **state)
{
    g_autofree guint8 *zeros = g_malloc0(10 << 20);
    g_autoptr(GBytes) message = g_bytes_new_static(zeros, 10 << 20);
    g_autoptr(GBytes) bomb = deflate_message(message, 15);
    g_autoptr(GError) error = NULL;
    gsize n, n_bomb;
    const guint8 *data = g_bytes_get_data(bomb, &n_bomb);
    assert_true(n_bomb < 100000);
    assert_null(inflate_message(data, n_bomb, (10 << 20) - 1, &n, &error));
    assert_true(err_is(error, ERR_LIMIT));
    g_clear_error(&error);
    assert_null(inflate_message("\xff\xff", 2, 1000, &n, &error));
    assert_true(err_is(error, ERR_PROTOCOL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
