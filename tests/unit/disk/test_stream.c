/* A disk as a VHD stream and back, in pieces of any size; a stream cut anywhere is an error. */
#include "sample.h"

#include "disk/vhd_format.h"

#define SIZE (19 * MIB + 512)
static const int some[] = { 4, 0, 9, -1 };

typedef struct {
    DiskWriter *writer;
    guint32 n_expected, n_blocks;
} Copy;

static bool copy_head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    Copy *copy = user;
    copy->n_expected = n_present;
    copy->writer = vhd_directory_create(chunks_new_memory(), info, "none", error);
    return copy->writer;
}

static bool copy_block(guint32 block, const void *data, void *user, GError **error)
{
    Copy *copy = user;
    copy->n_blocks++;
    return disk_put_block(copy->writer, block, data, error);
}

static Disk *sample(guint32 seed)
{
    Bytes *file = bytes_new_memory(NULL, 0);
    DiskInfo info = sample_info(SIZE, seed);
    sample_write(vhd_create(shared_bytes(file), &info, NULL), seed, some);
    return vhd_open(file, NULL);
}

static GBytes *emit_all(Disk *disk, gsize piece)
{
    g_autoptr(VhdEmit) emit = vhd_emit_new(disk, NULL);
    GByteArray *all = g_byte_array_new();
    g_autofree guint8 *part = g_malloc(piece);
    for (;;) {
        gssize n = vhd_emit_read(emit, part, piece, NULL);
        assert_true(n >= 0);
        if (n == 0)
            break;
        g_byte_array_append(all, part, n);
    }
    assert_int_equal(all->len, vhd_emit_bytes(emit));
    return g_byte_array_free_to_bytes(all);
}

static bool feed_all(const guint8 *data, gsize n, gsize piece, Copy *copy, GError **error)
{
    VhdStreamOps ops = { copy_head, copy_block, copy };
    g_autoptr(VhdStream) stream = vhd_stream_new(&ops);
    for (gsize at = 0; at < n; at += piece)
        if (!vhd_stream_feed(stream, data + at, MIN(piece, n - at), error))
            return false;
    return vhd_stream_finish(stream, error);
}

static void test_round_trip(void **state)
{
    static const gsize pieces[] = { 511, 65536, 3 << 20, 1 << 30 };
    for (guint32 seed = 1; seed <= 2; seed++) {
        g_autoptr(Disk) disk = sample(seed);
        g_autoptr(GBytes) all = emit_all(disk, 100000);
        g_autoptr(GBytes) same = emit_all(disk, 513);
        assert_true(g_bytes_equal(all, same));
        g_autoptr(Disk) file =
            vhd_open(bytes_new_memory(g_bytes_get_data(all, NULL), g_bytes_get_size(all)), NULL);
        sample_check(file, 4, seed);
        for (gsize i = 0; i < G_N_ELEMENTS(pieces); i++) {
            Copy copy = { 0 };
            g_autoptr(GError) error = NULL;
            assert_true(feed_all(g_bytes_get_data(all, NULL), g_bytes_get_size(all), pieces[i],
                                 &copy, &error));
            assert_int_equal(copy.n_expected, 3);
            assert_int_equal(copy.n_blocks, 3);
            assert_memory_equal(&copy.writer->info, &disk->info, sizeof disk->info);
            disk_writer_close(copy.writer);
        }
    }
}

static void test_content(void **state)
{
    g_autoptr(Disk) disk = sample(1);
    g_autoptr(GBytes) all = emit_all(disk, 1 << 20);
    Chunks *chunks = chunks_new_memory();
    g_autoptr(Bytes) file = bytes_new_memory(g_bytes_get_data(all, NULL), g_bytes_get_size(all));
    g_autoptr(Disk) again = vhd_open(shared_bytes(file), NULL);
    for (guint32 block = 0; block < 10; block++)
        sample_check(again, block, block == 0 || block == 4 || block == 9);
    chunks_close(chunks);
}

static void test_cut(void **state)
{
    g_autoptr(Disk) disk = sample(1);
    g_autoptr(GBytes) all = emit_all(disk, 1 << 20);
    gsize n = g_bytes_get_size(all);
    for (gsize cut = 0; cut < n; cut += cut < 3000 ? 97 : n / 53) {
        Copy copy = { 0 };
        g_autoptr(GError) error = NULL;
        assert_false(feed_all(g_bytes_get_data(all, NULL), cut, 70000, &copy, &error));
        assert_true(err_is(error, ERR_TRUNCATED));
        disk_writer_close(copy.writer);
    }
    Copy copy = { 0 };
    assert_false(feed_all(g_bytes_get_data(all, NULL), n - 1, 70000, &copy, NULL));
    disk_writer_close(copy.writer);
}

/* Each byte of the head damaged: an error, or (in the unused space) the same disk. */
static void test_damage(void **state)
{
    g_autoptr(Disk) disk = sample(1);
    g_autoptr(GBytes) all = emit_all(disk, 1 << 20);
    gsize n;
    guint8 *data = g_memdup2(g_bytes_get_data(all, &n), g_bytes_get_size(all));
    for (gsize at = 0; at < VHD_TABLE_OFFSET + 40; at++) {
        Copy copy = { 0 };
        g_autoptr(GError) error = NULL;
        data[at] ^= 0x11;
        assert_false(feed_all(data, n, 1 << 20, &copy, &error));
        assert_non_null(error);
        data[at] ^= 0x11;
        disk_writer_close(copy.writer);
    }
    g_free(data);
}

/* What follows a failure, and a tail without end, are refused. */
static void test_after_failure(void **state)
{
    g_autoptr(Disk) disk = sample(1);
    g_autoptr(GBytes) all = emit_all(disk, 1 << 20);
    Copy copy = { 0 };
    VhdStreamOps ops = { copy_head, copy_block, &copy };
    g_autoptr(VhdStream) stream = vhd_stream_new(&ops);
    assert_ok(vhd_stream_feed(stream, g_bytes_get_data(all, NULL), g_bytes_get_size(all), e_));
    assert_ok(vhd_stream_finish(stream, e_));
    g_autofree guint8 *junk = g_malloc0(2 * MIB);
    assert_false(vhd_stream_feed(stream, junk, 2 * MIB, NULL));
    assert_false(vhd_stream_feed(stream, junk, 1, NULL));
    assert_false(vhd_stream_finish(stream, NULL));
    disk_writer_close(copy.writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_content),
        cmocka_unit_test(test_cut),           cmocka_unit_test(test_damage),
        cmocka_unit_test(test_after_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
