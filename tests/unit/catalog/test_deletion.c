/* What is refused: on a listing that failed, with nothing newer verified, of everything; of disks
 * whose metadata was lost. And what a crash in a deletion leaves is ended. */
#include "history.h"

#include "base/error.h"
#include "remote/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define P0      "20261122T021659Z"
#define P1      "20261122T021759Z"
#define P2      "20261122T021859Z"
#define VM      "xo-vm-backups/" HISTORY_VM "/"
#define LINEAGE VM HISTORY_LINEAGE "/"

static void shell(History *history, const char *words)
{
    g_autofree char *command = g_strdup_printf("cd '%s' && %s", history->repo->folder, words);
    assert_int_equal(system(command), 0);
}

static History *three_points(void)
{
    History *history = history_new(NULL, 3);
    history_add(history, "012", true, 3);
    history_add(history, "1", false, 3);
    history_add(history, "0", false, 3);
    return history;
}

static void assert_refused(Catalog *catalog, History *history, unsigned n, ErrCode code,
                           const char *word)
{
    const char *paths[HISTORY_MAX_POINTS + 1] = { NULL };
    g_autoptr(GError) error = NULL;
    for (unsigned i = 0; i < n; i++)
        paths[i] = history->paths[i];
    assert_false(catalog_delete(catalog, HISTORY_VM, paths, false, &error));
    if (!err_is(error, code) || !strstr(error->message, word))
        fail_msg("not \"%s\": %s", word, error->message);
    json_t *points = catalog_points(history->repo->catalog, HISTORY_VM, NULL, NULL);
    assert_int_equal(json_array_size(points), history->n_points);
    json_decref(points);
}

static void test_listing_failed(void **state)
{
    static const char *const verbs[] = { "list", "get" };
    History *history = three_points();
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
        RemoteFault plan = { .verb = verbs[i], .nth = 1, .room_bytes = -1 };
        g_autofree char *url = g_strdup_printf("file://%s", history->repo->folder);
        Remote *faulty = remote_new_faulty(remote_open(url, NULL), &plan);
        Catalog *catalog = catalog_open(faulty, NULL);
        assert_refused(catalog, history, 1, ERR_IO, "ordered");
        CatalogCleaned cleaned;
        g_autoptr(GError) error = NULL;
        plan.n_seen = 0;
        plan.for_good = true;
        shell(history, "cp " LINEAGE P0 ".vhd " LINEAGE "20261122T010000Z.vhd");
        assert_false(catalog_clean(catalog, HISTORY_VM, true, true, &cleaned, &error));
        shell(history, "test -f " LINEAGE "20261122T010000Z.vhd");
        json_decref(cleaned.warnings);
        catalog_close(catalog);
        remote_close(faulty);
    }
    history_check(history, 0, 3);
    history_free(history);
}

static void test_everything(void **state)
{
    History *history = three_points();
    assert_refused(history->repo->catalog, history, 3, ERR_STATE, "last readable");
    history_check(history, 0, 3);
    history_free(history);
}

static void test_nothing_newer(void **state)
{
    static const struct {
        const char *harm, *word;
    } rows[] = {
        { "rm .cadenza/manifests/" HISTORY_VM "/" P2 ".json", "manifests" },
        { "printf x >> .cadenza/manifests/" HISTORY_VM "/" P2 ".json", "hash does not match" },
        { "truncate -s -1 " LINEAGE P2 ".vhd", P2 ".vhd" },
        { "cp " LINEAGE P1 ".vhd " LINEAGE P2 ".vhd", P2 ".vhd" },
        { "rm " LINEAGE P2 ".vhd", P2 ".vhd" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        History *history = three_points();
        shell(history, rows[i].harm);
        assert_refused(history->repo->catalog, history, 2, ERR_STATE, rows[i].word);
        const char *chosen[] = { history->paths[0], NULL }; /* a person may */
        assert_true(catalog_delete(history->repo->catalog, HISTORY_VM, chosen, true, NULL));
        history_free(history);
    }
    History *history = three_points(); /* the newest itself */
    const char *newest[] = { history->paths[2], NULL };
    g_autoptr(GError) error = NULL;
    assert_false(catalog_delete(history->repo->catalog, HISTORY_VM, newest, false, &error));
    assert_true(err_is(error, ERR_STATE));
    history_free(history);
}

static gsize clean_warns(History *history)
{
    CatalogCleaned cleaned;
    g_autoptr(GError) error = NULL;
    if (!catalog_clean(history->repo->catalog, HISTORY_VM, true, true, &cleaned, &error))
        fail_msg("%s", error->message);
    gsize n = json_array_size(cleaned.warnings);
    json_decref(cleaned.warnings);
    return n;
}

/* Metadata that vanished, rather than was deleted: its disk stays until a newer backup is verified,
 * and comes back to life with its metadata. */
static void test_lost_metadata(void **state)
{
    History *history = three_points();
    shell(history, "cp " VM P2 ".json kept && rm " VM P2 ".json");
    for (unsigned i = 0; i < 3; i++)
        assert_true(clean_warns(history) > 0); /* each time, not only the first */
    shell(history, "test -f .cadenza/quarantine/" HISTORY_VM "/" P2 ".json");
    shell(history, "cp kept " VM P2 ".json");
    history_check(history, 0, 3);
    shell(history, "rm " VM P2 ".json");
    history_add(history, "2", true, 3);
    assert_int_equal(clean_warns(history), 0);
    g_autofree char *listing = history_listing(history, "");
    assert_null(strstr(listing, P2));
    history_check(history, 0, 3);
    history_free(history);
}

/* All metadata at once: nothing is deleted. */
static void test_lost_folder(void **state)
{
    History *history = three_points();
    shell(history, "mkdir kept && mv " VM "*.json kept");
    assert_true(clean_warns(history) > 0);
    assert_true(clean_warns(history) > 0);
    shell(history, "mv kept/*.json " VM);
    history_check(history, 2, 1);
    history_free(history);
}

static bool delete_dies(History *history, const char *point, unsigned n)
{
    pid_t pid = fork();
    if (pid == 0) {
        const char *paths[4] = { history->paths[2] };
        for (unsigned i = 1; i < n; i++)
            paths[i] = history->paths[2 - i];
        setenv("CADENZA_CRASH", point, 1);
        catalog_delete(history->repo->catalog, HISTORY_VM, paths, true, NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status) == 99;
}

static void test_crashes(void **state)
{
    static const char *const points[] = { "deletion_journaled", "catalog_delete_point",
                                          "catalog_delete_point:2", "deletion_cached",
                                          "deletion_closed" };
    for (unsigned n = 1; n <= 3; n += 2)
        for (unsigned i = 0; i < G_N_ELEMENTS(points); i++) {
            History *history = three_points();
            if (!delete_dies(history, points[i], n)) {
                assert_true(n == 1 && i == 2);
                history_free(history);
                continue;
            }
            assert_int_equal(clean_warns(history), 0);
            history_check(history, 0, n == 1 ? 2 : 0);
            g_autofree char *listing = history_listing(history, "");
            assert_string_equal(listing, n == 1 ? P0 ".vhd " P1 ".vhd" : "");
            shell(history, "test ! -e .cadenza/deletions/" HISTORY_VM ".json");
            history_free(history);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing_failed), cmocka_unit_test(test_everything),
        cmocka_unit_test(test_nothing_newer),  cmocka_unit_test(test_lost_metadata),
        cmocka_unit_test(test_lost_folder),    cmocka_unit_test(test_crashes)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
