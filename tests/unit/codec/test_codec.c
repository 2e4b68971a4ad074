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

/* Any part; more than there is, is damage. */
static void check_parts(const Codec *codec, const guint8 *packed, gsize n_packed, gsize n_head,
                        const guint8 *data, gsize n)
{
    g_autofree guint8 *head = g_malloc(n_head + 1), *out = g_malloc(n + 1);
    g_autoptr(GError) error = NULL;
    gsize step = MAX(n / 7, 1), from;
    for (gsize wanted = 0; wanted < n; wanted += step) {
        gsize to = MIN(wanted + 4096, n);
        from = wanted;
        memset(head, 0, n_head);
        assert_true(
            codec_expand_part(codec, packed, n_packed, head, n_head, out, &from, to, &error));
        assert_true(from <= wanted);
        assert_memory_equal(head, data, n_head);
        assert_memory_equal(out + from, data + n_head + from, to - from);
    }
    from = 0;
    assert_false(
        codec_expand_part(codec, packed, n_packed, head, n_head, out, &from, n + 1, &error));
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
    check_parts(codec, packed, n_packed, 0, data, n);
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

/* By zlib, which checks the header too. */
static void check_foreign(const guint8 *packed, gsize n_packed, const guint8 *data, gsize n)
{
    g_autofree guint8 *out = g_malloc(n);
    z_stream z = {
        .next_in = (guint8 *) packed, .avail_in = n_packed, .next_out = out, .avail_out = n
    };
    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    inflateEnd(&z);
    assert_memory_equal(out, data, n);
}

enum { CELL_BYTES = 64 << 10 };

/* Cells of zeros, noise, text, and a page of noise over and over. */
static guint8 *mixture(gsize n)
{
    guint8 *data = g_malloc0(n);
    g_autofree guint8 *noise = sample(n, true), *text = sample(n, false);
    for (gsize at = 0, cell = 0; at < n; at += CELL_BYTES, cell++) {
        gsize part = MIN(CELL_BYTES, n - at);
        if (cell % 5 == 1 || cell % 5 == 2)
            memcpy(data + at, noise + at, part);
        else if (cell % 5 == 3)
            memcpy(data + at, text + at, part);
        for (gsize i = 0; cell % 5 == 4 && i < part; i += 4096)
            memcpy(data + at + i, noise, MIN(4096, part - i));
    }
    return data;
}

/* A head from elsewhere; by every codec, whole and in parts, and gzip by another reader. */
static void test_mixture(void **state)
{
    enum { HEAD = 512, N = 2 << 20 };
    g_autofree guint8 *data = mixture(HEAD + N + 1);
    memset(data, 0xff, HEAD);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        for (gsize n = N - 1; n <= N + 1; n++) {
            const Codec *codec = codec_find(names[i]);
            gsize max = codec_bound(codec, HEAD + n);
            g_autofree guint8 *packed = g_malloc(max), *out = g_malloc(HEAD + n),
                              *head = g_memdup2(data, HEAD);
            gsize n_packed =
                codec_compress_both(codec, head, HEAD, data + HEAD, n, packed, max, NULL);
            assert_true(n_packed > 0);
            assert_true(codec_expand(codec, packed, n_packed, out, HEAD + n, NULL));
            assert_memory_equal(out, data, HEAD + n);
            check_parts(codec, packed, n_packed, HEAD, data, n);
            if (strcmp(names[i], "none") == 0)
                continue;
            assert_true(n_packed < (HEAD + n) / 2); /* the repeated page is no noise */
            if (strcmp(names[i], "gzip") == 0)
                check_foreign(packed, n_packed, data, HEAD + n);
        }
}

/* Reading begins where it can: far behind the start, unless the header that says so is damaged. */
static void test_gzip_marks(void **state)
{
    enum { N = 2 << 20, AT = 1900000 };
    g_autofree guint8 *data = mixture(N);
    const Codec *gzip = codec_find("gzip");
    gsize max = codec_bound(gzip, N), from = AT;
    g_autofree guint8 *packed = g_malloc(max), *out = g_malloc(N);
    gsize n = codec_compress(gzip, data, N, packed, max, NULL);
    assert_true(codec_expand_part(gzip, packed, n, NULL, 0, out, &from, AT + 1, NULL));
    assert_int_equal(from, 1835008);
    for (gsize at = 10; at < 54; at++) {
        guint8 was = packed[at];
        from = AT;
        packed[at] ^= 0x10;
        bool ok = codec_expand_part(gzip, packed, n, NULL, 0, out, &from, AT + 1, NULL);
        assert_true(!ok || memcmp(out + from, data + from, AT + 1 - from) == 0);
        assert_false(codec_expand(gzip, packed, n, out, N, NULL));
        packed[at] = was;
    }
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
    check_foreign(packed, n, data, N);
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
    packed[n - 1] = 0xff; /* a length that no such text can have */
    g_autoptr(GError) error = NULL;
    assert_null(codec_expand_all(gzip, packed, n, G_MAXUINT32, &error));
    assert_true(err_is(error, ERR_CORRUPT));
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
        cmocka_unit_test(test_gzip_members), cmocka_unit_test(test_mixture),
        cmocka_unit_test(test_gzip_marks),   cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_hash_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
