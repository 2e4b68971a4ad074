/* Killed at every point of a clean-up: each point that is listed reads as it was written, before
 * anything is repaired and after; XO finds each disk under its name; and the next clean-up ends
 * what was begun. */
#include "history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const points[] = {
    "merge_noted",          "merge_flat_mark",        "merge_flat_footer",
    "merge_directory_mark", "merge_marked",           "merge_directory_footer",
    "merge_blocks_done",    "merge_manifest",         "merge_renamed",
    "member_drop_named",    "merge_children_dropped", "merge_note_dropped",
    "refresh_written",      "clean_dropped",          "clean_settled",
    "remote_put_written",   "remote_chunk_written",   "catalog_delete_point",
};

static void copy_folder(const char *from, const char *to)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
    assert_int_equal(system(command), 0);
}

/* A history with two merges, a disk that grows, and a tip to drop. Kept for XO it does not grow: XO
 * itself loses block directories that do. */
static History *template_new(const char *options)
{
    guint32 n_blocks = g_getenv("CADENZA_CRASHED_TO") ? 5 : 3;
    History *history = history_new(options, n_blocks);
    history_add(history, "01", true, n_blocks);
    history_add(history, "1", false, n_blocks);
    history_add(history, "24", false, 5);
    history_add(history, "0", false, 5);
    history_add(history, "34", false, 5);
    history_add(history, "2", false, 5);
    history_delete(history, 0);
    history_delete(history, 1);
    history_delete(history, 3);
    history_delete(history, 5);
    return history;
}

/* In a child that dies at the point's nth visit; whether it died. */
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

static void check_end(History *history, const char *alias)
{
    g_autofree char *listing = history_listing(history, "");
    g_autofree char *expected = g_strdup_printf("20261122T021859Z.%svhd 20261122T022059Z.%svhd%s",
                                                alias, alias, *alias ? " data" : "");
    g_autofree char *data = history_listing(history, "data");
    g_auto(GStrv) folders = g_strsplit(data, " ", -1);
    gint64 size;
    bool differencing;
    assert_string_equal(listing, expected);
    if (*alias)
        assert_int_equal(g_strv_length(folders), 2);
    history_metadata(history, 2, &size, &differencing);
    assert_false(differencing);
    assert_int_equal(size, 2560 + 4 * (512 + DISK_BLOCK_BYTES));
    history_metadata(history, 4, &size, &differencing);
    assert_true(differencing);
}

/* For other readers, instead of our own: every repository as a crash left it, with the digests that
 * must be found, into the folder named by CADENZA_CRASHED_TO. */
static void keep_for_others(History *history, const char *point, unsigned nth, const char *alias)
{
    const char *folder = g_getenv("CADENZA_CRASHED_TO");
    g_autofree char *to = g_strdup_printf("%s/%s%s-%u", folder, alias, point, nth);
    g_autofree char *expected = g_strconcat(to, "/expected.json", NULL);
    json_t *sums = json_object();
    copy_folder(history->repo->folder, to);
    for (unsigned i = 2; i < 5; i += 2) {
        g_autoptr(Disk)
            disk = catalog_disk_open(history->repo->catalog, HISTORY_VM, history->disks[i], NULL);
        g_autofree char *sum = disk_sha256(disk);
        json_object_set_new(sums, history->disks[i], json_string(sum));
    }
    json_dump_file(sums, expected, 0);
    json_decref(sums);
}

static void check_crashed(History *history, const char *alias)
{
    history_check(history, 0, 2);
    history_check_names(history);
    history_clean(history, NULL);
    history_check(history, 0, 2);
    history_no_temporaries(history);
    check_end(history, alias);
}

static void check_or_keep(History *history, const char *point, unsigned nth, const char *alias)
{
    if (g_getenv("CADENZA_CRASHED_TO"))
        keep_for_others(history, point, nth, alias);
    else
        check_crashed(history, alias);
}

/* A line for each point that a clean-up passes when it is left alone. */
static char **visits_of(History *history, const char *alias)
{
    g_autofree char *path = g_strconcat(history->repo->folder, "-visits", NULL);
    g_autofree char *text = NULL;
    g_setenv("CADENZA_CRASH_VISITS", path, TRUE);
    assert_false(clean_dies(history, "none", 1));
    g_unsetenv("CADENZA_CRASH_VISITS");
    check_or_keep(history, "none", 1, alias);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    unlink(path);
    return g_strsplit(text, "\n", -1);
}

static unsigned crash_at(History *history, const char *point, char **visits, const char *saved,
                         const char *alias)
{
    unsigned nth = 0;
    for (unsigned i = 0; visits[i]; i++) {
        if (strcmp(visits[i], point) != 0)
            continue;
        copy_folder(saved, history->repo->folder);
        assert_true(clean_dies(history, point, ++nth));
        check_or_keep(history, point, nth, alias);
    }
    return nth;
}

static void crash_everywhere(const char *options, const char *alias)
{
    History *history = template_new(options);
    g_autofree char *saved = g_strconcat(history->repo->folder, "-saved", NULL);
    unsigned n_deaths = 0;
    history_check(history, 0, 2);
    copy_folder(history->repo->folder, saved);
    g_auto(GStrv) visits = visits_of(history, alias);
    for (unsigned i = 0; i < G_N_ELEMENTS(points); i++)
        n_deaths += crash_at(history, points[i], visits, saved, alias);
    assert_true(n_deaths > 30);
    history_free(history);
}

static void test_flat(void **state)
{
    crash_everywhere(NULL, "");
}

static void test_directory(void **state)
{
    crash_everywhere("useVhdDirectory=true&compressionType=%22none%22", "alias.");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_flat),
                                        cmocka_unit_test(test_directory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
