/* A disk that is left half-written and gone on with by another process: what was told is not
 * written again, what was not told is, and what is not as it was told is refused. */
#include "fixture.h"

#include "base/error.h"
#include "catalog/blockmap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define VM  "0b44a865-a18c-49bc-869e-0a8c1cd4e3be"
#define JOB "5f0d7a54-9a0d-4f7e-8c4c-0d0c8f6a1b11"
#define VDI "070ea2d0-2152-48bc-8292-763b68b4926e"

enum { N_BLOCKS = 70, N_PUT = 61, N_TOLD = 56 };
static const gint64 time_ms = 1795331121000;

static const DiskInfo info = { .size_bytes = N_BLOCKS * (guint64) DISK_BLOCK_BYTES,
                               .uid = { { 1, 2, 3 } },
                               .timestamp_s = 1795331121 };

/* Blocks come in no order. */
static guint32 nth(unsigned i)
{
    return (i * 37) % N_BLOCKS;
}

static const void *content(guint32 block)
{
    static guint8 data[DISK_BLOCK_BYTES];
    memset(data, (int) (block % 251) + 1, sizeof data);
    memcpy(data, &block, sizeof block);
    return data;
}

typedef struct {
    GByteArray *rows;
    bool released;
} Told;

static void on_mark(const void *rows, gsize n, void *user)
{
    g_byte_array_append(((Told *) user)->rows, rows, (guint) n);
}

static void on_release(gpointer user)
{
    ((Told *) user)->released = true;
}

/* As a process that is suspended leaves it; its place. */
static char *leave_half(Repo *repo, Told *told)
{
    g_autoptr(Cancel) suspend = cancel_new();
    g_autoptr(GError) error = NULL;
    catalog_set_suspend(repo->catalog, suspend);
    CatalogDisk *disk =
        catalog_disk_begin(repo->catalog, VM, JOB, VDI, time_ms, &info, NULL, &error);
    assert_null(error);
    catalog_disk_mark(disk, on_mark, told, on_release);
    for (unsigned i = 0; i < N_PUT; i++)
        assert_true(disk_put_block(disk->writer, nth(i), content(nth(i)), &error));
    char *place = g_strdup(catalog_disk_place(disk));
    cancel_set(suspend);
    catalog_disk_free(disk);
    assert_true(told->released);
    assert_int_equal(told->rows->len, N_TOLD * (4 + BLOCK_HASH_BYTES));
    repo_reopen(repo);
    return place;
}

static CatalogDisk *go_on(Repo *repo, const Told *told, const char *place, GError **error)
{
    g_autoptr(GBytes) rows = g_bytes_new(told->rows->data, told->rows->len);
    return catalog_disk_continue(repo->catalog, VM, JOB, VDI, time_ms, &info, NULL, place, rows,
                                 error);
}

static void check_whole(Repo *repo, bool directory)
{
    g_autoptr(GError) error = NULL;
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    g_autofree char *date = catalog_date(time_ms);
    g_autofree char *path =
        g_strdup_printf("vdis/" JOB "/" VDI "/%s%s", date, directory ? ".alias.vhd" : ".vhd");
    g_autoptr(Disk) disk = catalog_disk_open(repo->catalog, VM, path, &error);
    assert_null(error);
    assert_int_equal(disk_n_present(disk), N_BLOCKS);
    for (guint32 block = 0; block < N_BLOCKS; block++) {
        assert_true(disk_read_block(disk, block, buffer, &error));
        assert_memory_equal(buffer, content(block), DISK_BLOCK_BYTES);
    }
}

/* As a put that was cut leaves it. */
static char *leave_hidden(Repo *repo, const char *place)
{
    char *path = g_strdup_printf("%s/%s/.1795313819673.header.tmp", repo->folder, place);
    assert_true(g_file_set_contents(path, "half", 4, NULL));
    return path;
}

static void gone_on(const char *options)
{
    Repo *repo = repo_new(options);
    Told told = { g_byte_array_new(), false };
    guint8 hash[16];
    g_autoptr(GError) error = NULL;
    g_autofree char *place = leave_half(repo, &told);
    g_autofree char *hidden = options ? leave_hidden(repo, place) : NULL;
    CatalogDisk *disk = go_on(repo, &told, place, &error);
    assert_null(error);
    assert_false(hidden && g_file_test(hidden, G_FILE_TEST_EXISTS));
    for (unsigned i = 0; i < N_BLOCKS; i++)
        assert_true(catalog_disk_hash(disk, nth(i), hash) == (i < N_TOLD));
    /* an export that starts again from its beginning */
    for (unsigned i = 0; i < N_BLOCKS; i++)
        assert_true(disk_put_block(disk->writer, nth(i), content(nth(i)), &error));
    guint64 size_bytes;
    assert_true(catalog_disk_finish(disk, &size_bytes, &error));
    catalog_disk_free(disk);
    check_whole(repo, options != NULL);
    /* once more, now that it has its name, with all rows: nothing is left to do */
    g_autoptr(BlockMap) all = block_map_new();
    for (unsigned i = 0; i < N_BLOCKS; i++) {
        block_hash(content(nth(i)), hash);
        block_map_set(all, nth(i), hash);
    }
    g_autoptr(GBytes) rows = block_map_rows(all, 0);
    disk = catalog_disk_continue(repo->catalog, VM, JOB, VDI, time_ms, &info, NULL, place, rows,
                                 &error);
    assert_null(error);
    guint64 again_bytes = 0;
    assert_true(disk->done && catalog_disk_finish(disk, &again_bytes, &error));
    assert_int_equal(again_bytes, size_bytes);
    catalog_disk_free(disk);
    g_byte_array_unref(told.rows);
    repo_free(repo);
}

static void test_gone_on(void **state)
{
    gone_on(NULL);
    gone_on("useVhdDirectory=true");
}

static void test_other_content(void **state)
{
    Repo *repo = repo_new(NULL);
    Told told = { g_byte_array_new(), false };
    g_autoptr(GError) error = NULL;
    g_autofree char *place = leave_half(repo, &told);
    g_autoptr(CatalogDisk) disk = go_on(repo, &told, place, &error);
    assert_null(error);
    assert_false(disk_put_block(disk->writer, nth(0), content(nth(0) + 1), &error));
    assert_true(err_is(error, ERR_STATE));
    g_clear_pointer(&disk, catalog_disk_free);
    g_byte_array_unref(told.rows);
    repo_free(repo);
}

static void test_damaged(void **state)
{
    for (unsigned how = 0; how < 3; how++) {
        Repo *repo = repo_new(NULL);
        Told told = { g_byte_array_new(), false };
        g_autoptr(GError) error = NULL;
        g_autofree char *place = leave_half(repo, &told);
        g_autofree char *file = g_build_filename(repo->folder, place, NULL);
        if (how == 0)
            assert_int_equal(unlink(file), 0);
        else if (how == 1)
            assert_int_equal(truncate(file, 20 << 20), 0);
        else /* the hash of the last row */
            told.rows->data[told.rows->len - 1] ^= 1;
        assert_null(go_on(repo, &told, place, &error));
        assert_true(err_is(error, how == 0   ? ERR_NOT_FOUND
                                  : how == 1 ? ERR_TRUNCATED
                                             : ERR_CORRUPT));
        g_byte_array_unref(told.rows);
        repo_free(repo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gone_on),
        cmocka_unit_test(test_other_content),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
