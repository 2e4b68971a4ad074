/* Ropes: what was added comes out, in order, whatever the pieces and the reads. */
#include "base/rope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(const Rope *rope, const GString *want)
{
    assert_int_equal(rope_bytes(rope), want->len);
    g_autoptr(GBytes) flat = rope_flat(rope);
    assert_int_equal(g_bytes_get_size(flat), want->len);
    if (want->len)
        assert_memory_equal(g_bytes_get_data(flat, NULL), want->str, want->len);
}

/* In reads of any size. */
static void check_reads(const Rope *rope, const GString *want, GRand *chance)
{
    RopeCursor cursor = { 0 };
    char data[700];
    gsize at = 0;
    while (at < want->len) {
        gsize n = (gsize) g_rand_int_range(chance, 1, sizeof data), got;
        got = rope_read(rope, &cursor, data, n);
        assert_int_equal(got, MIN(n, want->len - at));
        assert_memory_equal(data, want->str + at, got);
        at += got;
    }
    assert_int_equal(rope_read(rope, &cursor, data, sizeof data), 0);
}

static void add_any(Rope *rope, GString *want, GRand *chance)
{
    g_autofree char *data = NULL;
    gsize n = (gsize) (g_rand_int_range(chance, 0, 20) == 0 ? g_rand_int_range(chance, 0, 40000)
                                                            : g_rand_int_range(chance, 0, 90));
    data = g_malloc(n + 1);
    memset(data, g_rand_int_range(chance, 'a', 'z'), n);
    g_string_append_len(want, data, (gssize) n);
    if (g_rand_boolean(chance)) {
        rope_add_copy(rope, data, n);
    } else {
        g_autoptr(GBytes) bytes = g_bytes_new(data, n);
        rope_add(rope, bytes);
    }
}

static void test_order(void **state)
{
    g_autoptr(GRand) chance = g_rand_new_with_seed(7);
    for (unsigned round = 0; round < 50; round++) {
        g_autoptr(Rope) rope = rope_new();
        g_autoptr(GString) want = g_string_new(NULL);
        for (unsigned i = 0; i < round * 4; i++)
            add_any(rope, want, chance);
        check(rope, want);
        check_reads(rope, want, chance);
    }
}

static void test_of_ropes(void **state)
{
    Rope *inner = rope_new();
    rope_add_string(inner, "{\"a\":1}");
    g_autoptr(Rope) outer = rope_new();
    rope_add_string(outer, "[");
    rope_add_rope(outer, inner);
    rope_add_string(outer, ",");
    rope_add_rope(outer, inner);
    rope_add_string(outer, "]");
    rope_unref(inner); /* the bytes stay */
    g_autoptr(GString) want = g_string_new("[{\"a\":1},{\"a\":1}]");
    check(outer, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_of_ropes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
