/* Writing points and reading them back; what may be continued; what is left after a failure. */
#include "history.h"

#include "base/error.h"
#include "remote/fault.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char *in_repo(History *history, const char *path)
{
    return g_build_filename(history->repo->folder, path, NULL);
}

static void round_trip(const char *options)
{
    History *history = history_new(options, 5);
    history_add(history, "0124", true, 5);
    history_add(history, "1", false, 5);
    history_add(history, "34", false, 7);
    history_add(history, "06", false, 7);
    history_check(history, 0, 4);
    repo_reopen(history->repo);
    history_check(history, 0, 4);
    json_t *points = catalog_points(history->repo->catalog, HISTORY_VM, NULL, NULL);
    json_t *view = catalog_view(json_array_get(points, 3), "r");
    assert_int_equal(json_integer_value(json_object_get(view, "differencingVhds")), 1);
    json_decref(view);
    json_decref(points);
    history_free(history);
}

static void test_round_trip(void **state)
{
    round_trip(NULL);
    round_trip("useVhdDirectory=true");
    round_trip("useVhdDirectory=true&compressionType=%22brotli%22");
    round_trip("useVhdDirectory=true&compressionType=%22none%22");
}

static void test_modes(void **state)
{
    struct stat st;
    umask(022);
    History *flat = history_new(NULL, 2), *directory = history_new("useVhdDirectory=true", 2);
    history_add(flat, "0", true, 2);
    history_add(directory, "0", true, 2);
    g_autofree char *a = in_repo(flat, "xo-vm-backups/" HISTORY_VM),
                    *b = in_repo(flat, "xo-vm-backups/" HISTORY_VM "/vdis");
    g_autofree char *c =
        in_repo(directory, "xo-vm-backups/" HISTORY_VM "/" HISTORY_LINEAGE "/data");
    assert_true(stat(a, &st) == 0 && (st.st_mode & 0777) == 0755);
    assert_true(stat(b, &st) == 0 && (st.st_mode & 0777) == 0700);
    assert_true(stat(c, &st) == 0 && (st.st_mode & 0777) == 0755);
    g_autofree char *listing = history_listing(directory, "");
    assert_string_equal(listing, "20261122T021659Z.alias.vhd data");
    g_autofree char *alias = in_repo(directory, "xo-vm-backups/" HISTORY_VM "/" HISTORY_LINEAGE
                                                "/20261122T021659Z.alias.vhd");
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(alias, &text, NULL, NULL));
    assert_string_equal(text, "data/20261122T021659Z.vhd");
    history_free(flat);
    history_free(directory);
}

static void assert_base(History *history, guint8 last_byte, const char *expected, const char *why)
{
    g_autoptr(GError) error = NULL;
    DiskUid uid = { { 0xaa, 0xbb, [6] = 0x40, [8] = 0x80, [15] = last_byte } };
    g_autofree char *base =
        catalog_base(history->repo->catalog, HISTORY_VM, HISTORY_JOB, HISTORY_VDI, &uid, &error);
    if (expected) {
        assert_non_null(base);
        assert_string_equal(base, expected);
        return;
    }
    assert_null(base);
    assert_true(err_is(error, ERR_NO_BASE));
    if (!strstr(error->message, why))
        fail_msg("no \"%s\" in: %s", why, error->message);
}

static void test_base(void **state)
{
    History *history = history_new(NULL, 4);
    assert_base(history, 1, NULL, "none has this unique id");
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    assert_base(history, 2, "20261122T021759Z.vhd", NULL);
    assert_base(history, 1, NULL, "already continued by");
    assert_base(history, 9, NULL, "none has this unique id");
    g_autofree char *options = in_repo(history, "../options");
    g_file_set_contents(options, "useVhdDirectory=true", -1, NULL);
    repo_reopen(history->repo);
    assert_base(history, 2, NULL, "flat file");
    unlink(options);
    repo_reopen(history->repo);
    g_autofree char *root =
        in_repo(history, "xo-vm-backups/" HISTORY_VM "/" HISTORY_LINEAGE "/20261122T021659Z.vhd");
    unlink(root);
    assert_base(history, 2, NULL, "missing");
    history_free(history);
}

static void test_delete(void **state)
{
    History *history = history_new(NULL, 3);
    g_autoptr(GError) error = NULL;
    Catalog *catalog = history->repo->catalog;
    history_add(history, "012", true, 3);
    history_add(history, "1", false, 3);
    const char *both[] = { history->paths[0], history->paths[1], NULL },
               *one[] = { history->paths[0], NULL };
    assert_false(catalog_delete(catalog, HISTORY_VM, both, false, &error));
    assert_true(err_is(error, ERR_STATE));
    g_clear_error(&error);
    history_check(history, 0, 2);
    assert_true(catalog_delete(catalog, HISTORY_VM, one, false, NULL));
    assert_false(catalog_delete(catalog, HISTORY_VM, one, false, &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    history_check(history, 0, 1); /* its disks still stand on those of the deleted one */
    assert_true(catalog_delete(catalog, HISTORY_VM, both + 1, true, NULL));
    history_check(history, 0, 0);
    history_free(history);
}

/* Fails at every operation in turn: never a point, and earlier points stay. */
static void fail_everywhere(const char *options)
{
    RemoteFault plan = { .nth = 1, .room_bytes = -1, .errnum = ENOSPC };
    for (bool failed = true; failed; plan.nth++) {
        History *history = history_new(options, 3);
        history_add(history, "012", true, 3);
        Catalog *good = history->repo->catalog;
        plan.n_seen = 0;
        g_autofree char *url = g_strdup_printf("file://%s?%s", history->repo->folder, options);
        g_autoptr(Remote) faulty = remote_new_faulty(remote_open(url, NULL), &plan);
        Catalog *catalog = catalog_open(faulty, NULL);
        g_autoptr(GError) error = NULL;
        DiskInfo info = { .size_bytes = DISK_BLOCK_BYTES, .n_blocks = 1, .uid = { { 7 } } };
        CatalogDisk *disk = catalog_disk_begin(catalog, HISTORY_VM, HISTORY_JOB, HISTORY_VDI,
                                               1795314000000, &info, history->last_name, &error);
        g_autofree void *block = g_malloc0(DISK_BLOCK_BYTES);
        guint64 size;
        bool ok = disk && disk_put_block(disk->writer, 0, block, &error) &&
                  catalog_disk_finish(disk, &size, &error);
        json_t *metadata = json_pack("{s:s,s:I,s:{s:s},s:{s:s}}", "mode", "delta", "timestamp",
                                     (json_int_t) 1795314000000, "vm", "uuid", HISTORY_VM, "vhds",
                                     "r", disk ? disk->path : "vdis/x.vhd");
        g_autofree char *path =
            ok ? catalog_commit(catalog, HISTORY_VM, 1795314000000, metadata, &error) : NULL;
        json_decref(metadata);
        catalog_disk_free(disk);
        failed = path == NULL;
        if (failed)
            assert_true(error != NULL);
        catalog_close(catalog);
        json_t *problems, *points = catalog_points(good, HISTORY_VM, &problems, NULL);
        assert_int_equal(json_array_size(points), failed ? 1 : 2);
        assert_int_equal(json_array_size(problems), 0);
        json_decref(points);
        json_decref(problems);
        history_check(history, 0, 1);
        history_free(history);
        if (!failed &&
            plan.n_seen >= plan.nth) /* the cache is the only thing that may fail in silence */
            failed = true;
        assert_true(plan.nth < 200);
    }
}

static void test_failures(void **state)
{
    fail_everywhere("useVhdDirectory=false");
    fail_everywhere("useVhdDirectory=true");
}

/* A disk that comes back different is not accepted. */
static void test_read_back(void **state)
{
    History *history = history_new(NULL, 3);
    g_autoptr(GError) error = NULL;
    DiskInfo info = { .size_bytes = DISK_BLOCK_BYTES, .n_blocks = 1, .uid = { { 7 } } };
    g_autoptr(CatalogDisk)
        disk = catalog_disk_begin(history->repo->catalog, HISTORY_VM, HISTORY_JOB, HISTORY_VDI,
                                  1795314000000, &info, NULL, &error);
    g_autofree char *block = g_malloc0(DISK_BLOCK_BYTES);
    guint64 size;
    block[1000] = 'x';
    assert_true(disk_put_block(disk->writer, 0, block, NULL));
    g_autofree char *listing = history_listing(history, "");
    g_autofree char *temporary = g_build_filename(history->repo->folder, "xo-vm-backups",
                                                  HISTORY_VM, HISTORY_LINEAGE, listing, NULL);
    FILE *file = fopen(temporary, "r+");
    assert_non_null(file);
    fseek(file, 1000 + 2560, SEEK_SET);
    fputc('y', file);
    fclose(file);
    assert_false(catalog_disk_finish(disk, &size, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    catalog_disk_free(g_steal_pointer(&disk));
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_modes),
        cmocka_unit_test(test_base),       cmocka_unit_test(test_delete),
        cmocka_unit_test(test_failures),   cmocka_unit_test(test_read_back)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
