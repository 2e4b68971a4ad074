/* Jobs and schedules: the records that a real XO made from the same requests, validation, settings.
 */
#include "base/error.h"
#include "job/job.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static char *folder;
static Store *store;
static Jobs *jobs;

static int begin(void **state)
{
    folder = scratch_new();
    store = store_open(folder, NULL);
    jobs = jobs_new(store, NULL);
    return 0;
}

static int end(void **state)
{
    jobs_free(jobs);
    store_close(store);
    scratch_drop(folder);
    return 0;
}

static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* Our schedule with the cron and name of XO's. */
static json_t *twin(json_t *ours, json_t *schedule)
{
    gsize i;
    json_t *each;
    json_array_foreach (ours, i, each)
        if (strcmp(text(each, "cron"), text(schedule, "cron")) == 0 &&
            strcmp(text(each, "name"), text(schedule, "name")) == 0)
            return each;
    fail_msg("no schedule %s", text(schedule, "cron"));
    return NULL;
}

static char *replace(char *in, const char *from, const char *to)
{
    g_auto(GStrv) parts = g_strsplit(in, from, -1);
    g_free(in);
    return g_strjoinv(to, parts);
}

static void compare(json_t *fixture)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *id = jobs_create(
        jobs, "backup", json_object_get(json_object_get(fixture, "request"), "params"), &error);
    if (!id)
        fail_msg("%s", error->message);
    json_t *wanted = json_pack("{s:O, s:O}", "job", json_object_get(fixture, "job"), "schedules",
                               json_object_get(fixture, "schedules"));
    json_t *schedules = json_object_get(fixture, "schedules"), *schedule;
    json_t *ours = jobs_list_schedules(jobs, NULL);
    char *dump = json_dumps(wanted, JSON_COMPACT);
    char *expected = g_strdup(dump);
    free(dump);
    gsize i;
    expected = replace(expected, text(json_object_get(fixture, "job"), "id"), id);
    json_array_foreach (schedules, i, schedule)
        expected = replace(expected, text(schedule, "id"), text(twin(ours, schedule), "id"));
    json_decref(wanted);
    wanted = json_loads(expected, 0, NULL);
    json_t *job = jobs_get(jobs, id, "backup", NULL);
    assert_true(json_equal(job, json_object_get(wanted, "job")));
    json_array_foreach (json_object_get(wanted, "schedules"), i, schedule)
        assert_true(json_equal(twin(ours, schedule), schedule));
    assert_int_equal(json_array_size(ours), json_array_size(schedules));
    assert_true(jobs_delete(jobs, id, "backup", NULL));
    json_decref(job);
    json_decref(ours);
    json_decref(wanted);
    g_free(expected);
    ours = jobs_list_schedules(jobs, NULL);
    assert_int_equal(json_array_size(ours), 0);
    json_decref(ours);
}

/* NULL when the fixtures are not there. */
static char *fixtures(void)
{
    const char *root = g_getenv("CADENZA_FIXTURES"), *source = g_getenv("CADENZA_SOURCE");
    char *path = root ? g_build_filename(root, "jobs", NULL)
                      : g_build_filename(source ? source : ".", "..", "shared", "fixtures", "xo",
                                         "jobs", NULL);
    if (!g_file_test(path, G_FILE_TEST_IS_DIR)) {
        print_message("no fixtures in %s (CADENZA_FIXTURES)\n", path);
        g_clear_pointer(&path, g_free);
    }
    return path;
}

static void test_fixtures(void **state)
{
    g_autofree char *path = fixtures();
    const char *name;
    if (!path)
        skip();
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    unsigned n = 0;
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        json_t *fixture = json_load_file(file, 0, NULL);
        if (strcmp(text(json_object_get(fixture, "request"), "method"), "backupNg.createJob") ==
            0) {
            compare(fixture);
            n++;
        }
        json_decref(fixture);
    }
    assert_true(n >= 8);
}

static char *create(const char *params_text, GError **error)
{
    json_t *params = json_loads(params_text, 0, NULL);
    assert_non_null(params);
    char *id = jobs_create(jobs, "backup", params, error);
    json_decref(params);
    return id;
}

static void test_wrong(void **state)
{
    static const struct {
        const char *params, *message;
    } rows[] = {
        { "{\"vms\":{}}", "mode: expected \"full\" or \"delta\"" },
        { "{\"mode\":\"delta\"}", "vms: expected a pattern" },
        { "{\"mode\":\"delta\",\"vms\":{\"__or\":1}}", "vms: pattern: __or must be an array" },
        { "{\"mode\":\"delta\",\"vms\":{},\"remotes\":{\"id\":{\"__not\":\"x\"}}}",
          "remotes: expected" },
        { "{\"mode\":\"delta\",\"vms\":{},\"settings\":{\"\":{\"concurrency\":\"2\"}}}",
          "settings[\"\"].concurrency: expected a number from 0" },
        { "{\"mode\":\"delta\",\"vms\":{},\"settings\":{\"\":{\"onFailureCommand\":\"rm -rf\"}}}",
          "settings[\"\"].onFailureCommand: expected a list of texts" },
        { "{\"mode\":\"full\",\"compression\":\"bz2\",\"vms\":{}}", "compression: expected" },
        { "{\"mode\":\"full\",\"vms\":{},\"schedules\":{\"a\":{\"cron\":\"61 5 * * *\"}}}",
          "schedules[\"a\"]: cron \"61 5 * * *\": minute: 61 is not between 0 and 59" },
        { "{\"mode\":\"full\",\"vms\":{},\"schedules\":{\"a\":{}}}",
          "schedules[\"a\"]: cron: expected" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(create(rows[i].params, &error));
        assert_true(err_is(error, ERR_INVALID));
        if (!g_str_has_prefix(error->message, rows[i].message))
            fail_msg("%s", error->message);
    }
    json_t *none = jobs_list(jobs, NULL, NULL);
    assert_int_equal(json_array_size(none), 0);
    json_decref(none);
    g_autoptr(GError) error = NULL;
    assert_null(jobs_get(jobs, "nope", NULL, &error));
    assert_string_equal(error->message, "no such job nope");
}

static void test_edit(void **state)
{
    g_autofree char *id =
        create("{\"mode\":\"delta\",\"name\":\"a\",\"vms\":{\"id\":\"x\"}}", NULL);
    json_t *changes = json_loads("{\"name\":null,\"mode\":\"full\",\"type\":\"call\"}", 0, NULL);
    assert_true(jobs_edit(jobs, id, "backup", changes, NULL));
    json_decref(changes);
    json_t *job = jobs_get(jobs, id, "backup", NULL);
    assert_null(json_object_get(job, "name"));
    assert_string_equal(text(job, "mode"), "full");
    json_decref(job);
    changes = json_loads("{\"mode\":\"never\"}", 0, NULL);
    assert_false(jobs_edit(jobs, id, "backup", changes, NULL));
    json_decref(changes);
    json_t *params =
        json_pack("{s:s, s:s, s:s}", "jobId", id, "cron", "5 4 * * *", "enabled", "true");
    json_t *schedule = jobs_create_schedule(jobs, params, "user", NULL);
    assert_true(json_is_true(json_object_get(schedule, "enabled")));
    changes = json_pack("{s:s}", "cron", "0 0 31 3 *"); /* 31 April */
    g_autoptr(GError) error = NULL;
    assert_false(jobs_edit_schedule(jobs, text(schedule, "id"), changes, &error));
    assert_non_null(strstr(error->message, "no such date"));
    json_object_set_new(changes, "cron", json_string("@daily"));
    assert_true(jobs_edit_schedule(jobs, text(schedule, "id"), changes, NULL));
    assert_true(jobs_delete_schedule(jobs, text(schedule, "id"), NULL));
    assert_false(jobs_delete_schedule(jobs, text(schedule, "id"), NULL));
    json_object_set_new(params, "jobId", json_string("nope"));
    g_clear_error(&error);
    assert_null(jobs_create_schedule(jobs, params, NULL, &error));
    assert_string_equal(error->message, "no such job nope");
    json_decref(changes);
    json_decref(schedule);
    json_decref(params);
}

static void test_temporary_ids(void **state)
{
    g_autofree char *id =
        create("{\"mode\":\"delta\",\"vms\":{},\"schedules\":{\"a\":{\"cron\":\"@daily\"}},"
               "\"settings\":{\"\":{},\"a\":{\"exportRetention\":7}}}",
               NULL);
    json_t *job = jobs_get(jobs, id, NULL, NULL), *schedules = jobs_list_schedules(jobs, NULL);
    const char *schedule = text(json_array_get(schedules, 0), "id");
    json_t *settings = json_object_get(job, "settings");
    assert_null(json_object_get(settings, "a"));
    json_t *retention = json_object_get(json_object_get(settings, schedule), "exportRetention");
    assert_int_equal(json_integer_value(retention), 7);
    json_decref(schedules);
    json_decref(job);
}

static gint64 setting(json_t *job, json_t *overrides, const char *schedule, const char *vm,
                      const char *target)
{
    json_t *settings = job_settings(job, overrides, schedule, vm, target);
    gint64 value = json_integer_value(json_object_get(settings, "exportRetention"));
    json_decref(settings);
    return value;
}

static void test_settings(void **state)
{
    json_t *job =
        json_loads("{\"settings\":{\"\":{\"exportRetention\":1},\"s\":{\"exportRetention\":2},"
                   "\"v\":{\"exportRetention\":3},\"t\":{\"exportRetention\":4},"
                   "\"n\":{\"exportRetention\":null}}}",
                   0, NULL);
    json_t *overrides = json_loads("{\"\":{\"exportRetention\":9},\"s\":{}}", 0, NULL);
    assert_int_equal(setting(NULL, NULL, NULL, NULL, NULL), 0);
    assert_int_equal(setting(job, NULL, NULL, NULL, NULL), 1);
    assert_int_equal(setting(job, NULL, "other", NULL, NULL), 1);
    assert_int_equal(setting(job, NULL, "s", NULL, NULL), 2);
    assert_int_equal(setting(job, NULL, "s", "v", NULL), 3);
    assert_int_equal(setting(job, NULL, "s", "v", "t"), 4);
    assert_int_equal(setting(job, NULL, "s", "v", "n"), 3);
    assert_int_equal(setting(job, overrides, NULL, NULL, NULL), 9);
    assert_int_equal(setting(job, overrides, "s", NULL, NULL), 2);
    json_decref(job);
    json_decref(overrides);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = { WITH_STORE(test_fixtures), WITH_STORE(test_wrong),
                                        WITH_STORE(test_edit), WITH_STORE(test_temporary_ids),
                                        WITH_STORE(test_settings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
