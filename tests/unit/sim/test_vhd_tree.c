/* The tree of VHD files: what a chain reads, what a delta holds, what merging keeps. */
#include "sim/vhd_tree.h"

#include "sim/seed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N_BLOCKS = 10 };

typedef struct {
    Overlay *overlay;
    VhdTree *tree;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    f->overlay = overlay_new(g_get_tmp_dir(), NULL);
    f->tree = vhd_tree_new(11, f->overlay);
    *state = f;
    return f->overlay ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    vhd_tree_free(f->tree);
    overlay_free(f->overlay);
    g_free(f);
    return 0;
}

static VhdSource source_of(VhdNode *node, guint64 cell)
{
    VhdSource sources[VHD_BLOCK_CELLS];
    vhd_chain_sources(node, (guint32) (cell / VHD_BLOCK_CELLS), sources);
    return sources[cell % VHD_BLOCK_CELLS];
}

static VhdNode *seeded(Fixture *f)
{
    return vhd_node_new_seeded(f->tree, (guint64) N_BLOCKS * VHD_BLOCK_BYTES, 5, 5);
}

static void test_reads_through(void **state)
{
    Fixture *f = *state;
    VhdNode *root = seeded(f);
    VhdNode *child = vhd_node_new(f->tree, root, vhd_node_size_bytes(root));
    assert_int_equal(source_of(child, 0), 5);
    assert_int_equal(source_of(child, 32), VHD_ZEROS); /* block 1 is not among the 5 of 10 */
    vhd_node_put(child, 3, 77);
    assert_int_equal(source_of(child, 3), 77);
    assert_int_equal(source_of(child, 2), 5);
    assert_int_equal(source_of(root, 3), 5);
    vhd_node_put(child, 3, VHD_ZEROS);
    assert_int_equal(source_of(child, 3), VHD_ZEROS);
    assert_int_equal(vhd_node_n_allocated(child), 1);
    assert_int_equal(vhd_node_depth(child), 2);
    vhd_node_put(root, 4, 78); /* rewriting a block of the rule allocates nothing */
    assert_int_equal(vhd_node_n_allocated(root), 5);
    assert_int_equal(source_of(root, 5), 5);
}

static void test_diff_is_symmetric(void **state)
{
    Fixture *f = *state;
    VhdNode *root = seeded(f);
    VhdNode *base = vhd_node_new(f->tree, root, vhd_node_size_bytes(root));
    VhdNode *now = vhd_node_new(f->tree, root, vhd_node_size_bytes(root));
    vhd_node_put(base, 1 * VHD_BLOCK_CELLS, 80);
    vhd_node_put(now, 9 * VHD_BLOCK_CELLS, 81);
    guint32 n;
    g_autofree guint8 *delta = vhd_chain_diff(now, base, &n);
    assert_int_equal(n, 2);
    assert_int_equal(delta[0], 1u << 1);
    assert_int_equal(delta[1], 1u << 1);
    g_autofree guint8 *full = vhd_chain_diff(now, NULL, &n);
    assert_int_equal(n, 6);
    g_autofree guint8 *same = vhd_chain_diff(now, now, &n);
    assert_int_equal(n, 0);
}

static void test_merge_keeps_content(void **state)
{
    Fixture *f = *state;
    VhdNode *root = seeded(f);
    VhdNode *middle = vhd_node_new(f->tree, root, vhd_node_size_bytes(root));
    VhdNode *leaf = vhd_node_new(f->tree, middle, vhd_node_size_bytes(root));
    vhd_node_put(middle, 0, 90);
    vhd_node_put(middle, 33, 91);
    vhd_node_put(leaf, 1, 92);
    VhdSource before[N_BLOCKS * VHD_BLOCK_CELLS];
    for (guint i = 0; i < G_N_ELEMENTS(before); i++)
        before[i] = source_of(leaf, i);
    vhd_node_merge(middle);
    assert_ptr_equal(vhd_node_parent(leaf), root);
    assert_int_equal(vhd_node_n_children(root), 1);
    assert_int_equal(vhd_node_n_allocated(root), 6);
    for (guint i = 0; i < G_N_ELEMENTS(before); i++)
        assert_int_equal(source_of(leaf, i), before[i]);
}

static void test_overlay_is_given_back(void **state)
{
    Fixture *f = *state;
    VhdNode *root = vhd_node_new(f->tree, NULL, VHD_BLOCK_BYTES);
    VhdNode *leaf = vhd_node_new(f->tree, root, VHD_BLOCK_BYTES);
    guint8 in[SEED_CELL_BYTES], out[SEED_CELL_BYTES];
    guint32 slots[3];
    for (guint i = 0; i < 3; i++) {
        memset(in, (int) i + 1, sizeof in);
        assert_true(overlay_take(f->overlay, &slots[i], NULL));
        assert_true(overlay_write(f->overlay, slots[i], in, NULL));
    }
    vhd_node_put(root, 0, vhd_source_overlay(slots[0]));
    vhd_node_put(root, 1, vhd_source_overlay(slots[1]));
    vhd_node_put(leaf, 0, vhd_source_overlay(slots[2]));
    vhd_node_merge(leaf); /* replaces cell 0 */
    assert_int_equal(overlay_n_held(f->overlay), 2);
    assert_true(vhd_source_read(f->tree, source_of(root, 0), 0, out, NULL));
    assert_memory_equal(out, in, sizeof out);
    vhd_node_put(root, 0, VHD_ZEROS);
    assert_int_equal(overlay_n_held(f->overlay), 1);
    vhd_node_free(root);
    assert_int_equal(overlay_n_held(f->overlay), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = { T(test_reads_through), T(test_diff_is_symmetric),
                                        T(test_merge_keeps_content),
                                        T(test_overlay_is_given_back) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
