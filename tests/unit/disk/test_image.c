/* Images of made-up disks, taken apart again: the VHD by our reader, the qcow2 by one written here
 * from its specification. */
#include "sample.h"

#include "disk/image.h"
#include "disk/image_in.h"
#include "disk/vhd_format.h"

enum { CLUSTER = 65536 };

typedef struct {
    Disk base;
    const int *list; /* its blocks, ended by -1 */
} Made;

static bool made_has(Disk *disk, guint32 block)
{
    for (const int *at = ((Made *) disk)->list; *at >= 0; at++)
        if ((guint32) *at == block)
            return true;
    return false;
}

static bool made_read(Disk *disk, guint32 block, void *buffer, GError **error)
{
    sample_fill(buffer, block, 1);
    vhd_trim_block(&disk->info, block, buffer);
    return true;
}

static void made_close(Disk *disk)
{
}

static const struct disk_ops made_ops = { made_has, made_read, made_close };

static Made make(guint64 size_bytes, const int *list)
{
    Made made = { .base = { .ops = &made_ops, .info = sample_info(size_bytes, 1) }, .list = list };
    made.base.info.n_blocks = vhd_n_blocks(size_bytes);
    return made;
}

static const struct {
    guint64 size_bytes;
    int list[8];
} disks[] = {
    { 0, { -1 } },
    { 512, { 0, -1 } },
    { 19 * MIB + 512, { 0, 4, 9, -1 } }, /* the last block is short, and is no whole clusters */
    { 6 * MIB, { -1 } },
    { 3000 * MIB, { 1, 255, 256, 1499, -1 } },     /* several L2 tables, and none between */
    { 20ull << 40, { 7, 5000000, 10485759, -1 } }, /* several clusters of L1 table */
};

/* All of a sparse image, as pieces at their offsets. */
typedef struct {
    GByteArray *data;
    GArray *starts; /* of the pieces with data: image offset, then offset in data, n */
} Pieces;

static void image_take(Image *image, Pieces *pieces)
{
    guint64 at = 0;
    ImagePiece piece;
    for (;;) {
        assert_ok(image_next(image, &piece, e_));
        if (piece.n_bytes == 0)
            break;
        if (piece.data) {
            guint64 row[3] = { at, pieces->data->len, piece.n_bytes };
            g_array_append_vals(pieces->starts, row, 3);
            g_byte_array_append(pieces->data, piece.data, (guint) piece.n_bytes);
        }
        at += piece.n_bytes;
    }
    assert_int_equal(at, image_bytes(image));
}

static Pieces pieces_of(const char *format, Disk *disk)
{
    Pieces pieces = { g_byte_array_new(), g_array_new(FALSE, FALSE, sizeof(guint64)) };
    g_autoptr(Image) image = NULL;
    assert_ok((image = image_new(format, disk, e_)));
    image_take(image, &pieces);
    return pieces;
}

static void pieces_clear(Pieces *pieces)
{
    g_byte_array_unref(pieces->data);
    g_array_unref(pieces->starts);
}

static const guint8 *bytes_at(const Pieces *pieces, guint64 offset, gsize n)
{
    for (guint i = 0; i < pieces->starts->len; i += 3) {
        const guint64 *row = &g_array_index(pieces->starts, guint64, i);
        if (offset >= row[0] && offset + n <= row[0] + row[2])
            return pieces->data->data + row[1] + (offset - row[0]);
    }
    return NULL;
}

static void assert_block(Disk *disk, guint32 block, const guint8 *have, gsize n)
{
    g_autofree guint8 *want = g_malloc(DISK_BLOCK_BYTES);
    made_read(disk, block, want, NULL);
    assert_non_null(have);
    assert_memory_equal(have, want, n);
}

static void test_raw(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(disks); i++) {
        Made made = make(disks[i].size_bytes, disks[i].list);
        Pieces pieces = pieces_of("raw", &made.base);
        guint n_data = 0;
        for (const int *block = disks[i].list; *block >= 0; block++, n_data++) {
            guint64 at = *block * (guint64) DISK_BLOCK_BYTES;
            gsize n = MIN(DISK_BLOCK_BYTES, made.base.info.size_bytes - at);
            assert_block(&made.base, *block, bytes_at(&pieces, at, n), n);
        }
        assert_int_equal(pieces.starts->len, 3 * n_data);
        pieces_clear(&pieces);
    }
}

static void test_vhd(void **state)
{
    for (gsize i = 0; i + 1 < G_N_ELEMENTS(disks); i++) {
        Made made = make(disks[i].size_bytes, disks[i].list);
        Pieces pieces = pieces_of("vhd", &made.base);
        g_autoptr(Disk) disk = NULL;
        assert_ok((disk = vhd_open(bytes_new_memory(pieces.data->data, pieces.data->len), e_)));
        assert_int_equal(disk->info.size_bytes, disks[i].size_bytes);
        assert_int_equal(disk_n_present(disk), disk_n_present(&made.base));
        g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
        for (const int *block = disks[i].list; *block >= 0; block++) {
            assert_ok(disk_read_block(disk, *block, buffer, e_));
            assert_block(&made.base, *block, buffer, DISK_BLOCK_BYTES);
        }
        pieces_clear(&pieces);
    }
}

/* --- qcow2 --- */

typedef struct {
    const Pieces *pieces;
    const guint8 *header;
    guint64 n_used; /* clusters that something refers to */
} Reader;

/* The cluster that a table's entry names; NULL when it names none. Its refcount must be one. */
static const guint8 *follow(Reader *reader, const guint8 *entry, guint64 flags)
{
    guint64 value = vhd_get64(entry), offset = value & ~(1ull << 63);
    if (value == 0)
        return NULL;
    assert_int_equal(value >> 63 << 63, flags);
    assert_int_equal(offset % CLUSTER, 0);
    guint64 cluster = offset / CLUSTER, per_block = CLUSTER / 2;
    guint64 table = vhd_get64(reader->header + 48);
    const guint8 *at = bytes_at(reader->pieces, table + 8 * (cluster / per_block), 8);
    const guint8 *counts = bytes_at(reader->pieces, vhd_get64(at), CLUSTER);
    assert_non_null(counts);
    assert_int_equal(vhd_get16(counts + 2 * (cluster % per_block)), 1);
    reader->n_used++;
    return bytes_at(reader->pieces, offset, CLUSTER);
}

static void check_guest(Reader *reader, Disk *disk)
{
    guint64 n_clusters = (disk->info.size_bytes + CLUSTER - 1) / CLUSTER;
    guint32 n_l1 = vhd_get32(reader->header + 36);
    assert_int_equal(n_l1, (n_clusters + 8191) / 8192);
    g_autofree guint8 *want = g_malloc(DISK_BLOCK_BYTES);
    for (guint32 i = 0; i < n_l1; i++) {
        const guint8 *entry = bytes_at(reader->pieces, vhd_get64(reader->header + 40) + 8 * i, 8);
        const guint8 *l2 = follow(reader, entry, 1ull << 63);
        for (guint32 k = 0; !l2 && k < 256; k++)
            assert_false(disk_has(disk, i * 256 + k));
        for (guint64 k = 0; l2 && k < 8192; k++) {
            guint64 cluster = i * 8192ull + k;
            guint32 block = (guint32) (cluster / 32);
            const guint8 *data = follow(reader, l2 + 8 * k, 1ull << 63);
            assert_int_equal(data != NULL, cluster < n_clusters && disk_has(disk, block));
            if (data && cluster % 32 == 0)
                made_read(disk, block, want, NULL);
            if (data)
                assert_memory_equal(data, want + cluster % 32 * CLUSTER, CLUSTER);
        }
    }
}

static void test_qcow2(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(disks); i++) {
        Made made = make(disks[i].size_bytes, disks[i].list);
        Pieces pieces = pieces_of("qcow2", &made.base);
        Reader reader = { .pieces = &pieces, .header = bytes_at(&pieces, 0, 112) };
        assert_memory_equal(reader.header, "QFI\xfb\0\0\0\3", 8);
        assert_int_equal(vhd_get32(reader.header + 20), 16);
        assert_int_equal(vhd_get64(reader.header + 24), disks[i].size_bytes);
        check_guest(&reader, &made.base);
        guint64 n_l1_clusters = MAX(1, (vhd_get32(reader.header + 36) + 8191) / 8192);
        guint64 n_table = vhd_get32(reader.header + 56), n_counts = 0;
        for (guint64 k = 0; k < n_table * 8192; k++)
            n_counts += vhd_get64(bytes_at(&pieces, vhd_get64(reader.header + 48) + 8 * k, 8)) != 0;
        g_autoptr(Image) image = image_new("qcow2", &made.base, NULL);
        assert_int_equal((1 + n_l1_clusters + n_table + n_counts + reader.n_used) * CLUSTER,
                         image_bytes(image));
        pieces_clear(&pieces);
    }
}

/* --- And back --- */

typedef struct {
    Image *image;
    ImagePiece piece;
    guint64 cut_at, at;
} Flow;

static gssize flow_read(void *data, gsize n, void *user, GError **error)
{
    Flow *flow = user;
    if (!flow->piece.n_bytes && !image_next(flow->image, &flow->piece, error))
        return -1;
    n = (gsize) MIN(MIN(n, flow->piece.n_bytes), flow->cut_at - flow->at);
    if (!n)
        return 0;
    if (flow->piece.data)
        memcpy(data, flow->piece.data, n);
    else
        memset(data, 0, n);
    flow->piece.n_bytes -= n;
    flow->piece.data = flow->piece.data ? flow->piece.data + n : NULL;
    flow->at += n;
    return (gssize) n;
}

static const struct {
    guint64 size_bytes;
    int list[8];
} small[] = {
    { 512, { 0, -1 } },
    { 19 * MIB + 512, { 0, 4, 9, -1 } },
    { 6 * MIB, { -1 } },
    { 66 * MIB, { 1, 16, 31, 32, -1 } },
};

/* Reads all of it; the number of bytes before an error or the end. */
static guint64 compare(ImageIn *in, Disk *disk, GError **error)
{
    g_autofree guint8 *have = g_malloc(DISK_BLOCK_BYTES), *want = g_malloc0(DISK_BLOCK_BYTES);
    guint64 at = 0;
    for (gssize n; (n = image_in_read(in, have, 100000, error)) > 0; at += (guint64) n)
        for (gsize k = 0; k < (gsize) n;) {
            gsize inside = (at + k) % DISK_BLOCK_BYTES;
            gsize part = MIN((gsize) n - k, DISK_BLOCK_BYTES - inside);
            guint32 block = (guint32) ((at + k) / DISK_BLOCK_BYTES);
            memset(want, 0, DISK_BLOCK_BYTES);
            if (disk_has(disk, block))
                made_read(disk, block, want, NULL);
            assert_memory_equal(have + k, want + inside, part);
            k += part;
        }
    return at;
}

static void test_back(void **state)
{
    static const char *const formats[] = { "raw", "qcow2", "vmdk" };
    for (gsize f = 0; f < G_N_ELEMENTS(formats); f++)
        for (gsize i = 0; i < G_N_ELEMENTS(small); i++) {
            Made made = make(small[i].size_bytes, small[i].list);
            g_autoptr(Image) image = image_new(formats[f], &made.base, NULL);
            Flow flow = { .image = image, .cut_at = G_MAXUINT64 };
            g_autoptr(ImageIn) in = NULL;
            assert_ok((in = image_in_new(formats[f], (gint64) image_bytes(image), flow_read, &flow,
                                         g_get_tmp_dir(), e_)));
            assert_int_equal(image_in_bytes(in), small[i].size_bytes);
            g_autoptr(GError) error = NULL;
            assert_int_equal(compare(in, &made.base, &error), small[i].size_bytes);
            assert_null(error);
        }
}

/* Cut anywhere, an image is never taken for a whole one. */
static void test_cut(void **state)
{
    static const char *const formats[] = { "raw", "qcow2", "vmdk" };
    for (gsize f = 0; f < G_N_ELEMENTS(formats); f++)
        for (guint eighth = 0; eighth < 8; eighth++) {
            Made made = make(small[1].size_bytes, small[1].list);
            g_autoptr(Image) image = image_new(formats[f], &made.base, NULL);
            guint64 whole = image_bytes(image);
            Flow flow = { .image = image, .cut_at = whole * eighth / 8 };
            g_autoptr(GError) error = NULL;
            g_autoptr(ImageIn) in =
                image_in_new(formats[f], (gint64) whole, flow_read, &flow, g_get_tmp_dir(), &error);
            if (in)
                compare(in, &made.base, &error);
            assert_true(err_is(error, ERR_TRUNCATED));
        }
}

static void test_refused(void **state)
{
    Made made = make(20ull << 40, disks[5].list);
    g_autoptr(GError) error = NULL;
    assert_null(image_new("vdi", &made.base, &error));
    assert_true(err_is(error, ERR_UNSUPPORTED));
    assert_non_null(strstr(error->message, "raw, vhd, qcow2, vmdk"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),  cmocka_unit_test(test_vhd), cmocka_unit_test(test_qcow2),
        cmocka_unit_test(test_back), cmocka_unit_test(test_cut), cmocka_unit_test(test_refused)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
