/* The pace of calls: ten seconds' worth at once, then the rate; each user, address and connection
 * for itself. */
#include "api/pace.h"
#include "api/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { RATE = 5, BURST = RATE * PACE_BURST_S };

static const PaceConfig config = { .user_rate = RATE, .address_rate = 3 * RATE };

/* How many of n calls at one moment are taken. */
static unsigned taken(Pace *pace, const char *user, const char *address, Bucket *connection,
                      gint64 now_us, unsigned n)
{
    unsigned n_taken = 0;
    for (unsigned i = 0; i < n; i++)
        n_taken += pace_take(pace, user, address, connection, now_us, NULL);
    return n_taken;
}

static void test_user(void **state)
{
    Pace *pace = pace_new(&config);
    gint64 now_us = G_USEC_PER_SEC;
    g_autoptr(GError) error = NULL;
    assert_int_equal(taken(pace, "ann", NULL, NULL, now_us, 2 * BURST), BURST);
    assert_false(pace_take(pace, "ann", NULL, NULL, now_us, &error));
    assert_true(api_error_is(error, API_SERVICE_UNAVAILABLE));
    assert_int_equal(pace_retry_s(error), 1);
    assert_int_equal(taken(pace, "bob", NULL, NULL, now_us, BURST), BURST);
    now_us += 2 * G_USEC_PER_SEC;
    assert_int_equal(taken(pace, "ann", NULL, NULL, now_us, BURST), 2 * RATE);
    now_us += 3600 * (gint64) G_USEC_PER_SEC;
    assert_int_equal(taken(pace, "ann", NULL, NULL, now_us, 2 * BURST), BURST);
    pace_free(pace);
}

static void test_address_and_connection(void **state)
{
    Pace *pace = pace_new(&config);
    gint64 now_us = G_USEC_PER_SEC;
    Bucket connection = { 0 };
    assert_int_equal(taken(pace, NULL, "192.0.2.1", &connection, now_us, 2 * BURST), BURST);
    assert_int_equal(taken(pace, NULL, "192.0.2.1", NULL, now_us, 4 * BURST), 2 * BURST);
    assert_int_equal(taken(pace, "ann", "192.0.2.1", NULL, now_us, BURST), 0);
    assert_int_equal(taken(pace, "ann", "192.0.2.2", NULL, now_us, 2 * BURST), BURST);
    pace_free(pace);
}

/* More addresses than are counted: nobody is kept out by that, and memory does not grow. */
static void test_flood(void **state)
{
    Pace *pace = pace_new(&config);
    for (unsigned i = 0; i < 30000; i++) {
        char address[32];
        g_snprintf(address, sizeof address, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
        assert_true(pace_take(pace, NULL, address, NULL, G_USEC_PER_SEC, NULL));
    }
    pace_free(pace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_address_and_connection),
        cmocka_unit_test(test_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
