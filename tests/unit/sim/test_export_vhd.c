/* The VHD frame of an export: field by field, and read back by qemu-img where it is installed. */
#include "sim/export_vhd.h"
#include "sim/seed.h"
#include "sim/vhd_tree.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const guint8 uid[16] = { 1, 2, 3 }, parent_uid[16] = { 9, 8, 7 };

static guint32 be32(const guint8 *at)
{
    return (guint32) at[0] << 24 | (guint32) at[1] << 16 | (guint32) at[2] << 8 | at[3];
}

static void test_layout(void **state)
{
    const guint8 present[] = { 0x05, 0x02 }; /* blocks 0, 2, 9 */
    ExportVhd vhd = { 10ull * VHD_BLOCK_BYTES, uid, NULL, NULL, present };
    g_autoptr(GByteArray) head = export_vhd_head(&vhd);
    assert_int_equal(head->len, 2048 + 512);
    assert_memory_equal(head->data + 512, "cxsparse", 8);
    assert_int_equal(be32(head->data + 60), 3);
    assert_int_equal(be32(head->data + 512 + 28), 10);
    assert_int_equal(be32(head->data + 2048), 5);
    assert_int_equal(be32(head->data + 2048 + 4), 0xffffffff);
    assert_int_equal(be32(head->data + 2048 + 8), 5 + 4097);
    assert_int_equal(be32(head->data + 2048 + 36), 5 + 2 * 4097);
    assert_int_equal(export_vhd_bytes(&vhd), 2560 + 3 * (512 + VHD_BLOCK_BYTES) + 512);
    guint8 footer[512];
    export_vhd_footer(&vhd, footer);
    assert_memory_equal(head->data, footer, 512);
    guint32 sum = 0;
    for (guint i = 0; i < 512; i++)
        sum += i >= 64 && i < 68 ? 0 : footer[i];
    assert_int_equal(be32(footer + 64), ~sum);
}

static void test_differencing(void **state)
{
    const guint8 present[] = { 0x00 };
    ExportVhd vhd = { 2ull * VHD_BLOCK_BYTES - 512, uid, parent_uid, "ab.vhd", present };
    g_autoptr(GByteArray) head = export_vhd_head(&vhd);
    assert_int_equal(be32(head->data + 60), 4);
    assert_memory_equal(head->data + 512 + 40, parent_uid, 16);
    assert_memory_equal(head->data + 512 + 64, "\0a\0b\0.\0v\0h\0d\0\0", 14);
    assert_memory_equal(head->data + 512 + 576, "MacX", 4);
    assert_int_equal(be32(head->data + 512 + 28), 2);
}

static void write_stream(const ExportVhd *vhd, FILE *vhd_file, FILE *raw_file)
{
    static guint8 block[VHD_BLOCK_BYTES];
    guint8 sector[512];
    g_autoptr(GByteArray) head = export_vhd_head(vhd);
    fwrite(head->data, 1, head->len, vhd_file);
    for (guint32 b = 0; b < export_vhd_n_blocks(vhd); b++) {
        memset(block, 0, sizeof block);
        for (guint c = 0; export_vhd_has(vhd, b) && c < VHD_BLOCK_CELLS; c++)
            seed_cell(1, 2, b * VHD_BLOCK_CELLS + c, block + c * SEED_CELL_BYTES);
        fwrite(block, 1, sizeof block, raw_file);
        memset(sector, 0xff, sizeof sector);
        if (export_vhd_has(vhd, b)) {
            fwrite(sector, 1, sizeof sector, vhd_file);
            fwrite(block, 1, sizeof block, vhd_file);
        }
    }
    export_vhd_footer(vhd, sector);
    fwrite(sector, 1, sizeof sector, vhd_file);
}

static void test_qemu_reads_it(void **state)
{
    g_autofree char *qemu = g_find_program_in_path("qemu-img");
    if (!qemu) {
        print_message("qemu-img is not installed\n");
        skip();
    }
    g_autofree char *folder = g_dir_make_tmp("export-vhd-XXXXXX", NULL);
    g_autofree char *vhd_path = g_build_filename(folder, "a.vhd", NULL);
    g_autofree char *raw_path = g_build_filename(folder, "a.raw", NULL);
    const guint8 present[] = { 0xa5 };
    ExportVhd vhd = { 8ull * VHD_BLOCK_BYTES, uid, NULL, NULL, present };
    FILE *vhd_file = fopen(vhd_path, "wb"), *raw_file = fopen(raw_path, "wb");
    write_stream(&vhd, vhd_file, raw_file);
    assert_int_equal(ftell(vhd_file), export_vhd_bytes(&vhd));
    fclose(vhd_file);
    fclose(raw_file);
    g_autofree char *image = g_strdup_printf(
        "driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=%s", vhd_path);
    g_autofree char *raw =
        g_strdup_printf("driver=raw,file.driver=file,file.filename=%s", raw_path);
    char *argv[] = { qemu, "compare", "--image-opts", image, raw, NULL };
    int status = -1;
    g_autofree char *out = NULL, *err = NULL;
    assert_true(g_spawn_sync(NULL, argv, NULL, 0, NULL, NULL, &out, &err, &status, NULL));
    if (status)
        print_message("%s%s\n", out, err);
    g_remove(vhd_path);
    g_remove(raw_path);
    g_rmdir(folder);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_layout),
                                        cmocka_unit_test(test_differencing),
                                        cmocka_unit_test(test_qemu_reads_it) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
