/* A call that does not come back is told of, once it has taken too long; others are not. */
#include "work/watch.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { FOR_EVER_MS = 1 << 30, DEADLINE_MS = 60000 };

static void count(void *user)
{
    g_atomic_int_inc((gint *) user);
}

static void test_hangs(void **state)
{
    gint n = 0;
    Watch *watch = watch_new(50, count, &n);
    watch_enter(watch);
    for (unsigned ms = 0; ms < DEADLINE_MS && g_atomic_int_get(&n) == 0; ms += 10)
        g_usleep(10000);
    watch_leave(watch);
    assert_true(g_atomic_int_get(&n) > 0);
    watch_free(watch);
}

static void test_comes_back(void **state)
{
    gint n = 0;
    Watch *patient = watch_new(FOR_EVER_MS, count, &n), *idle = watch_new(1, count, &n);
    for (unsigned i = 0; i < 100; i++) {
        watch_enter(patient);
        g_usleep(1000);
        watch_leave(patient);
    }
    watch_enter(NULL); /* nobody watches */
    watch_leave(NULL);
    watch_free(patient);
    watch_free(idle);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_hangs),
                                        cmocka_unit_test(test_comes_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
