/* The importer's reader: what the exporter writes, in pieces of any size, and what it must refuse.
 */
#include "base/error.h"
#include "sim/export_vhd.h"
#include "sim/import_vhd.h"
#include "sim/vhd_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N_BLOCKS = 5 };
static const guint8 uid[16] = { 4 };
static const guint8 present[] = { 0x12 }; /* blocks 1 and 4 */

typedef struct {
    guint8 *disk;
    guint64 size_bytes;
} Sink;

static bool take_size(guint64 size_bytes, void *user, GError **error)
{
    ((Sink *) user)->size_bytes = size_bytes;
    return true;
}

static bool take_data(guint64 offset, const void *data, gsize n, void *user, GError **error)
{
    memcpy(((Sink *) user)->disk + offset, data, n);
    return true;
}

static GByteArray *stream(guint64 size_bytes)
{
    ExportVhd vhd = { size_bytes, uid, NULL, NULL, present };
    GByteArray *bytes = export_vhd_head(&vhd);
    g_autofree guint8 *block = g_malloc(VHD_BLOCK_BYTES + 512);
    for (guint32 b = 0; b < N_BLOCKS; b++) {
        if (!export_vhd_has(&vhd, b))
            continue;
        memset(block, 0xff, 512);
        memset(block + 512, (int) b, VHD_BLOCK_BYTES);
        g_byte_array_append(bytes, block, VHD_BLOCK_BYTES + 512);
    }
    guint8 footer[512];
    export_vhd_footer(&vhd, footer);
    g_byte_array_append(bytes, footer, 512);
    return bytes;
}

/* Feeds the first n bytes in steps; whether it was accepted to the end. */
static bool feed(const GByteArray *bytes, gsize n, gsize step, Sink *sink, GError **error)
{
    const ImportVhdOps ops = { take_size, take_data };
    g_autoptr(ImportVhd) vhd = import_vhd_new(&ops, sink);
    for (gsize at = 0; at < n; at += step)
        if (!import_vhd_feed(vhd, bytes->data + at, MIN(step, n - at), error))
            return false;
    return import_vhd_finish(vhd, error);
}

static void test_reads_back(void **state)
{
    guint64 size_bytes = (guint64) N_BLOCKS * VHD_BLOCK_BYTES - 4096;
    g_autoptr(GByteArray) bytes = stream(size_bytes);
    g_byte_array_append(bytes, (const guint8 *) "trailing", 8);
    const gsize steps[] = { 1000, 512, 65536, 5u << 20 };
    for (guint i = 0; i < G_N_ELEMENTS(steps); i++) {
        Sink sink = { g_malloc0((gsize) size_bytes), 0 };
        assert_true(feed(bytes, bytes->len, steps[i], &sink, NULL));
        assert_int_equal(sink.size_bytes, size_bytes);
        for (guint b = 0; b < N_BLOCKS; b++)
            assert_int_equal(sink.disk[(gsize) b * VHD_BLOCK_BYTES + 77],
                             export_vhd_has(&(ExportVhd){ .present = present }, b) ? b : 0);
        assert_int_equal(sink.disk[size_bytes - 1], 4);
        g_free(sink.disk);
    }
}

static void test_bitmap_selects(void **state)
{
    g_autoptr(GByteArray) bytes = stream((guint64) N_BLOCKS * VHD_BLOCK_BYTES);
    bytes->data[2560] = 0x7f; /* block 1, sector 0 not marked */
    Sink sink = { g_malloc0((gsize) N_BLOCKS * VHD_BLOCK_BYTES), 0 };
    assert_true(feed(bytes, bytes->len, 1 << 20, &sink, NULL));
    assert_int_equal(sink.disk[VHD_BLOCK_BYTES + 511], 0);
    assert_int_equal(sink.disk[VHD_BLOCK_BYTES + 512], 1);
    g_free(sink.disk);
}

static void refuse(GByteArray *bytes, gsize n, ErrCode code)
{
    g_autoptr(GError) error = NULL;
    Sink sink = { g_malloc0((gsize) N_BLOCKS * VHD_BLOCK_BYTES), 0 };
    assert_false(feed(bytes, n, 60000, &sink, &error));
    assert_true(err_is(error, code));
    g_free(sink.disk);
}

static void test_refuses(void **state)
{
    const struct {
        gsize at;
        ErrCode code;
    } damages[] = {
        { 0, ERR_CORRUPT },          /* cookie */
        { 52, ERR_CORRUPT },         /* size */
        { 512, ERR_CORRUPT },        /* header's cookie */
        { 512 + 30, ERR_CORRUPT },   /* number of blocks */
        { 2048 + 4, ERR_TRUNCATED }, /* block 1 far beyond the end */
        { 2048 + 7, ERR_CORRUPT },   /* block 1 within the BAT */
    };
    for (guint i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(GByteArray) bytes = stream((guint64) N_BLOCKS * VHD_BLOCK_BYTES);
        bytes->data[damages[i].at] ^= 0x05;
        refuse(bytes, bytes->len, damages[i].code);
    }
    g_autoptr(GByteArray) bytes = stream((guint64) N_BLOCKS * VHD_BLOCK_BYTES);
    const gsize cuts[] = { 0, 1, 700, 2047, 2559, 2561, 3 << 20, bytes->len - 513, bytes->len - 1 };
    for (guint i = 0; i < G_N_ELEMENTS(cuts); i++)
        refuse(bytes, cuts[i], ERR_TRUNCATED);
    bytes->data[bytes->len - 500] ^= 1;
    refuse(bytes, bytes->len, ERR_CORRUPT);
    bytes->data[12] ^= 1; /* now both footers are the same, but the checksum is not */
    refuse(bytes, bytes->len, ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_reads_back),
                                        cmocka_unit_test(test_bitmap_selects),
                                        cmocka_unit_test(test_refuses) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
