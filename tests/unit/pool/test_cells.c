/* Cells: every one keeps what was written to it whatever others come and go, and what is freed goes
 * back to the system. */
#include "pool/cells.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N_CELLS = 4000, N_STEPS = 100000, MAX_BYTES = 9000 };

typedef struct {
    guint8 *at;
    gsize n;
    guint8 mark;
} Held;

static gsize random_size(GRand *dice)
{
    gsize limit = (gsize) 1 << g_rand_int_range(dice, 3, 14);
    return (gsize) g_rand_int_range(dice, 0, (gint32) MIN(limit, MAX_BYTES));
}

static void hold(Held *held, Cells *cells, GRand *dice)
{
    held->n = random_size(dice);
    held->mark = (guint8) g_rand_int(dice);
    held->at = cell_new(cells, held->n);
    assert_int_equal((uintptr_t) held->at % 16, 0);
    memset(held->at, held->mark, held->n);
}

static void let_go(Held *held)
{
    for (gsize i = 0; i < held->n; i++)
        if (held->at[i] != held->mark)
            fail_msg("byte %zu of %zu changed", i, held->n);
    cell_free(held->at);
    held->at = NULL;
}

static void test_kept(void **state)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(7);
    Cells *cells = cells_new();
    Held *held = g_new0(Held, N_CELLS);
    for (unsigned i = 0; i < N_STEPS; i++) {
        Held *one = &held[g_rand_int_range(dice, 0, N_CELLS)];
        if (one->at)
            let_go(one);
        else
            hold(one, cells, dice);
    }
    cells_unref(cells); /* what is held stays */
    for (unsigned i = 0; i < N_CELLS; i++)
        if (held[i].at)
            let_go(&held[i]);
    g_free(held);
}

static gsize n_mappings(void)
{
    char line[4096];
    gsize n = 0;
    FILE *file = fopen("/proc/self/maps", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        n++;
    fclose(file);
    return n;
}

static gsize mapped_pages(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu", &pages), 1);
    fclose(file);
    return pages;
}

static void test_given_back(void **state)
{
    g_autoptr(Cells) cells = cells_new();
    enum { N = 20000, BYTES = 1500 };
    void **held = g_new(void *, N);
    gsize before = mapped_pages(), maps = n_mappings();
    for (unsigned i = 0; i < N; i++)
        held[i] = cell_new(cells, BYTES);
    gsize page = (gsize) sysconf(_SC_PAGESIZE);
    assert_true((mapped_pages() - before) * page >= (gsize) N * BYTES);
    for (unsigned i = 0; i < N; i++)
        cell_free(held[i]);
    assert_true(mapped_pages() <= before + (1 << 20) / page);
    assert_true(n_mappings() <= maps + 16);
    g_free(held);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kept),
                                        cmocka_unit_test(test_given_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
