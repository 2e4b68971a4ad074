/* Two disks stand on one, as XO makes them: the newer is put on the older, wherever a crash falls,
 * and merges then lose nothing. */
#include "history.h"

#include "catalog/check.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX_VISITS 60u

static const char *const modes[] = {
    NULL,
    "useVhdDirectory=true&compressionType=%22none%22",
    "useVhdDirectory=true&vhdDirectoryCompression=%22brotli%22",
};

static const char *const points[] = {
    "fork_written", "fork_manifest",      "fork_aliased",
    "fork_moved",   "remote_put_written", "remote_chunk_written"
};

/* 0 is the root; 1 and, grown by then, 2 stand on it; 3 stands on 2. */
static History *forked(const char *options)
{
    History *history = history_new(options, 4);
    guint8 then[HISTORY_MAX_BLOCKS];
    history_add(history, "012", true, 4);
    g_autofree char *root = g_strdup(history->last_name);
    memcpy(then, history->now, sizeof then);
    history_add(history, "13", false, 4);
    memcpy(history->now, then, sizeof then);
    g_free(history->last_name);
    history->last_name = g_steal_pointer(&root);
    history_add(history, "234", false, 6);
    history_add(history, "0", false, 6);
    return history;
}

static Disk *open_alone(History *history, unsigned point)
{
    Remote *remote = history->repo->remote;
    g_autofree char *folder = g_strjoin("/", "xo-vm-backups", HISTORY_VM, HISTORY_LINEAGE, NULL);
    g_autofree char *name = g_path_get_basename(history->disks[point]),
                    *path = g_strjoin("/", folder, name, NULL);
    if (!g_str_has_suffix(name, ".alias.vhd"))
        return vhd_open(remote_bytes(remote, path, REMOTE_READ, NULL), NULL);
    g_autoptr(GBytes) alias = remote_get(remote, path, 1000, NULL);
    gsize n;
    const char *target = g_bytes_get_data(alias, &n);
    g_autofree char *data = g_strdup_printf("%s/%.*s", folder, (int) n, target);
    return vhd_directory_open(remote_chunks(remote, data, NULL), NULL);
}

static char *parent_of(History *history, unsigned point)
{
    g_autoptr(Disk) disk = open_alone(history, point);
    assert_non_null(disk);
    return g_strdup(disk->info.parent_name);
}

static void assert_stands_on(History *history, unsigned point, unsigned parent)
{
    g_autofree char *found = parent_of(history, point),
                    *wanted = g_path_get_basename(history->disks[parent]);
    assert_string_equal(found, wanted);
}

/* What no point names, and no temporary. */
static void assert_tidy(History *history, bool directory)
{
    g_autofree char *listing = history_listing(history, ""),
                    *data = history_listing(history, "data");
    g_auto(GStrv) names = g_strsplit(listing, " ", -1), folders = g_strsplit(data, " ", -1);
    assert_int_equal(g_strv_length(names), directory ? 5 : 4);
    if (directory)
        assert_int_equal(g_strv_length(folders), 4);
}

static void assert_straight(History *history, bool directory)
{
    history_check(history, 0, 4);
    history_check_names(history);
    assert_stands_on(history, 1, 0);
    assert_stands_on(history, 2, 1);
    assert_stands_on(history, 3, 2);
    assert_tidy(history, directory);
}

static void test_straightened(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        History *history = forked(modes[m]);
        CatalogCleaned cleaned;
        history_check(history, 0, 4);
        assert_stands_on(history, 2, 0);
        history_clean(history, &cleaned);
        assert_int_equal(json_array_size(cleaned.warnings), 0);
        json_decref(cleaned.warnings);
        assert_straight(history, m > 0);
        history_delete(history, 0);
        history_clean(history, &cleaned);
        assert_int_equal(cleaned.n_merges, 1);
        json_decref(cleaned.warnings);
        history_check(history, 1, 3);
        history_delete(history, 1);
        history_clean(history, NULL);
        history_check(history, 2, 2);
        history_free(history);
    }
}

/* Told by verify, and repaired without a backup. */
static void test_repaired(void **state)
{
    for (unsigned m = 0; m < 2; m++) {
        History *history = forked(modes[m]);
        CatalogReport *report = catalog_check(history->repo->catalog, HISTORY_VM, true);
        assert_int_equal(catalog_report_worst(report), GRADE_UNTIDY);
        catalog_report_free(report);
        CatalogRepaired *repaired = catalog_repair(history->repo->catalog, HISTORY_VM, true, false);
        assert_int_equal(repaired->failed->len, 0);
        assert_true(repaired->done->len > 0);
        catalog_repaired_free(repaired);
        assert_straight(history, m > 0);
        history_free(history);
    }
}

/* Its manifest is absent: what XO wrote gets no manifest by this. */
static void test_unknown(void **state)
{
    History *history = forked(NULL);
    g_autofree char *name = g_path_get_basename(history->paths[2]),
                    *path = g_build_filename(history->repo->folder, ".cadenza/manifests",
                                             HISTORY_VM, name, NULL);
    assert_int_equal(unlink(path), 0);
    history_clean(history, NULL);
    assert_stands_on(history, 2, 1);
    assert_int_not_equal(access(path, F_OK), 0);
    g_autoptr(Disk) disk =
        catalog_disk_open_checked(history->repo->catalog, HISTORY_VM, history->disks[2], NULL);
    g_autofree char *sum = disk_sum(disk);
    assert_string_equal(sum, history->sums[2]);
    history_free(history);
}

/* What is damaged below is not copied: the fork stays, and is told of. */
static void test_damaged(void **state)
{
    History *history = forked(NULL);
    g_autofree char *path = g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM,
                                             history->disks[0], NULL);
    int fd = open(path, O_RDWR);
    guint8 byte;
    off_t at = 2048 + 512 + DISK_BLOCK_BYTES + 512 +
               4095; /* in the second stored block: number 1 */
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    CatalogCleaned cleaned;
    history_clean(history, &cleaned);
    assert_int_equal(json_array_size(cleaned.warnings), 1);
    json_decref(cleaned.warnings);
    assert_stands_on(history, 2, 0);
    assert_tidy(history, false);
    history_free(history);
}

static bool clean_dies(History *history, const char *point, unsigned nth)
{
    pid_t pid = fork();
    if (pid == 0) {
        g_autofree char *order = g_strdup_printf("%s:%u", point, nth);
        CatalogCleaned cleaned;
        setenv("CADENZA_CRASH", order, 1);
        bool ok = catalog_clean(history->repo->catalog, HISTORY_VM, true, true, &cleaned, NULL);
        _exit(ok ? 0 : 1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 1);
    return WEXITSTATUS(status) == 99;
}

static void test_crashes(void **state)
{
    unsigned n_deaths = 0;
    for (unsigned m = 0; m < 2; m++)
        for (unsigned i = 0; i < G_N_ELEMENTS(points); i++)
            for (unsigned nth = 1, died = 1; died; nth += i < 4 ? 1 : 3) {
                History *history = forked(modes[m]);
                assert_true(nth < MAX_VISITS);
                died = clean_dies(history, points[i], nth);
                n_deaths += died;
                history_check(history, 0, 4);
                history_check_names(history);
                history_clean(history, NULL);
                assert_straight(history, m > 0);
                history_free(history);
            }
    assert_true(n_deaths > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_straightened),
                                        cmocka_unit_test(test_repaired),
                                        cmocka_unit_test(test_unknown),
                                        cmocka_unit_test(test_damaged),
                                        cmocka_unit_test(test_crashes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
