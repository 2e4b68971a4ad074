/* VHD structures against the vectors of the format reference; flat files and block directories
 * written and read back; damage and truncation found. */
#include "sample.h"

#include "disk/vhd_directory.h"

static const int some[] = { 3, 0, 17, 5, -1 };
enum { N_BLOCKS = 18 }; /* of a disk whose last block is short */
#define SIZE (35 * MIB + 512)

static void from_hex(const char *hex, guint8 *out)
{
    for (gsize i = 0; hex[2 * i]; i++)
        out[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]);
}

static void test_uid(void **state)
{
    DiskUid uid;
    const char *text = "d8dbcad8-5265-421e-8b29-8d99c2eec551";
    assert_true(disk_uid_parse(text, &uid));
    g_autofree char *back = disk_uid_format(&uid);
    assert_string_equal(back, text);
    assert_false(disk_uid_parse("d8dbcad8", &uid));
    assert_false(disk_uid_parse(NULL, &uid));
}

static void test_footer_vector(void **state)
{
    guint8 want[VHD_FOOTER_BYTES] = { 0 }, raw[VHD_FOOTER_BYTES];
    from_hex("636f6e6563746978000000020001000000000000000002006553f100786f2020000000005769326b"
             "000000028000000000000002800000005146103f00000003ffffed77d8dbcad85265421e8b298d99"
             "c2eec55100000000",
             want);
    DiskInfo info = { .size_bytes = 10240 * MIB, .timestamp_s = 1700000000 };
    disk_uid_parse("d8dbcad8-5265-421e-8b29-8d99c2eec551", &info.uid);
    VhdFooter footer, again;
    VhdHeader header;
    assert_ok(vhd_from_info(&info, &footer, &header, e_));
    vhd_footer_format(&footer, raw);
    assert_memory_equal(raw, want, sizeof raw);
    assert_ok(vhd_footer_parse(raw, &again, e_));
    assert_int_equal(again.current_size, info.size_bytes);
    for (gsize i = 0; i < sizeof raw; i++) {
        raw[i] ^= 1;
        assert_false(vhd_footer_parse(raw, &again, NULL));
        raw[i] ^= 1;
    }
}

static void test_header_vectors(void **state)
{
    guint8 want[VHD_HEADER_BYTES] = { 0 }, raw[VHD_HEADER_BYTES];
    VhdHeader header = { .table_offset = VHD_TABLE_OFFSET, .n_entries = 5120 }, again;
    from_hex("6378737061727365ffffffffffffffff0000000000000600000100000000140000200000fffff463",
             want);
    assert_ok(vhd_header_format(&header, raw, e_));
    assert_memory_equal(raw, want, sizeof raw);

    DiskUid uid;
    disk_uid_parse("d8dbcad8-5265-421e-8b29-8d99c2eec551", &uid);
    header.parent_uid = uid;
    strcpy(header.parent_name, "20260101T000000Z.vhd");
    from_hex(
        "6378737061727365ffffffffffffffff0000000000000600000100000000140000200000ffffe68dd8dbcad8"
        "5265421e8b298d99c2eec5510000000000000000003200300032003600300031003000310054003000300030"
        "003000300030005a002e007600680064",
        want);
    assert_ok(vhd_header_format(&header, raw, e_));
    assert_memory_equal(raw, want, sizeof raw);
    assert_ok(vhd_header_parse(raw, &again, e_));
    assert_string_equal(again.parent_name, header.parent_name);
    assert_int_equal(again.n_entries, 5120);
}

static void test_geometry(void **state)
{
    static const struct {
        guint64 size;
        unsigned c, h, s;
    } rows[] = {
        { 1048576, 31, 4, 17 },           { 2097152, 61, 4, 17 },
        { 104857600, 1004, 12, 17 },      { 1073741824, 2081, 16, 63 },
        { 10737418240, 20806, 16, 63 },   { 68719476736, 32897, 16, 255 },
        { 136899993600, 65535, 16, 255 }, { 1099511627776, 65535, 16, 255 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_int_equal(vhd_geometry(rows[i].size), rows[i].c << 16 | rows[i].h << 8 | rows[i].s);
}

static Bytes *make_flat(guint64 *stored)
{
    Bytes *file = bytes_new_memory(NULL, 0);
    DiskInfo info = sample_info(SIZE, 2);
    DiskWriter *writer = vhd_create(shared_bytes(file), &info, NULL);
    *stored = sample_write(writer, 2, some);
    return file;
}

static void check_some(Disk *disk)
{
    assert_int_equal(disk->info.n_blocks, N_BLOCKS);
    assert_int_equal(disk->info.size_bytes, SIZE);
    assert_int_equal(disk_n_present(disk), 4);
    assert_true(disk->info.differencing);
    assert_string_equal(disk->info.parent_name, "00000001.vhd");
    assert_int_equal(disk->info.timestamp_s, 1002);
    for (int block = 0; block < N_BLOCKS; block++)
        sample_check(disk, block, block == 0 || block == 3 || block == 5 || block == 17 ? 2 : 0);
    guint8 byte;
    g_autoptr(GError) error = NULL;
    assert_false(disk_read(disk, SIZE, &byte, 1, &error));
    assert_true(err_is(error, ERR_INVALID));
}

static void test_flat(void **state)
{
    guint64 stored;
    g_autoptr(Bytes) file = make_flat(&stored);
    assert_int_equal(stored, bytes_size(file, NULL));
    assert_int_equal(stored, 512 + 1024 + 512 + 4 * 2097664ull + 512);
    g_autoptr(Disk) disk = vhd_open(shared_bytes(file), NULL);
    check_some(disk);
}

static void test_flat_cut(void **state)
{
    guint64 stored;
    g_autoptr(Bytes) file = make_flat(&stored);
    for (guint64 size = stored - 1;; size = size > 3000 ? size * 9 / 10 : size - 1) {
        assert_ok(bytes_resize(file, size, e_));
        g_autoptr(GError) error = NULL;
        assert_null(vhd_open(shared_bytes(file), &error));
        assert_true(err_is(error, ERR_TRUNCATED) || err_is(error, ERR_CORRUPT));
        if (size == 0)
            break;
    }
}

/* A table that points outside, or twice to one place, or into the header. */
static void test_flat_table(void **state)
{
    guint64 stored;
    g_autoptr(Bytes) file = make_flat(&stored);
    static const guint32 bad[] = { 0, 3, 5, 4100, 16000, 0xfffffffe };
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        guint8 raw[4];
        vhd_put32(raw, bad[i]);
        assert_ok(bytes_write(file, VHD_TABLE_OFFSET + 4, raw, 4, e_));
        g_autoptr(GError) error = NULL;
        assert_null(vhd_open(shared_bytes(file), &error));
        assert_true(err_is(error, ERR_TRUNCATED) || err_is(error, ERR_CORRUPT));
    }
}

static void test_end_footer(void **state)
{
    guint64 stored;
    g_autoptr(Bytes) file = make_flat(&stored);
    assert_ok(bytes_write(file, stored - 100, "x", 1, e_));
    assert_null(vhd_open(shared_bytes(file), NULL));
    g_autoptr(Disk) disk = vhd_open_merging(shared_bytes(file), NULL);
    assert_non_null(disk);
}

/* Nothing is a VHD before finish. */
static void test_flat_unfinished(void **state)
{
    g_autoptr(Bytes) file = bytes_new_memory(NULL, 0);
    DiskInfo info = sample_info(SIZE, 1);
    g_autofree guint32 *data = g_malloc(DISK_BLOCK_BYTES);
    g_autoptr(DiskWriter) writer = vhd_create(shared_bytes(file), &info, NULL);
    assert_ok(disk_put_block(writer, 3, data, e_));
    assert_false(disk_put_block(writer, 3, data, NULL));
    assert_false(disk_put_block(writer, N_BLOCKS, data, NULL));
    assert_null(vhd_open(shared_bytes(file), NULL));
    assert_null(vhd_open_merging(shared_bytes(file), NULL));
}

static void test_bitmap(void **state)
{
    guint64 stored;
    g_autoptr(Bytes) file = make_flat(&stored);
    assert_ok(bytes_write(file, 2048, "\x7f", 1, e_)); /* block 3 comes first */
    g_autoptr(Disk) disk = vhd_open(shared_bytes(file), NULL);
    g_autofree guint8 *data = g_malloc(DISK_BLOCK_BYTES);
    g_autoptr(GError) error = NULL;
    assert_false(disk_read_block(disk, 3, data, &error));
    assert_true(err_is(error, ERR_UNSUPPORTED));
    g_clear_error(&error);
    disk->info.differencing = false;
    assert_false(disk_read_block(disk, 3, data, &error)); /* there is data in that sector */
    assert_true(err_is(error, ERR_CORRUPT));
    static const guint8 zeros[VHD_SECTOR_BYTES];
    assert_ok(bytes_write(file, 2048 + VHD_BITMAP_BYTES, zeros, sizeof zeros, e_));
    assert_ok(disk_read_block(disk, 3, data, e_));
    for (int i = 0; i < VHD_SECTOR_BYTES; i++)
        assert_int_equal(data[i], 0);
    assert_int_not_equal(data[VHD_SECTOR_BYTES + 1], 0);
}

static Chunks *make_directory(const char *codec)
{
    Chunks *chunks = chunks_new_memory();
    DiskInfo info = sample_info(SIZE, 2);
    DiskWriter *writer = vhd_directory_create(shared_chunks(chunks), &info, codec, NULL);
    assert_int_equal(sample_write(writer, 2, some), 512 + 1024 + 512 + 4 * 2097664ull + 512);
    return chunks;
}

static void test_directory(void **state)
{
    static const char *const codecs[] = { "none", "gzip", "brotli" };
    for (int i = 0; i < 3; i++) {
        g_autoptr(Chunks) chunks = make_directory(codecs[i]);
        g_autoptr(Disk) disk = vhd_directory_open(shared_chunks(chunks), NULL);
        check_some(disk);
        assert_string_equal(vhd_directory_codec(disk), codecs[i]);
        const Codec *codec = codec_find(codecs[i]);
        guint8 bat[N_BLOCKS];
        assert_ok(vhd_chunk_get(chunks, codec, "bat", bat, N_BLOCKS, e_));
        assert_int_equal(bat[0], 0x80 | 0x10 | 0x04);
        assert_int_equal(bat[2], 0x40);
        assert_int_equal(bat[3], 0);
        g_autoptr(GBytes) filters = chunks_get(chunks, "chunk-filters.json", NULL);
        assert_int_equal(filters != NULL, i != 0);
    }
    DiskInfo info = sample_info(SIZE, 1);
    assert_null(vhd_directory_create(chunks_new_memory(), &info, "lz4", NULL));
}

static void test_directory_damage(void **state)
{
    static const char *const names[] = { "bat", "header", "footer", "chunk-filters.json" };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Chunks) chunks = make_directory("gzip");
        g_autoptr(GError) error = NULL;
        assert_ok(chunks_put(chunks, names[i], "junk", 4, e_));
        assert_null(vhd_directory_open(shared_chunks(chunks), &error));
        assert_non_null(error);
        assert_ok(chunks_drop(chunks, names[i], e_));
        assert_null(vhd_directory_open(shared_chunks(chunks), NULL));
    }
    g_autoptr(Chunks) chunks = make_directory("brotli");
    g_autoptr(GBytes) whole = chunks_get(chunks, "blocks/0/17", NULL);
    assert_ok(chunks_put(chunks, "blocks/0/17", g_bytes_get_data(whole, NULL),
                         g_bytes_get_size(whole) - 1, e_));
    g_autoptr(Disk) disk = vhd_directory_open(shared_chunks(chunks), NULL);
    g_autofree guint8 *data = g_malloc(DISK_BLOCK_BYTES);
    g_autoptr(GError) error = NULL;
    assert_false(disk_read_block(disk, 17, data, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    assert_non_null(strstr(error->message, "blocks/0/17"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uid),
        cmocka_unit_test(test_footer_vector),
        cmocka_unit_test(test_header_vectors),
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_flat_cut),
        cmocka_unit_test(test_flat_table),
        cmocka_unit_test(test_end_footer),
        cmocka_unit_test(test_flat_unfinished),
        cmocka_unit_test(test_bitmap),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
