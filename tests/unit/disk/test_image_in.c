/* qcow2 images in order and in none at all, made here by their specification, and the file that
 * what comes too early waits in. */
#include "sample.h"

#include "disk/image_in.h"
#include "disk/image_spool.h"
#include "disk/vhd_format.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum {
    BITS = 12,
    CLUSTER = 1 << BITS,
    ENTRIES = CLUSTER / 8,
    N_CLUSTERS = 3 * ENTRIES, /* the first table has every other one, the second none */
    SIZE = (N_CLUSTERS - 1) * CLUSTER + 512,
    HEADER_BYTES = 112,
};

typedef enum { PLAIN, ZLIB, ZSTD } How;

/* --- An image, from its end to its beginning --- */

typedef struct {
    GByteArray *file;
    guint8 l1[3 * 8], l2[3][CLUSTER];
} Maker;

static bool is_there(guint cluster)
{
    return (cluster < ENTRIES && cluster % 2) || cluster >= 2 * ENTRIES;
}

/* Zeros for half of it, so that a compressed one is short. */
static void fill(guint cluster, guint8 *out)
{
    memset(out, 0, CLUSTER);
    for (guint i = 0; i < CLUSTER / 2; i++)
        out[i] = (guint8) ((cluster * 7 + i * (cluster % 5 + 1)) % 251 + 1);
}

static void put64(guint8 *at, guint64 value)
{
    value = GUINT64_TO_BE(value);
    memcpy(at, &value, 8);
}

static void put32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_BE(value);
    memcpy(at, &value, 4);
}

static gsize pack(How how, const guint8 *data, guint8 *out, gsize max)
{
    if (how == ZSTD)
        return ZSTD_compress(out, max, data, CLUSTER, 3);
    z_stream zlib = {
        .next_in = (guint8 *) data, .avail_in = CLUSTER, .next_out = out, .avail_out = (uInt) max
    };
    assert_int_equal(deflateInit2(&zlib, 6, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&zlib, Z_FINISH), Z_STREAM_END);
    deflateEnd(&zlib);
    return zlib.total_out;
}

static void align(Maker *maker)
{
    while (maker->file->len % CLUSTER)
        g_byte_array_append(maker->file, (const guint8 *) "", 1);
}

static void add_cluster(Maker *maker, guint cluster, How how)
{
    guint8 data[CLUSTER], packed[2 * CLUSTER];
    guint8 *entry = maker->l2[cluster / ENTRIES] + 8 * (cluster % ENTRIES);
    fill(cluster, data);
    if (how == PLAIN || cluster % 3 == 0) {
        align(maker);
        put64(entry, maker->file->len | (guint64) 1 << 63);
        g_byte_array_append(maker->file, data, CLUSTER);
        return;
    }
    guint64 at = maker->file->len, n = pack(how, data, packed, sizeof packed);
    guint64 n_more = (at + n - 1) / 512 - at / 512;
    put64(entry, (guint64) 1 << 62 | n_more << (62 - (BITS - 8)) | at);
    g_byte_array_append(maker->file, packed, (guint) n);
}

static void write_head(Maker *maker, How how, guint64 l1_at)
{
    guint8 *head = maker->file->data;
    memcpy(head, "QFI\xfb", 4);
    put32(head + 4, 3);
    put32(head + 20, BITS);
    put64(head + 24, SIZE);
    put32(head + 36, 3);
    put64(head + 40, l1_at);
    put64(head + 72, how == ZSTD ? 8 : 0);
    put32(head + 100, HEADER_BYTES);
    head[104] = how == ZSTD;
}

/* At the end of the file. */
static guint64 add_table(Maker *maker, const guint8 *table, guint n)
{
    align(maker);
    guint64 at = maker->file->len;
    g_byte_array_append(maker->file, table, n);
    return at;
}

/* Everything behind what names it, or before it. */
static GByteArray *make_image(How how, bool forward)
{
    g_autofree Maker *maker = g_new0(Maker, 1);
    guint64 l1_at = CLUSTER;
    maker->file = g_byte_array_new();
    g_byte_array_set_size(maker->file, forward ? 5 * CLUSTER : CLUSTER);
    memset(maker->file->data, 0, maker->file->len);
    for (guint i = 0; i < N_CLUSTERS; i++) {
        guint cluster = forward ? i : N_CLUSTERS - 1 - i;
        if (is_there(cluster))
            add_cluster(maker, cluster, how);
    }
    for (guint table = 0; table < 3; table++) {
        if (forward)
            memcpy(maker->file->data + (2 + table) * CLUSTER, maker->l2[table], CLUSTER);
        guint64 at = forward ? (2 + table) * CLUSTER : add_table(maker, maker->l2[table], CLUSTER);
        put64(maker->l1 + 8 * table, table == 1 ? 0 : at);
    }
    if (forward)
        memcpy(maker->file->data + l1_at, maker->l1, sizeof maker->l1);
    else
        l1_at = add_table(maker, maker->l1, sizeof maker->l1);
    write_head(maker, how, l1_at);
    return maker->file;
}

/* --- Reading it --- */

typedef struct {
    const guint8 *at;
    gsize left;
} Arriving;

static gssize take(void *data, gsize n, void *user, GError **error)
{
    Arriving *bytes = user;
    n = MIN(MIN(n, bytes->left), 10000);
    memcpy(data, bytes->at, n);
    bytes->at += n;
    bytes->left -= n;
    return (gssize) n;
}

/* How many bytes were right before the end or an error. */
static guint64 read_image(const GByteArray *image, gsize n, const char *folder, GError **error)
{
    Arriving bytes = { image->data, n };
    g_autoptr(ImageIn) in = image_in_new("qcow2", (gint64) n, take, &bytes, folder, error);
    guint8 have[CLUSTER], want[CLUSTER] = { 0 };
    guint64 at = 0;
    for (gssize got; in && (got = image_in_read(in, have, CLUSTER - at % CLUSTER, error)) > 0;) {
        if (is_there((guint) (at / CLUSTER)))
            fill((guint) (at / CLUSTER), want);
        else
            memset(want, 0, CLUSTER);
        assert_memory_equal(have, want + at % CLUSTER, (gsize) got);
        at += (guint64) got;
    }
    return at;
}

static void test_any_order(void **state)
{
    for (guint i = 0; i < 6; i++) {
        g_autoptr(GByteArray) image = make_image(i / 2, i % 2);
        g_autoptr(GError) error = NULL;
        assert_int_equal(read_image(image, image->len, g_get_tmp_dir(), &error), SIZE);
        assert_null(error);
    }
}

/* Cut, it is never taken for a whole one; nor with a byte of compressed data that is another. */
static void test_damaged(void **state)
{
    for (How how = PLAIN; how <= ZSTD; how++) {
        g_autoptr(GByteArray) image = make_image(how, false);
        for (guint part = 0; part < 5; part++) {
            g_autoptr(GError) error = NULL;
            read_image(image, image->len * part / 5, g_get_tmp_dir(), &error);
            assert_true(err_is(error, ERR_TRUNCATED));
        }
        g_autoptr(GError) strange = NULL;
        image->data[104] = 2;
        image->data[79] = how == PLAIN ? 4 : 8; /* an external file; a third codec */
        read_image(image, image->len, g_get_tmp_dir(), &strange);
        assert_true(err_is(strange, ERR_UNSUPPORTED));
    }
    g_autoptr(GByteArray) image = make_image(ZLIB, false);
    g_autoptr(GError) error = NULL;
    memset(image->data + CLUSTER, 0xff, 16); /* of the last one, which comes first */
    read_image(image, image->len, g_get_tmp_dir(), &error);
    assert_true(err_is(error, ERR_CORRUPT));
}

static void test_nowhere(void **state)
{
    g_autoptr(GByteArray) image = make_image(PLAIN, false);
    g_autoptr(GError) error = NULL, absent = NULL;
    read_image(image, image->len, NULL, &error);
    assert_true(err_is(error, ERR_UNSUPPORTED));
    assert_non_null(strstr(error->message, "qemu-img convert"));
    read_image(image, image->len, "/nonexistent", &absent);
    assert_true(err_is(absent, ERR_NOT_FOUND));
}

/* --- The file --- */

static bool read_at(ImageSpool *spool, const guint8 *all, guint64 at, gsize n, bool for_good,
                    GError **error)
{
    g_autofree guint8 *data = g_malloc(n);
    gsize got = n;
    if (!image_spool_read(spool, at, data, &got, for_good, error))
        return false;
    assert_int_equal(got, n);
    assert_memory_equal(data, all + at, n);
    return true;
}

static void test_spool(void **state)
{
    enum { N = 1 << 20, MAX = 700000 };
    g_autofree guint8 *all = g_malloc(N);
    for (guint i = 0; i < N; i++)
        all[i] = (guint8) (i * 2654435761u >> 24);
    Arriving bytes = { all, N };
    g_autoptr(ImageSpool) spool = image_spool_new(take, &bytes, g_get_tmp_dir(), MAX);
    g_autoptr(GError) gone = NULL, limit = NULL, error = NULL;
    assert_ok(read_at(spool, all, 0, 100000, true, e_) && read_at(spool, all, 100000, 1, true, e_));
    assert_int_equal(image_spool_bytes(spool), 0);
    assert_ok(read_at(spool, all, 300000, 50000, true, e_));
    assert_int_equal(image_spool_bytes(spool), 300000 - 100001);
    assert_ok(read_at(spool, all, 100001, 199999, true, e_));
    assert_ok(read_at(spool, all, 200000, 3, false, e_));
    assert_ok(read_at(spool, all, 350000, 100, false, e_));
    assert_ok(read_at(spool, all, 350050, 100, false, e_)); /* begins in what is kept */
    assert_false(read_at(spool, all, 99999, 1, false, &gone));
    assert_true(err_is(gone, ERR_CORRUPT));
    g_clear_error(&gone);
    assert_false(read_at(spool, all, 299999, 2, false, &gone));
    assert_true(err_is(gone, ERR_CORRUPT));
    assert_false(read_at(spool, all, N - 10, 1, false, &limit));
    assert_true(err_is(limit, ERR_LIMIT));
    bytes = (Arriving){ all, 1000 };
    g_autoptr(ImageSpool) ended = image_spool_new(take, &bytes, g_get_tmp_dir(), MAX);
    guint8 data[100];
    gsize n = sizeof data;
    assert_ok(image_spool_read(ended, 950, data, &n, true, e_));
    assert_int_equal(n, 50);
    n = sizeof data;
    assert_ok(image_spool_read(ended, (guint64) 1 << 50, data, &n, true, e_));
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_any_order),
                                        cmocka_unit_test(test_damaged),
                                        cmocka_unit_test(test_nowhere),
                                        cmocka_unit_test(test_spool) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
