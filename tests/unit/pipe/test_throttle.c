/* The rate is that of all streams together, whatever the sizes they take. */
#include "pipe/throttle.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { RATE = 1000000, N_TAKES = 10, TAKE_BYTES = 20000 };

static void *take_some(void *throttle)
{
    for (int i = 0; i < N_TAKES; i++)
        throttle_take(throttle, TAKE_BYTES, NULL);
    return NULL;
}

static double seconds_of(unsigned n_streams)
{
    Throttle *throttle = throttle_new(RATE);
    pthread_t threads[4];
    gint64 start_us = g_get_monotonic_time();
    for (unsigned i = 0; i < n_streams; i++)
        pthread_create(&threads[i], NULL, take_some, throttle);
    for (unsigned i = 0; i < n_streams; i++)
        pthread_join(threads[i], NULL);
    throttle_free(throttle);
    return (double) (g_get_monotonic_time() - start_us) / G_USEC_PER_SEC;
}

static void test_rate(void **state)
{
    double one = seconds_of(1), four = seconds_of(4);
    assert_true(one >= 0.19 && one < 2);
    assert_true(four >= 0.79 && four < 6);
}

static void test_none(void **state)
{
    assert_null(throttle_new(0));
    throttle_take(NULL, G_MAXUINT64, NULL);
    throttle_free(NULL);
}

static void test_cancel(void **state)
{
    Throttle *throttle = throttle_new(1);
    Cancel *cancel = cancel_new();
    gint64 start_us = g_get_monotonic_time();
    cancel_set(cancel);
    throttle_take(throttle, 1000000, cancel);
    assert_true(g_get_monotonic_time() - start_us < G_USEC_PER_SEC);
    cancel_unref(cancel);
    throttle_free(throttle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
