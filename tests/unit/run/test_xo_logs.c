/* Logs that XO wrote, kept here: each reads back as it was, also after a restart. Skipped without
 * the fixtures (CADENZA_FIXTURES). Those of restores have ids of XO's store of tasks, which is not
 * kept here. */
#include "run/runs.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    Store *store;
    Jobs *jobs;
    Runs *runs;
} Place;

static Place place_open(const char *folder)
{
    Place place = { .store = store_open(folder, NULL) };
    place.jobs = jobs_new(place.store, NULL);
    RunsConfig config = { .store = place.store, .jobs = place.jobs, .folder = folder };
    place.runs = runs_new(&config, NULL);
    assert_non_null(place.runs);
    return place;
}

static void place_close(Place *place)
{
    runs_free(place->runs);
    jobs_free(place->jobs);
    store_close(place->store);
}

static void drop(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            g_rmdir(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

/* {id: log}; NULL without fixtures. */
static json_t *recorded(void)
{
    const char *fixtures = g_getenv("CADENZA_FIXTURES"), *source = g_getenv("CADENZA_SOURCE");
    g_autofree char *beside =
        g_build_filename(source ? source : ".", "..", "shared", "fixtures", "xo", NULL);
    g_autofree char *path =
        g_build_filename(fixtures ? fixtures : beside, "logs", "_all-logs.json", NULL);
    json_t *logs = json_load_file(path, 0, NULL), *inside = json_object_get(logs, "result");
    if (!inside)
        return logs;
    json_incref(inside);
    json_decref(logs);
    return inside;
}

static unsigned compare(Place *place, json_t *logs)
{
    const char *id;
    json_t *log;
    unsigned n = 0;
    json_object_foreach (logs, id, log) {
        if (!g_ascii_isdigit(id[0]) || strlen(id) != strspn(id, "0123456789"))
            continue;
        json_t *kept = runs_log(place->runs, id, NULL);
        if (!json_equal(kept, log))
            fail_msg("log %s", id);
        json_decref(kept);
        n++;
    }
    return n;
}

static void test_kept(void **state)
{
    json_t *logs = recorded(), *log;
    const char *id;
    if (!logs) {
        print_message("no fixtures: set CADENZA_FIXTURES\n");
        skip();
    }
    g_autofree char *folder = g_dir_make_tmp("cadenza-xo-logs-XXXXXX", NULL);
    Place place = place_open(folder);
    json_object_foreach (logs, id, log)
        store_log_set(place.store, "jobs", id, log, NULL);
    unsigned n = compare(&place, logs);
    place_close(&place);
    place = place_open(folder);
    assert_int_equal(compare(&place, logs), n);
    json_t *all = runs_logs(place.runs, 0, 0, 0, NULL);
    assert_int_equal(json_object_size(all), n);
    assert_true(n > 10);
    print_message("%u of %zu logs of XO\n", n, json_object_size(logs));
    json_decref(all);
    place_close(&place);
    drop(folder);
    json_decref(logs);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kept) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
