/* The error table: codes, details, errno classes, retry. */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_detail(void **state)
{
    g_autoptr(GError) error = NULL;
    const char *detail[] = { "VM_BAD_POWER_STATE", "OpaqueRef:1", "halted", "running", NULL };
    err_set_detail(&error, ERR_XAPI, detail, "VM %s", "web");
    assert_string_equal(err_xapi_code(error), "VM_BAD_POWER_STATE");
    g_autoptr(GError) copy = g_error_copy(error);
    assert_string_equal(err_detail(copy)[3], "running");
    assert_string_equal(copy->message, "VM web");
}

static void test_errno(void **state)
{
    g_autoptr(GError) error = NULL;
    err_set_errno(&error, ENOSPC, "writing %s", "a.vhd");
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_true(err_may_retry(error));
    assert_true(g_str_has_prefix(error->message, "writing a.vhd: "));
    assert_string_equal(err_name(error), "NO_SPACE");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_detail),
                                        cmocka_unit_test(test_errno) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
