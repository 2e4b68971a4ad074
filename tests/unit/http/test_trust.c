/* Forwarding headers count from trusted proxies only; origins must be ours. */
#include "http/trust.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void assert_client(GPtrArray *networks, const char *peer, const char *forwarded,
                          const char *expected)
{
    g_autofree char *client = trust_client(networks, peer, forwarded);
    assert_string_equal(client, expected);
}

static void test_client(void **state)
{
    const char *const names[] = { "10.0.0.0/8", "::1", NULL };
    g_autoptr(GPtrArray) networks = trust_new(names, NULL);
    g_autoptr(GPtrArray) none = trust_new(NULL, NULL);
    assert_client(networks, "10.0.0.1", "203.0.113.7", "203.0.113.7");
    assert_client(networks, "::1", "2001:db8::7", "2001:db8::7");
    assert_client(networks, "203.0.113.9", "198.51.100.1", "203.0.113.9"); /* no proxy of ours */
    assert_client(none, "10.0.0.1", "203.0.113.7", "10.0.0.1");
    /* What the client itself wrote stands to the left of what our proxies add. */
    assert_client(networks, "10.0.0.1", "127.0.0.1, 203.0.113.7, 10.9.9.9", "203.0.113.7");
    assert_client(networks, "10.0.0.1", "10.1.1.1,10.2.2.2", "10.1.1.1");
    assert_client(networks, "10.0.0.1", "203.0.113.7, evil\"host", "10.0.0.1");
    assert_client(networks, "10.0.0.1", "", "10.0.0.1");
    assert_client(networks, "10.0.0.1", NULL, "10.0.0.1");
}

static void test_networks(void **state)
{
    const char *const wrong[] = { "10.0.0.0/8", "proxy.example.org", NULL };
    g_autoptr(GError) error = NULL;
    assert_null(trust_new(wrong, &error));
    assert_true(err_is(error, ERR_INVALID));
    assert_non_null(strstr(error->message, "proxy.example.org"));
}

static void test_origin(void **state)
{
    const char *const allowed[] = { "https://ui.example.org", NULL };
    assert_true(trust_origin(NULL, "xo.example.org", NULL));
    assert_true(trust_origin("https://xo.example.org", "xo.example.org", NULL));
    assert_true(trust_origin("https://XO.example.org", "xo.example.org:443", NULL));
    assert_true(trust_origin("http://xo.example.org:8080", "xo.example.org:8080", NULL));
    assert_true(trust_origin("http://[::1]:80", "[::1]", NULL));
    assert_true(trust_origin("https://ui.example.org", "xo.example.org", allowed));
    static const char *const refused[] = { "https://evil.example.org",
                                           "null",
                                           "",
                                           "https://xo.example.org.evil.org",
                                           "https://xo.example.org:444",
                                           "xo.example.org",
                                           "file://xo.example.org" };
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++)
        assert_false(trust_origin(refused[i], "xo.example.org", allowed));
    assert_false(trust_origin("https://xo.example.org", NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_client),
                                        cmocka_unit_test(test_networks),
                                        cmocka_unit_test(test_origin) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
