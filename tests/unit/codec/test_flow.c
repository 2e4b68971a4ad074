/* Streams: what goes in comes out whatever the pieces; what is cut or damaged is refused. */
#include "codec/flow.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static const char *const codecs[] = { "none", "gzip", "zstd" };

static bool collect(const void *data, gsize n, void *user, GError **error)
{
    assert_true(n <= FLOW_PIECE_BYTES);
    g_byte_array_append(user, data, (guint) n);
    return true;
}

static GByteArray *sample(gsize n)
{
    GByteArray *data = g_byte_array_new();
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    for (gsize i = 0; i < n; i++) {
        guint8 byte = (i / 4096) % 3 ? (guint8) (i % 61) : (guint8) g_rand_int(random);
        g_byte_array_append(data, &byte, 1);
    }
    return data;
}

static GByteArray *compress(const char *codec, GByteArray *data, gsize piece)
{
    GByteArray *out = g_byte_array_new();
    g_autoptr(Flow) flow = flow_compressor(codec, collect, out);
    for (gsize at = 0; at < data->len; at += piece)
        assert_true(flow_feed(flow, data->data + at, MIN(piece, data->len - at), NULL));
    assert_true(flow_finish(flow, NULL));
    return out;
}

static bool expand(GByteArray *data, gsize n, gsize piece, GByteArray *out, const char **codec,
                   GError **error)
{
    g_autoptr(Flow) flow = flow_expander(collect, out);
    for (gsize at = 0; at < n; at += piece)
        if (!flow_feed(flow, data->data + at, MIN(piece, n - at), error))
            return false;
    bool ok = flow_finish(flow, error);
    if (codec)
        *codec = flow_codec(flow);
    return ok;
}

static void test_round_trips(void **state)
{
    static const gsize pieces[] = { 1, 3, 1000, 70000, 1 << 20 };
    g_autoptr(GByteArray) data = sample(700001);
    for (gsize c = 0; c < G_N_ELEMENTS(codecs); c++)
        for (gsize p = 0; p < G_N_ELEMENTS(pieces); p++) {
            g_autoptr(GByteArray) packed = compress(codecs[c], data, 65536);
            g_autoptr(GByteArray) out = g_byte_array_new();
            const char *codec = NULL;
            assert_true(expand(packed, packed->len, pieces[p], out, &codec, NULL));
            assert_string_equal(codec, codecs[c]);
            assert_int_equal(out->len, data->len);
            assert_memory_equal(out->data, data->data, data->len);
        }
}

/* gzip members and zstd frames one after the other, cut at every place between two feeds. */
static void test_joined(void **state)
{
    g_autoptr(GByteArray) first = sample(5000), second = sample(300);
    for (gsize c = 1; c < G_N_ELEMENTS(codecs); c++) {
        g_autoptr(GByteArray) packed = compress(codecs[c], first, 1000);
        g_autoptr(GByteArray) more = compress(codecs[c], second, 100);
        g_byte_array_append(packed, more->data, more->len);
        for (gsize piece = 1; piece <= packed->len; piece += 1 + piece / 64) {
            g_autoptr(GByteArray) out = g_byte_array_new();
            assert_true(expand(packed, packed->len, piece, out, NULL, NULL));
            assert_int_equal(out->len, 5300);
            assert_memory_equal(out->data + 5000, second->data, 300);
        }
    }
}

static void test_cut(void **state)
{
    g_autoptr(GByteArray) data = sample(3000);
    for (gsize c = 1; c < G_N_ELEMENTS(codecs); c++) {
        g_autoptr(GByteArray) packed = compress(codecs[c], data, 1000);
        for (gsize n = 4; n < packed->len; n++) {
            g_autoptr(GByteArray) out = g_byte_array_new();
            g_autoptr(GError) error = NULL;
            assert_false(expand(packed, n, 512, out, NULL, &error));
            assert_true(err_is(error, ERR_TRUNCATED));
        }
    }
}

/* No flipped bit in the data or in the sum goes unseen. */
static void test_damaged(void **state)
{
    g_autoptr(GByteArray) data = sample(6000);
    for (gsize c = 1; c < G_N_ELEMENTS(codecs); c++) {
        g_autoptr(GByteArray) packed = compress(codecs[c], data, 1000);
        for (gsize at = 16; at < packed->len; at += 7) {
            g_autoptr(GByteArray) out = g_byte_array_new();
            packed->data[at] ^= 0x10;
            bool ok = expand(packed, packed->len, 4096, out, NULL, NULL);
            assert_true(!ok ||
                        (out->len == data->len && memcmp(out->data, data->data, data->len) == 0));
            assert_false(ok && at > packed->len - 4);
            packed->data[at] ^= 0x10;
        }
    }
}

static bool refuse(const void *data, gsize n, void *user, GError **error)
{
    err_set(error, ERR_NO_SPACE, "full");
    return false;
}

static void test_refused(void **state)
{
    g_autoptr(GByteArray) data = sample(9000);
    for (gsize c = 0; c < G_N_ELEMENTS(codecs); c++) {
        g_autoptr(GByteArray) packed = compress(codecs[c], data, 1000);
        g_autoptr(GError) error = NULL;
        g_autoptr(Flow) flow = flow_expander(refuse, NULL);
        assert_false(flow_feed(flow, packed->data, packed->len, &error));
        assert_true(err_is(error, ERR_NO_SPACE));
    }
    assert_null(flow_compressor("rar", refuse, NULL));
}

static void test_short(void **state)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    g_autoptr(Flow) flow = flow_expander(collect, out);
    assert_true(flow_feed(flow, "ab", 2, NULL));
    assert_null(flow_codec(flow));
    assert_true(flow_finish(flow, NULL));
    assert_string_equal(flow_codec(flow), "none");
    assert_int_equal(out->len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips), cmocka_unit_test(test_joined),
        cmocka_unit_test(test_cut),         cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
