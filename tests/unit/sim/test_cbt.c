/* Changed block logs: unions over a row, deletion in the middle, broken logs, bit order. */
#include "sim/cbt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { CELL = 64 << 10 };

static void check(const CbtLog *from, const CbtLog *to, guint64 n_cells, const guint8 *bytes,
                  gsize n)
{
    g_autofree char *text = cbt_changed(from, to, n_cells * CELL);
    assert_non_null(text);
    gsize n_bytes;
    g_autofree guchar *bits = g_base64_decode(text, &n_bytes);
    assert_int_equal(n_bytes, n);
    assert_memory_equal(bits, bytes, n);
}

static void test_order_and_padding(void **state)
{
    CbtLog *first = cbt_log_new(), *second = cbt_log_next(first);
    cbt_log_mark(second, 0);
    cbt_log_mark(second, 9);
    cbt_log_mark(second, 40); /* beyond the 11 cells asked for */
    check(first, second, 11, (const guint8[]){ 0x80, 0x40 }, 2);
    check(second, second, 11, (const guint8[]){ 0, 0 }, 2);
    cbt_log_drop(second);
    cbt_log_drop(first);
}

static void test_row(void **state)
{
    CbtLog *a = cbt_log_new();
    cbt_log_mark(a, 1);
    CbtLog *b = cbt_log_next(a);
    cbt_log_mark(b, 2);
    CbtLog *c = cbt_log_next(b);
    cbt_log_mark(c, 3);
    check(a, c, 8, (const guint8[]){ 0x30 }, 1);
    check(b, c, 8, (const guint8[]){ 0x10 }, 1);
    assert_null(cbt_changed(c, a, 8 * CELL));
    cbt_log_drop(b);
    check(a, c, 8, (const guint8[]){ 0x30 }, 1);
    CbtLog *other = cbt_log_new();
    assert_null(cbt_changed(other, c, 8 * CELL));
    cbt_log_drop(other);
    cbt_log_drop(a);
    cbt_log_drop(c);
}

static void test_broken(void **state)
{
    CbtLog *a = cbt_log_new(), *b = cbt_log_next(a), *c = cbt_log_next(b);
    cbt_log_break(b);
    assert_null(cbt_changed(a, c, CELL));
    check(b, c, 1, (const guint8[]){ 0 }, 1);
    cbt_log_drop(b);
    assert_null(cbt_changed(a, c, CELL)); /* the break travels with the marks */
    cbt_log_drop(a);
    cbt_log_drop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order_and_padding),
                                        cmocka_unit_test(test_row), cmocka_unit_test(test_broken) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
