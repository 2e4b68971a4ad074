/* Archives made here entry by entry, and those of a real XO; what is cut, damaged or out of order
 * must be told. */
#include "disk/xva.h"

#include "base/error.h"
#include "codec/flow.h"
#include "codec/hash.h"
#include "disk/ova.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define SIZE_A (3 * XVA_CHUNK_BYTES + 700)
#define SIZE_B 1000

static const char ova[] =
    "<?xml version=\"1.0\"?><value><struct><member><name>version</name><value><struct><member>"
    "<name>export_vsn</name><value>2</value></member></struct></value></member><member><name>"
    "objects</name><value><array><data>"
#define OBJECT(cls, id, record)                                                                    \
    "<value><struct><member><name>class</name><value>" cls "</value></member><member><name>id"     \
    "</name><value>" id "</value></member><member><name>snapshot</name><value><struct>" record     \
    "</struct></value></member></struct></value>"
#define TEXT(name, value) "<member><name>" name "</name><value>" value "</value></member>"
    OBJECT("VM", "Ref:0", TEXT("uuid", "vm") TEXT("name_label", "a &lt;b&gt; c")) OBJECT(
        "VBD", "Ref:1", TEXT("VDI", "Ref:2") TEXT("type", "Disk") TEXT("userdevice", "0"))
        OBJECT("VDI", "Ref:2",
               TEXT("uuid", "a") TEXT("SR", "Ref:9") TEXT("virtual_size", "3146428"))
            OBJECT("VBD", "Ref:3", TEXT("VDI", "Ref:4") TEXT("type", "Disk") TEXT("mode", "RO"))
                OBJECT("VDI", "Ref:4", TEXT("uuid", "b") TEXT("virtual_size", "<int>1000</int>"))
                    OBJECT("VBD", "Ref:5", TEXT("VDI", "Ref:6") TEXT("type", "CD")) OBJECT(
                        "VDI", "Ref:6", TEXT("uuid", "cd") TEXT("virtual_size", "5000"))
                        OBJECT("VDI", "Ref:7",
                               TEXT("uuid", "iso") TEXT("SR", "Ref:8") TEXT("virtual_size", "5000"))
                            OBJECT("SR", "Ref:8", TEXT("content_type", "iso")) OBJECT(
                                "SR", "Ref:9",
                                TEXT("content_type",
                                     "user")) "</data></array></value></member></struct></value>";

G_STATIC_ASSERT(SIZE_A == 3146428);

/* --- Making one --- */

static void add_header(GByteArray *tar, const char *name, gsize n, char type)
{
    guint8 sector[512] = { 0 };
    unsigned sum = 0;
    g_snprintf((char *) sector, 100, "%s", name);
    g_snprintf((char *) sector + 100, 8, "%07o", 0400);
    g_snprintf((char *) sector + 124, 12, "%011o", (unsigned) n);
    sector[156] = (guint8) type;
    memset(sector + 148, ' ', 8);
    for (gsize i = 0; i < sizeof sector; i++)
        sum += sector[i];
    g_snprintf((char *) sector + 148, 8, "%06o", sum);
    g_byte_array_append(tar, sector, sizeof sector);
}

static void add_entry(GByteArray *tar, const char *name, const void *data, gsize n)
{
    static const guint8 zeros[512];
    add_header(tar, name, n, '0');
    g_byte_array_append(tar, data, (guint) n);
    g_byte_array_append(tar, zeros, (guint) ((512 - n % 512) % 512));
}

static void add_sum(GByteArray *tar, const char *name, const void *data, gsize n, bool old)
{
    g_autofree char *sum = hash_hex(old ? HASH_SHA1 : HASH_XXH64, data, n);
    g_autofree char *upper = g_ascii_strup(sum, -1);
    g_autofree char *path = g_strconcat(name, old ? ".checksum" : ".xxhash", NULL);
    add_entry(tar, path, old ? sum : upper, strlen(sum));
}

static void add_chunk(GByteArray *tar, const char *id, unsigned number, const void *data, gsize n,
                      bool old)
{
    g_autofree char *name = g_strdup_printf("%s/%08u", id, number);
    add_entry(tar, name, data, n);
    add_sum(tar, name, data, n, old);
}

static void add_end(GByteArray *tar)
{
    static const guint8 zeros[1024];
    g_byte_array_append(tar, zeros, sizeof zeros);
}

static guint8 *content(gsize n, guint8 key)
{
    guint8 *data = g_malloc(n);
    for (gsize i = 0; i < n; i++)
        data[i] = (guint8) (i * 7 + i / 300 + key);
    return data;
}

static GByteArray *make(bool old)
{
    GByteArray *tar = g_byte_array_new();
    g_autofree guint8 *chunk = content(XVA_CHUNK_BYTES, 1);
    add_entry(tar, "ova.xml", ova, sizeof ova - 1);
    add_chunk(tar, "Ref:2", 0, chunk, XVA_CHUNK_BYTES, old);
    add_chunk(tar, "Ref:2", 2, chunk, XVA_CHUNK_BYTES, old);
    add_chunk(tar, "Ref:2", 3, chunk, 700, old);
    add_chunk(tar, "Ref:4", 0, chunk, SIZE_B, old);
    add_end(tar);
    return tar;
}

/* --- Reading one --- */

typedef struct {
    guint8 *disks[2];
    unsigned n_heads;
    guint64 at[2];
} Seen;

static bool see_head(const XvaInfo *info, void *user, GError **error)
{
    ((Seen *) user)->n_heads++;
    return true;
}

static bool see_data(guint disk, guint64 offset, const void *data, gsize n, void *user,
                     GError **error)
{
    Seen *seen = user;
    static const gsize sizes[] = { SIZE_A, SIZE_B };
    assert_true(disk < 2 && offset >= seen->at[disk] && offset + n <= sizes[disk]);
    memcpy(seen->disks[disk] + offset, data, n);
    seen->at[disk] = offset + n;
    return true;
}

static void seen_clear(Seen *seen)
{
    g_free(seen->disks[0]);
    g_free(seen->disks[1]);
    memset(seen, 0, sizeof *seen);
}

static bool read_all(const void *data, gsize n, gsize piece, Seen *seen, GError **error)
{
    seen_clear(seen);
    seen->disks[0] = g_malloc0(SIZE_A);
    seen->disks[1] = g_malloc0(SIZE_B);
    XvaStreamOps ops = { see_head, see_data, seen };
    g_autoptr(XvaStream) stream = xva_stream_new(&ops);
    for (gsize at = 0; at < n; at += piece)
        if (!xva_stream_feed(stream, (const guint8 *) data + at, MIN(piece, n - at), error))
            return false;
    return xva_stream_finish(stream, error);
}

static void assert_content(const Seen *seen)
{
    g_autofree guint8 *chunk = content(XVA_CHUNK_BYTES, 1), *zeros = g_malloc0(XVA_CHUNK_BYTES);
    assert_int_equal(seen->n_heads, 1);
    assert_memory_equal(seen->disks[0], chunk, XVA_CHUNK_BYTES);
    assert_memory_equal(seen->disks[0] + XVA_CHUNK_BYTES, zeros, XVA_CHUNK_BYTES);
    assert_memory_equal(seen->disks[0] + 2 * XVA_CHUNK_BYTES, chunk, XVA_CHUNK_BYTES);
    assert_memory_equal(seen->disks[0] + 3 * XVA_CHUNK_BYTES, chunk, 700);
    assert_memory_equal(seen->disks[1], chunk, SIZE_B);
}

static bool keep(const void *data, gsize n, void *user, GError **error)
{
    g_byte_array_append(user, data, (guint) n);
    return true;
}

static GByteArray *pack(GByteArray *tar, const char *codec)
{
    GByteArray *out = g_byte_array_new();
    g_autoptr(Flow) flow = flow_compressor(codec, keep, out);
    assert_true(flow_feed(flow, tar->data, tar->len, NULL) && flow_finish(flow, NULL));
    return out;
}

static void test_whole(void **state)
{
    static const char *const codecs[] = { "none", "gzip", "zstd" };
    static const gsize pieces[] = { 511, 65536, 1 << 24 };
    Seen seen = { 0 };
    for (unsigned old = 0; old < 2; old++) {
        g_autoptr(GByteArray) tar = make(old);
        for (gsize i = 0; i < 9; i++) {
            g_autoptr(GByteArray) packed = pack(tar, codecs[i / 3]);
            g_autoptr(GError) error = NULL;
            read_all(packed->data, packed->len, pieces[i % 3], &seen, &error);
            assert_null(error);
            assert_content(&seen);
        }
    }
    seen_clear(&seen);
}

static void test_info(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(XvaInfo) info = xva_info_new(ova_parse(ova, sizeof ova - 1, &error), &error);
    assert_null(error);
    assert_int_equal(info->disks->len, 2);
    assert_string_equal(info->vm_id, "Ref:0");
    assert_string_equal(ova_text(info->vm, "name_label"), "a <b> c");
    const XvaDisk *a = xva_info_disk(info, 0), *b = xva_info_disk(info, 1);
    assert_string_equal(a->uuid, "a");
    assert_string_equal(a->userdevice, "0");
    assert_int_equal(a->size_bytes, SIZE_A);
    assert_true(a->attached && !a->read_only && b->read_only);
    assert_int_equal(b->size_bytes, SIZE_B);
}

/* Every cut is seen, wherever it is. */
static void test_cut(void **state)
{
    Seen seen = { 0 };
    g_autoptr(GByteArray) tar = make(false);
    for (gsize n = 0; n < tar->len; n += n < 12000 || n > tar->len - 3000 ? 100 : 65536) {
        g_autoptr(GError) error = NULL;
        assert_false(read_all(tar->data, n, 1 << 20, &seen, &error));
        assert_true(err_is(error, ERR_TRUNCATED));
    }
    seen_clear(&seen);
}

static void assert_refused(GByteArray *tar, ErrCode code)
{
    Seen seen = { 0 };
    g_autoptr(GError) error = NULL;
    assert_false(read_all(tar->data, tar->len, 4096, &seen, &error));
    assert_true(err_is(error, code));
    seen_clear(&seen);
    g_byte_array_unref(tar);
}

/* A flipped bit is told, or changes nothing (in what a reader does not look at). */
static void test_damaged(void **state)
{
    Seen seen = { 0 };
    g_autoptr(GByteArray) tar = make(false);
    g_autoptr(GRand) random = g_rand_new_with_seed(3);
    for (unsigned i = 0; i < 60; i++) {
        gsize at = (gsize) g_rand_int_range(random, 4096, (gint32) tar->len);
        tar->data[at] ^= (guint8) (1 << (i % 8));
        if (read_all(tar->data, tar->len, 1 << 20, &seen, NULL))
            assert_content(&seen);
        tar->data[at] ^= (guint8) (1 << (i % 8));
    }
    seen_clear(&seen);
    GByteArray *bad = make(true);
    bad->data[bad->len / 2] ^= 1;
    assert_refused(bad, ERR_CORRUPT);
}

typedef enum {
    NO_OVA,
    NO_SUM,
    OTHER_SUM,
    UNKNOWN_DISK,
    BACKWARDS,
    NO_FIRST,
    TOO_LONG,
    DISK_MISSING,
    DISK_SHORT,
    DISK_TWICE,
    TRAILING,
    LINK,
    HUGE_ENTRY,
    NO_ARCHIVE,
    N_FAULTS
} Fault;

static const ErrCode codes[N_FAULTS] = {
    [NO_OVA] = ERR_CORRUPT,       [NO_SUM] = ERR_CORRUPT,         [OTHER_SUM] = ERR_CORRUPT,
    [UNKNOWN_DISK] = ERR_CORRUPT, [BACKWARDS] = ERR_CORRUPT,      [NO_FIRST] = ERR_CORRUPT,
    [TOO_LONG] = ERR_CORRUPT,     [DISK_MISSING] = ERR_TRUNCATED, [DISK_SHORT] = ERR_CORRUPT,
    [DISK_TWICE] = ERR_CORRUPT,   [TRAILING] = ERR_CORRUPT,       [LINK] = ERR_CORRUPT,
    [HUGE_ENTRY] = ERR_LIMIT,     [NO_ARCHIVE] = ERR_CORRUPT,
};

static GByteArray *make_faulty(Fault fault)
{
    GByteArray *tar = g_byte_array_new();
    g_autofree guint8 *chunk = content(XVA_CHUNK_BYTES, 1);
    if (fault == NO_ARCHIVE) {
        g_byte_array_append(tar, chunk, 4096);
        return tar;
    }
    if (fault != NO_OVA)
        add_entry(tar, "ova.xml", ova, sizeof ova - 1);
    if (fault == LINK)
        add_header(tar, "Ref:2/00000000", 0, '2');
    if (fault == HUGE_ENTRY)
        add_header(tar, "Ref:2/00000000", XVA_MAX_CHUNK_BYTES + 1, '0');
    if (fault == NO_SUM)
        add_entry(tar, "Ref:2/00000000", chunk, XVA_CHUNK_BYTES);
    if (fault == OTHER_SUM) {
        add_entry(tar, "Ref:2/00000000", chunk, XVA_CHUNK_BYTES);
        add_sum(tar, "Ref:2/00000001", chunk, XVA_CHUNK_BYTES, false);
    }
    if (fault == UNKNOWN_DISK)
        add_chunk(tar, "Ref:6", 0, chunk, XVA_CHUNK_BYTES, false);
    add_chunk(tar, "Ref:2", fault == NO_FIRST ? 1 : 0, chunk, XVA_CHUNK_BYTES, false);
    add_chunk(tar, "Ref:2", fault == BACKWARDS ? 0 : 2, chunk, XVA_CHUNK_BYTES, false);
    if (fault != DISK_SHORT)
        add_chunk(tar, "Ref:2", 3, chunk, fault == TOO_LONG ? 701 : 700, false);
    if (fault != DISK_MISSING)
        add_chunk(tar, "Ref:4", 0, chunk, SIZE_B, false);
    if (fault == DISK_TWICE)
        add_chunk(tar, "Ref:2", 0, chunk, XVA_CHUNK_BYTES, false);
    add_end(tar);
    if (fault == TRAILING)
        g_byte_array_append(tar, chunk + 1, 512);
    return tar;
}

static void test_faults(void **state)
{
    for (Fault fault = 0; fault < N_FAULTS; fault++)
        assert_refused(make_faulty(fault), codes[fault]);
}

/* An empty chunk keeps the connection alive; the numbers after it are one ahead. */
static void test_keep_alive(void **state)
{
    Seen seen = { 0 };
    g_autoptr(GByteArray) tar = g_byte_array_new();
    g_autofree guint8 *chunk = content(XVA_CHUNK_BYTES, 1);
    add_entry(tar, "ova.xml", ova, sizeof ova - 1);
    add_chunk(tar, "Ref:2", 0, chunk, XVA_CHUNK_BYTES, false);
    add_chunk(tar, "Ref:2", 2, chunk, 0, false);
    add_chunk(tar, "Ref:2", 3, chunk, XVA_CHUNK_BYTES, false);
    add_chunk(tar, "Ref:2", 4, chunk, 700, false);
    add_chunk(tar, "Ref:4", 0, chunk, SIZE_B, false);
    add_end(tar);
    assert_true(read_all(tar->data, tar->len, 4096, &seen, NULL));
    assert_content(&seen);
    seen_clear(&seen);
}

static void test_metadata(void **state)
{
    XvaStreamOps ops = { 0 };
    g_autoptr(GByteArray) tar = g_byte_array_new();
    add_entry(tar, "ova.xml", ova, sizeof ova - 1);
    add_end(tar);
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        g_autoptr(XvaStream) stream = xva_stream_new(&ops);
        if (allowed)
            xva_stream_allow_no_disks(stream);
        assert_true(xva_stream_feed(stream, tar->data, tar->len, NULL));
        assert_int_equal(xva_stream_finish(stream, NULL), allowed);
    }
}

static void test_ova_faults(void **state)
{
    static const char *const texts[] = {
        "",
        "<value>",
        "no xml",
        "<a/>",
        "<value>1</value>",
        "<value><struct></struct></value>",
        "<value><array><data></data></array></value>",
        "<value><struct><member><value>1</value></member></struct></value>",
        "<value><struct><member><name>version</name><value><struct/></value></member><member>"
        "<name>objects</name><value><array><data><value>1</value></data></array></value></member>"
        "</struct></value>",
        "<value><value>1</value></value>",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(ova_parse(texts[i], strlen(texts[i]), &error));
        assert_true(err_is(error, ERR_CORRUPT));
    }
    GString *deep = g_string_new(NULL);
    for (unsigned i = 0; i < 100; i++)
        g_string_append(deep, "<value><array><data>");
    assert_null(ova_parse(deep->str, deep->len, NULL));
    g_string_free(deep, TRUE);
}

/* --- XO's --- */

typedef struct {
    Hash *hash;
    guint64 at;
} Digest;

static void hash_zeros(Digest *digest, guint64 until)
{
    static const guint8 zeros[65536];
    for (gsize n; digest->at < until; digest->at += n) {
        n = MIN(until - digest->at, sizeof zeros);
        hash_add(digest->hash, zeros, n);
    }
}

static bool digest_data(guint disk, guint64 offset, const void *data, gsize n, void *user,
                        GError **error)
{
    Digest *digest = user;
    hash_zeros(digest, offset);
    hash_add(digest->hash, data, n);
    digest->at += n;
    return true;
}

static void check_archive(const char *path, const char *sha256)
{
    g_autofree char *data = NULL;
    gsize n;
    g_autoptr(GError) error = NULL;
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    Digest digest = { hash, 0 };
    XvaStreamOps ops = { NULL, digest_data, &digest };
    g_autoptr(XvaStream) stream = xva_stream_new(&ops);
    assert_true(g_file_get_contents(path, &data, &n, NULL));
    bool ok = xva_stream_feed(stream, data, n, &error) && xva_stream_finish(stream, &error);
    if (!ok)
        fail_msg("%s: %s", path, error->message);
    assert_int_equal(xva_stream_info(stream)->disks->len, 1);
    hash_zeros(&digest, xva_info_disk(xva_stream_info(stream), 0)->size_bytes);
    g_autofree char *found = hash_end_hex(hash);
    assert_string_equal(found, sha256);
}

static json_t *fixtures(char **folder)
{
    const char *set = g_getenv("CADENZA_FIXTURES"), *source = g_getenv("CADENZA_SOURCE");
    *folder = set ? g_build_filename(set, "repos", NULL)
                  : g_build_filename(source ? source : ".", "..", "shared", "fixtures", "xo",
                                     "repos", NULL);
    g_autofree char *expected = g_build_filename(*folder, "expected.json", NULL);
    return json_load_file(expected, 0, NULL);
}

static void test_fixtures(void **state)
{
    g_autofree char *folder = NULL, *tmp = g_dir_make_tmp("cadenza-xva-XXXXXX", NULL);
    json_t *points = fixtures(&folder), *point;
    size_t i, n_checked = 0;
    if (!points) {
        print_message("no fixtures in %s: skipped\n", folder);
        g_rmdir(tmp);
        g_clear_pointer(&folder, g_free); /* skip() does not return */
        g_clear_pointer(&tmp, g_free);
        skip();
    }
    g_autofree char *archive = g_build_filename(folder, "full.tar.gz", NULL);
    char *unpack[] = { "tar", "-xzf", archive, "-C", tmp, NULL };
    char *drop[] = { "rm", "-rf", tmp, NULL };
    assert_true(
        g_spawn_sync(NULL, unpack, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    json_array_foreach (points, i, point) {
        if (strcmp(ova_text(point, "repo"), "full") != 0)
            continue;
        g_autofree char *path = g_build_filename(tmp, ova_text(point, "path"), NULL);
        strcpy(strrchr(path, '.'), ".xva");
        check_archive(path, ova_text(json_array_get(json_object_get(point, "disks"), 0), "sha256"));
        n_checked++;
    }
    assert_int_equal(n_checked, 6);
    g_spawn_sync(NULL, drop, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    json_decref(points);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),    cmocka_unit_test(test_info),
        cmocka_unit_test(test_cut),      cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_faults),   cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_metadata), cmocka_unit_test(test_ova_faults),
        cmocka_unit_test(test_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
