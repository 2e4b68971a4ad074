/* The simulator's VHD code and the product's, written apart from each other, read each other's
 * streams. */
#include "disk/disk.h"
#include "sim/export_vhd.h"
#include "sim/import_vhd.h"
#include "sim/vhd_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N_BLOCKS = 7 };
static const guint8 uid[16] = { 1, 2, 3, 4, 5, 6, 0x47, 8, 0x89 }, parent_uid[16] = { 0xaa, 0xbb };
static const guint8 present[] = { 0x51 }; /* blocks 0, 4, 6 */
#define SIZE_BYTES ((guint64) N_BLOCKS * VHD_BLOCK_BYTES)

static bool is_present(guint32 block)
{
    return present[0] >> block & 1;
}

static void fill(guint32 block, guint8 *data)
{
    for (guint i = 0; i < VHD_BLOCK_BYTES; i++)
        data[i] = (guint8) (i / 512 * 3 + i + block * 11);
}

static bool on_head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    assert_int_equal(n_present, 3);
    *(DiskInfo *) user = *info;
    return true;
}

static bool on_block(guint32 block, const void *data, void *user, GError **error)
{
    g_autofree guint8 *expected = g_malloc(VHD_BLOCK_BYTES);
    fill(block, expected);
    assert_true(is_present(block));
    assert_memory_equal(data, expected, VHD_BLOCK_BYTES);
    return true;
}

static void feed_blocks(VhdStream *stream, const ExportVhd *vhd)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *block = g_malloc(512 + VHD_BLOCK_BYTES);
    for (guint32 b = 0; b < N_BLOCKS; b++) {
        if (!is_present(b))
            continue;
        memset(block, 0xff, 512);
        fill(b, block + 512);
        assert_true(vhd_stream_feed(stream, block, 512 + VHD_BLOCK_BYTES, &error));
    }
    guint8 footer[512];
    export_vhd_footer(vhd, footer);
    assert_true(vhd_stream_feed(stream, footer, 512, &error));
    assert_true(vhd_stream_finish(stream, &error));
}

static void read_by_product(const ExportVhd *vhd, DiskInfo *info)
{
    g_autoptr(GError) error = NULL;
    const VhdStreamOps ops = { on_head, on_block, info };
    g_autoptr(VhdStream) stream = vhd_stream_new(&ops);
    g_autoptr(GByteArray) head = export_vhd_head(vhd);
    assert_true(vhd_stream_feed(stream, head->data, head->len, &error));
    feed_blocks(stream, vhd);
}

static void test_product_reads_export(void **state)
{
    DiskInfo info;
    read_by_product(&(ExportVhd){ SIZE_BYTES, uid, NULL, NULL, present }, &info);
    assert_int_equal(info.size_bytes, SIZE_BYTES);
    assert_memory_equal(info.uid.bytes, uid, 16);
    assert_false(info.differencing);
    read_by_product(&(ExportVhd){ SIZE_BYTES, uid, parent_uid, "base.vhd", present }, &info);
    assert_true(info.differencing);
    assert_memory_equal(info.parent_uid.bytes, parent_uid, 16);
    assert_string_equal(info.parent_name, "base.vhd");
}

static bool fake_has(Disk *disk, guint32 block)
{
    return is_present(block);
}

static bool fake_read_block(Disk *disk, guint32 block, void *buffer, GError **error)
{
    fill(block, buffer);
    return true;
}

static void fake_close(Disk *disk)
{
}

static bool take_size(guint64 size_bytes, void *user, GError **error)
{
    assert_int_equal(size_bytes, SIZE_BYTES);
    return true;
}

static bool take_data(guint64 offset, const void *data, gsize n, void *user, GError **error)
{
    assert_int_equal(n, VHD_BLOCK_BYTES);
    *(guint *) user += 1;
    return on_block((guint32) (offset / VHD_BLOCK_BYTES), data, NULL, error);
}

static void test_import_reads_product(void **state)
{
    static const struct disk_ops ops = { fake_has, fake_read_block, fake_close };
    Disk disk = { .ops = &ops, .info = { .size_bytes = SIZE_BYTES, .n_blocks = N_BLOCKS } };
    memcpy(disk.info.uid.bytes, uid, 16);
    g_autoptr(VhdEmit) emit = vhd_emit_new(&disk, &disk.info);
    const ImportVhdOps import_ops = { take_size, take_data };
    guint n_taken = 0;
    g_autoptr(ImportVhd) import = import_vhd_new(&import_ops, &n_taken);
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *buffer = g_malloc(100000);
    gssize n;
    while ((n = vhd_emit_read(emit, buffer, 100000, &error)) > 0)
        assert_true(import_vhd_feed(import, buffer, (gsize) n, &error));
    assert_int_equal(n, 0);
    assert_true(import_vhd_finish(import, &error));
    assert_int_equal(n_taken, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_product_reads_export),
                                        cmocka_unit_test(test_import_reads_product) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
