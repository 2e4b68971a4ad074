/* Codecs: exact lengths both ways, damage, limits; digests against published vectors. */
#include "codec/codec.h"
#include "codec/hash.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

static const char *const names[] = { "none", "gzip", "brotli" };

static guint8 *sample(gsize n, bool noise)
{
    guint8 *data = g_malloc(n + 1);
    guint32 state = 1;
    for (gsize i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        data[i] = noise ? state >> 24 : (i / 100) & 0x3f;
    }
    return data;
}

/* Any part from the beginning on; more than there is, is damage. */
static void check_start(const Codec *codec, const guint8 *packed, gsize n_packed,
                        const guint8 *data, gsize n)
{
    g_autofree guint8 *head = g_malloc(n + 1), *out = g_malloc(n + 1);
    g_autoptr(GError) error = NULL;
    for (gsize n_head = 0; n_head <= MIN(n, 512); n_head += 512)
        for (gsize n_out = 0; n_head + n_out <= n; n_out += MAX(n / 3, 1)) {
            assert_true(
                codec_expand_start(codec, packed, n_packed, head, n_head, out, n_out, &error));
            assert_memory_equal(head, data, n_head);
            assert_memory_equal(out, data + n_head, n_out);
        }
    assert_false(codec_expand_start(codec, packed, n_packed, head, 0, out, n + 1, &error));
    assert_true(err_is(error, ERR_CORRUPT));
}

static void round_trip(const Codec *codec, gsize n, bool noise)
{
    g_autofree guint8 *data = sample(n, noise);
    gsize max = codec_bound(codec, n);
    g_autofree guint8 *packed = g_malloc(max + 1);
    g_autofree guint8 *out = g_malloc(n + 2);
    g_autoptr(GError) error = NULL;
    gsize n_packed = codec_compress(codec, data, n, packed, max, &error);
    assert_null(error);
    assert_true(n_packed > 0 && n_packed <= max);
    assert_true(codec_expand(codec, packed, n_packed, out, n, &error));
    assert_memory_equal(out, data, n);
    check_start(codec, packed, n_packed, data, n);
    assert_false(codec_expand(codec, packed, n_packed, out, n + 1, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    g_clear_error(&error);
    assert_false(codec_expand(codec, packed, n_packed, out, n - 1, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    g_clear_error(&error);
    packed[n_packed] = 'x';
    assert_false(codec_expand(codec, packed, n_packed + 1, out, n, &error));
    assert_false(codec_expand(codec, packed, n_packed / 2, out, n, NULL));
    g_autoptr(GBytes) all = codec_expand_all(codec, packed, n_packed, n, NULL);
    assert_int_equal(g_bytes_get_size(all), n);
    g_clear_error(&error);
    assert_null(codec_expand_all(codec, packed, n_packed, n - 1, &error));
    assert_true(err_is(error, ERR_LIMIT));
}

static void test_round_trips(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        const Codec *codec = codec_find(names[i]);
        assert_string_equal(codec_name(codec), names[i]);
        for (int noise = 0; noise < 2; noise++) {
            round_trip(codec, 1, noise);
            round_trip(codec, 100000, noise);
            round_trip(codec, (2 << 20) + 512, noise);
        }
    }
    assert_null(codec_find("lz4"));
    assert_null(codec_find(NULL));
}

/* Our gzip is read by another reader. */
static void test_gzip_foreign(void **state)
{
    enum { N = 300000 };
    g_autofree guint8 *data = sample(N, false);
    const Codec *gzip = codec_find("gzip");
    g_autofree guint8 *packed = g_malloc(codec_bound(gzip, N));
    gsize n = codec_compress(gzip, data, N, packed, codec_bound(gzip, N), NULL);
    g_autofree guint8 *out = g_malloc(N);
    z_stream z = { .next_in = packed, .avail_in = n, .next_out = out, .avail_out = N };
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    assert_memory_equal(out, data, N);
}

static void test_gzip_members(void **state)
{
    const Codec *gzip = codec_find("gzip");
    gsize room = codec_bound(gzip, 4);
    g_autofree guint8 *packed = g_malloc(2 * room);
    gsize n = codec_compress(gzip, "one ", 4, packed, room, NULL);
    n += codec_compress(gzip, "two", 3, packed + n, room, NULL);
    g_autoptr(GBytes) all = codec_expand_all(gzip, packed, n, 100, NULL);
    assert_int_equal(g_bytes_get_size(all), 7);
    assert_memory_equal(g_bytes_get_data(all, NULL), "one two", 7);
}

static void test_hashes(void **state)
{
    g_autofree char *sha = hash_hex(HASH_SHA256, "abc", 3);
    assert_string_equal(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    g_autofree char *md5 = hash_hex(HASH_MD5, "hello", 5);
    assert_string_equal(md5, "5d41402abc4b2a76b9719d911017c592");
    g_autofree char *xxh = hash_hex(HASH_XXH3, "", 0);
    assert_string_equal(xxh, "99aa06d3014798d86001c324468d497f");
    assert_int_equal(hash_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(hash_crc32c(hash_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

static void test_hash_slices(void **state)
{
    enum { N = 200001 };
    g_autofree guint8 *data = sample(N, true);
    for (int kind = HASH_XXH3; kind <= HASH_MD5; kind++) {
        g_autofree char *whole = hash_hex(kind, data, N);
        g_autoptr(Hash) hash = hash_new(kind);
        hash_add(hash, data, 70000);
        hash_add(hash, data + 70000, N - 70000);
        g_autofree char *parts = hash_end_hex(hash);
        assert_string_equal(whole, parts);
        hash_add(hash, data, N);
        g_autofree char *again = hash_end_hex(hash);
        assert_string_equal(whole, again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),  cmocka_unit_test(test_gzip_foreign),
        cmocka_unit_test(test_gzip_members), cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hash_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
