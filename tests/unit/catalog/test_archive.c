/* Full backups in a repository: written, lied about by the storage, read back, damaged. */
#include "catalog/archive.h"
#include "fixture.h"

#include "base/error.h"
#include "codec/hash.h"
#include "remote/fault.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define VM      "01a62e8f-4657-4319-a253-3c954a20d3e6"
#define TIME_MS G_GINT64_CONSTANT(1795314000000)

/* A small archive that is sound; its first byte belongs to the fuzzer. */
static char *sample(gsize *n)
{
    const char *source = g_getenv("CADENZA_SOURCE");
    g_autofree char *path =
        g_build_filename(source ? source : ".", "tests/fuzz/corpus/xva/plain.xva", NULL);
    char *data = NULL;
    assert_true(g_file_get_contents(path, &data, n, NULL));
    memmove(data, data + 1, --*n);
    return data;
}

static bool write_archive(Catalog *catalog, const void *data, gsize n, gsize piece,
                          CatalogReadBack how, GError **error)
{
    g_autoptr(CatalogArchive) archive = catalog_archive_begin(catalog, VM, TIME_MS, error);
    g_autofree char *md5 = hash_hex(HASH_MD5, data, n);
    if (!archive)
        return false;
    for (gsize at = 0; at < n; at += piece)
        if (!catalog_archive_write(archive, at, (const guint8 *) data + at, MIN(piece, n - at),
                                   error))
            return false;
    assert_string_equal(catalog_archive_path(archive), "./20261122T022000Z.xva");
    return catalog_archive_finish(archive, n, md5, how, error);
}

static json_t *metadata(gsize n)
{
    return json_pack("{s:s,s:I,s:{s:s},s:s,s:I}", "mode", "full", "timestamp", (json_int_t) TIME_MS,
                     "vm", "uuid", VM, "xva", "./20261122T022000Z.xva", "size", (json_int_t) n);
}

static bool read_archive(Catalog *catalog, json_t *point, GError **error)
{
    XvaStreamOps ops = { 0 };
    g_autoptr(CatalogArchiveReader) reader = catalog_archive_open(catalog, point, &ops, error);
    return reader && catalog_archive_read_all(reader, error) &&
           catalog_archive_info(reader)->disks->len == 1;
}

static void test_round_trip(void **state)
{
    gsize n;
    g_autoptr(Repo) repo = repo_new(NULL);
    g_autofree char *data = sample(&n);
    g_autoptr(GError) error = NULL;
    json_t *stored = metadata(n);
    assert_null(catalog_commit(repo->catalog, VM, TIME_MS, stored, NULL)); /* no archive yet */
    write_archive(repo->catalog, data, n, 700, CATALOG_READ_ALL, &error);
    assert_null(error);
    g_autofree char *path = catalog_commit(repo->catalog, VM, TIME_MS, stored, &error);
    assert_null(error);
    json_t *point = catalog_point(repo->catalog, path, NULL);
    assert_true(read_archive(repo->catalog, point, &error));
    assert_false(write_archive(repo->catalog, data, n, 700, CATALOG_READ_NONE, &error));
    assert_true(err_is(error, ERR_EXISTS));
    g_autofree char *file =
        g_build_filename(repo->folder, "xo-vm-backups", VM, "20261122T022000Z.xva", NULL);
    data[n / 2] ^= 1;
    assert_true(g_file_set_contents(file, data, (gssize) n, NULL));
    assert_false(read_archive(repo->catalog, point, NULL));
    assert_true(g_file_set_contents(file, data, (gssize) n - 1, NULL));
    assert_false(read_archive(repo->catalog, point, NULL));
    json_decref(point);
    json_decref(stored);
}

/* One wrong bit in one write of many: read back whole it is always seen, and nothing stays. */
static void test_lying_storage(void **state)
{
    gsize n;
    g_autoptr(Repo) repo = repo_new(NULL);
    g_autofree char *data = sample(&n);
    for (unsigned nth = 1; nth <= 4; nth++) {
        RemoteFault plan = { .verb = "bytes.write", .nth = nth, .flips = true, .room_bytes = -1 };
        plan.flip_bit = 100 * nth;
        g_autofree char *url = g_strconcat("file://", repo->folder, NULL);
        Remote *remote = remote_new_faulty(remote_open(url, NULL), &plan);
        Catalog *catalog = catalog_open(remote, NULL);
        g_autoptr(GError) error = NULL;
        CatalogReadBack how = nth % 2 ? CATALOG_READ_ALL : CATALOG_READ_SAMPLE;
        assert_false(write_archive(catalog, data, n, 1024, how, &error));
        assert_true(err_is(error, ERR_CORRUPT));
        catalog_close(catalog);
        remote_close(remote);
        g_autofree char *folder = g_build_filename(repo->folder, "xo-vm-backups", VM, NULL);
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        assert_null(g_dir_read_name(dir));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lying_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
