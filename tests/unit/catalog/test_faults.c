/* A clean-up whose storage fails at any one operation: nothing is lost, and the next one ends it.
 */
#include "history.h"

#include "base/error.h"
#include "remote/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *const modes[] = { NULL, "useVhdDirectory=true" };

/* 0 full, then deltas; the disk grows at point 2. */
static History *four_points(const char *options)
{
    History *history = history_new(options, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    history_add(history, "35", false, 6);
    history_add(history, "05", false, 6);
    return history;
}

static bool fails_at(const char *options, unsigned nth)
{
    RemoteFault plan = { .nth = nth, .room_bytes = -1 };
    History *history = four_points(options);
    history_delete(history, 0);
    history_delete(history, 3);
    g_autofree char *url = g_strdup_printf("file://%s", history->repo->folder);
    g_autoptr(Remote) faulty = remote_new_faulty(remote_open(url, NULL), &plan);
    Catalog *catalog = catalog_open(faulty, NULL);
    CatalogCleaned cleaned;
    g_autoptr(GError) error = NULL;
    bool ok = catalog_clean(catalog, HISTORY_VM, true, true, &cleaned, &error);
    if (!ok)
        assert_non_null(error);
    json_decref(cleaned.warnings);
    catalog_close(catalog);
    history_check(history, 1, 2);
    history_check_names(history);
    history_clean(history, NULL);
    history_check(history, 1, 2);
    g_autofree char *listing = history_listing(history, "");
    assert_null(strstr(listing, "021659Z"));
    history_free(history);
    return plan.n_seen >= nth;
}

static void test_failures(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        unsigned nth = 1;
        while (fails_at(modes[m], nth))
            nth += 1 + nth / 6;
        assert_true(nth > 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_failures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
