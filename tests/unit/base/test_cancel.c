/* A flag with parents and, perhaps, a time. */
#include "base/cancel.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_parents(void **state)
{
    g_autoptr(Cancel) one = cancel_new(), other = cancel_new();
    g_autoptr(Cancel) child = cancel_new_under(one, other);
    g_autoptr(GError) error = NULL;
    assert_false(cancel_is_set(child) || cancel_is_set(NULL));
    cancel_set(other);
    assert_true(cancel_is_set(child) && !cancel_is_set(one));
    assert_true(cancel_check(child, "it", &error));
    assert_true(err_is(error, ERR_CANCELLED));
}

static void test_time(void **state)
{
    g_autoptr(Cancel) parent = cancel_new();
    g_autoptr(Cancel) child = cancel_new_under(NULL, parent);
    GError *error = NULL;
    cancel_after(parent, 0, "none");
    assert_false(cancel_is_set(child));
    cancel_after(parent, 100, "vmTimeout");
    assert_false(cancel_is_set(child));
    g_usleep(120000);
    assert_true(cancel_check(child, "the backup", &error));
    assert_true(err_is(error, ERR_TIMEOUT));
    assert_non_null(strstr(error->message, "the backup did not end within 0.1 s"));
    g_clear_error(&error);
    err_set(&error, ERR_CANCELLED, "somewhere");
    cancel_explain(child, "the backup", &error);
    assert_true(err_is(error, ERR_TIMEOUT));
    g_clear_error(&error);
    err_set(&error, ERR_IO, "somewhere");
    cancel_explain(child, "the backup", &error);
    assert_true(err_is(error, ERR_IO));
    g_clear_error(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_parents),
                                        cmocka_unit_test(test_time) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
