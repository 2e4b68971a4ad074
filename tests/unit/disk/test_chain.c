/* Chains of 1 to 100 members: the newest that has a block wins; broken links are refused. */
#include "sample.h"

#define SIZE (40 * MIB)

/* Member n holds blocks n, n + 1, n + 2 modulo 20. */
static Disk *make_member(guint32 seed, guint64 size)
{
    Bytes *file = bytes_new_memory(NULL, 0);
    DiskInfo info = sample_info(size, seed);
    int list[] = { seed % 20, (seed + 1) % 20, (seed + 2) % 20, -1 };
    sample_write(vhd_create(shared_bytes(file), &info, NULL), seed, list);
    return vhd_open(file, NULL);
}

static void check_chain(unsigned n)
{
    g_autofree Disk **members = g_new(Disk *, n);
    guint32 want[20] = { 0 };
    for (guint32 seed = 1; seed <= n; seed++) {
        members[seed - 1] = make_member(seed, SIZE);
        for (int i = 0; i < 3; i++)
            want[(seed + i) % 20] = seed;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Disk) chain = chain_open(members, n, &error);
    assert_non_null(chain);
    assert_false(chain->info.differencing);
    for (guint32 block = 0; block < 20; block++)
        sample_check(chain, block, want[block]);
}

static void test_lengths(void **state)
{
    static const unsigned lengths[] = { 1, 2, 5, 100 };
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++)
        check_chain(lengths[i]);
}

static void test_grown(void **state)
{
    Disk *members[] = { make_member(1, 3 * 2 * MIB + 7 * 512), make_member(2, SIZE) };
    g_autoptr(Disk) chain = chain_open(members, 2, NULL);
    assert_int_equal(chain->info.size_bytes, SIZE);
    sample_check(chain, 1, 1);
    sample_check(chain, 4, 2);
    sample_check(chain, 10, 0);
    /* The short last block of the old size reads as zeros past its end. */
    g_autofree guint8 *data = g_malloc(4096);
    assert_ok(disk_read(chain, 3 * 2 * MIB + 6 * 512, data, 1024, e_));
    sample_check(chain, 2, 2);
}

static void test_partial_read(void **state)
{
    Disk *members[] = { make_member(1, SIZE) };
    g_autoptr(Disk) chain = chain_open(members, 1, NULL);
    g_autofree guint8 *all = g_malloc(SIZE), *part = g_malloc(5 * MIB);
    assert_ok(disk_read(chain, 0, all, SIZE, e_));
    assert_ok(disk_read(chain, 1 * MIB + 13, part, 5 * MIB, e_));
    assert_memory_equal(part, all + 1 * MIB + 13, 5 * MIB);
}

static void test_broken(void **state)
{
    Disk *skip[] = { make_member(1, SIZE), make_member(3, SIZE) };
    g_autoptr(GError) error = NULL;
    assert_null(chain_open(skip, 2, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    Disk *roots[] = { make_member(1, SIZE), make_member(1, SIZE) };
    assert_null(chain_open(roots, 2, NULL));
    assert_null(chain_open(NULL, 0, NULL));
    /* A part of a chain is a differencing disk itself. */
    Disk *tail[] = { make_member(4, SIZE), make_member(5, SIZE) };
    g_autoptr(Disk) chain = chain_open(tail, 2, NULL);
    assert_true(chain->info.differencing);
    assert_string_equal(chain->info.parent_name, "00000003.vhd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_grown),
        cmocka_unit_test(test_partial_read),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
