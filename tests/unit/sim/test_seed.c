/* Generated disk content: repeatable, different where it should be, mixed as promised. */
#include "sim/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static guint8 a[SEED_CELL_BYTES], b[SEED_CELL_BYTES];

static bool is_zero(const guint8 *cell)
{
    return !cell[0] && memcmp(cell, cell + 1, SEED_CELL_BYTES - 1) == 0;
}

static void test_repeatable(void **state)
{
    for (guint64 cell = 0; cell < 64; cell++) {
        memset(a, 0xaa, sizeof a);
        memset(b, 0x55, sizeof b);
        seed_cell(7, 3, cell, a);
        seed_cell(7, 3, cell, b);
        assert_memory_equal(a, b, sizeof a);
    }
}

static void test_differs(void **state)
{
    guint n_equal_generation = 0, n_equal_cell = 0, n_equal_seed = 0, n_zero = 0;
    for (guint64 cell = 0; cell < 200; cell++) {
        seed_cell(7, 3, cell, a);
        n_zero += is_zero(a);
        seed_cell(7, 4, cell, b);
        n_equal_generation += !is_zero(a) && !memcmp(a, b, sizeof a);
        seed_cell(7, 3, cell + 1, b);
        n_equal_cell += !is_zero(a) && !memcmp(a, b, sizeof a);
        seed_cell(8, 3, cell, b);
        n_equal_seed += !is_zero(a) && !memcmp(a, b, sizeof a);
    }
    assert_int_equal(n_equal_generation + n_equal_cell + n_equal_seed, 0);
    assert_in_range(n_zero, 35, 85);
}

static void test_mix(void **state)
{
    guint n_text = 0;
    for (guint64 cell = 0; cell < 500; cell++) {
        seed_cell(1, 2, cell, a);
        n_text += memcmp(a, "2026-11-", 8) == 0;
    }
    assert_in_range(n_text, 160, 240);
}

static void test_spread(void **state)
{
    for (guint32 n_blocks = 1; n_blocks < 120; n_blocks++)
        for (guint32 n_allocated = 0; n_allocated <= n_blocks; n_allocated++) {
            guint32 n = 0;
            for (guint32 block = 0; block < n_blocks; block++)
                n += seed_holds_block(block, n_allocated, n_blocks);
            assert_int_equal(n, n_allocated);
            assert_true(n_allocated == 0 || seed_holds_block(0, n_allocated, n_blocks));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_repeatable),
                                        cmocka_unit_test(test_differs), cmocka_unit_test(test_mix),
                                        cmocka_unit_test(test_spread) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
