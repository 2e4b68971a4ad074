/* The server side of runs, with workers that behave as told: logs, errors of whole jobs,
 * cancelling, crashes, leases, the server's own end. */
#include "base/error.h"
#include "fake_worker.h"
#include "run/private.h"
#include "run/repositories_private.h"
#include "run/runs.h"
#include "run/schedules.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char *folder;
static Store *store;
static Jobs *jobs;
static Bus *bus;
static Runs *runs;
static gint n_ended;

static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* --- What the server knows --- */

static json_t *connection_of(const char *id, void *user, GError **error)
{
    if (g_str_has_prefix(id, "vm-") || strcmp(id, "sr") == 0 || strcmp(id, "pool") == 0)
        return json_pack("{s:s, s:s, s:s}", "id", "pool", "host", "127.0.0.1", "password",
                         "secret");
    err_set(error, ERR_NOT_FOUND, "no such object %s", id);
    return NULL;
}

static json_t *object(const char *id, void *user)
{
    return strcmp(id, "p") == 0 ? json_pack("{s:s, s:s}", "id", id, "type", "pool") : NULL;
}

static json_t *vms(void *user)
{
    return json_pack("[{s:s, s:s, s:s, s:[s]}, {s:s, s:s, s:[s]}, {s:s, s:s, s:[s, s]}]", "id",
                     "vm-1", "$pool", "p", "type", "VM", "tags", "prod", "id", "vm-2", "type", "VM",
                     "tags", "test", "id", "vm-3", "type", "VM", "tags", "prod",
                     "xo:no-bak=too big");
}

static json_t *remote(const char *id, void *user, GError **error)
{
    if (strcmp(id, "remote") == 0)
        return json_pack("{s:s, s:s, s:s, s:b}", "id", id, "name", "r", "url", "file:///x",
                         "enabled", 1);
    err_set(error, ERR_NOT_FOUND, "no such remote %s", id);
    return NULL;
}

static void heard_end(const char *topic, json_t *news, void *user)
{
    g_atomic_int_inc(&n_ended);
}

static void open_runs(void)
{
    RunsConfig config = { .store = store,
                          .jobs = jobs,
                          .bus = bus,
                          .folder = folder,
                          .ops = { connection_of, object, vms, remote, NULL } };
    g_autoptr(GError) error = NULL;
    runs = runs_new(&config, &error);
    assert_null(error);
}

static int begin(void **state)
{
    folder = scratch_new();
    store = store_open(folder, NULL);
    bus = bus_new();
    jobs = jobs_new(store, bus);
    bus_add(bus, "run.end", heard_end, NULL);
    n_ended = 0;
    open_runs();
    return 0;
}

static int end(void **state)
{
    runs_free(runs);
    jobs_free(jobs);
    bus_free(bus);
    store_close(store);
    scratch_drop(folder);
    return 0;
}

/* --- Helpers --- */

static char *make_job(const char *name, const char *vms_text, const char *remote_id,
                      const char *more)
{
    g_autofree char *params_text = g_strdup_printf(
        "{\"mode\":\"delta\",\"name\":\"%s\",\"vms\":%s,\"remotes\":{\"id\":\"%s\"},"
        "\"settings\":{\"\":{\"exportRetention\":2%s}}}",
        name, vms_text, remote_id, more);
    json_t *params = json_loads(params_text, 0, NULL);
    g_autoptr(GError) error = NULL;
    char *id = jobs_create(jobs, "backup", params, &error);
    assert_null(error);
    json_decref(params);
    return id;
}

#define TWO_VMS "{\"id\":{\"__or\":[\"vm-1\",\"vm-2\"]}}"

static char *start(const char *job)
{
    g_autoptr(GError) error = NULL;
    char *id = runs_start(runs, job, "", NULL, &error);
    assert_null(error);
    return id;
}

static json_t *task(json_t *log, gsize i)
{
    return json_array_get(json_object_get(log, "tasks"), i);
}

/* --- Tests --- */

static void test_success(void **state)
{
    g_autofree char *job = make_job("ok", TWO_VMS, "remote", "");
    g_autofree char *id = start(job);
    assert_true(runs_wait(runs, id, NULL));
    json_t *log = runs_log(runs, id, NULL);
    assert_string_equal(text(log, "status"), "success");
    assert_string_equal(text(log, "id"), id);
    assert_string_equal(text(log, "jobId"), job);
    assert_string_equal(text(log, "jobName"), "ok");
    assert_string_equal(text(log, "message"), "backup");
    assert_string_equal(text(json_object_get(log, "data"), "mode"), "delta");
    assert_string_equal(text(json_object_get(log, "data"), "reportWhen"), "failure");
    assert_int_equal(json_array_size(json_object_get(log, "tasks")), 2);
    assert_string_equal(text(json_object_get(task(log, 0), "data"), "id"), "vm-1");
    json_t *info = json_array_get(json_object_get(log, "infos"), 0);
    assert_int_equal(json_array_size(json_object_get(json_object_get(info, "data"), "vms")), 2);
    assert_true(json_integer_value(json_object_get(log, "end")) > 0);
    json_t *all = runs_logs(runs, 0, 0, 0, NULL);
    assert_true(json_equal(json_object_get(all, id), log));
    char *dump = json_dumps(all, 0);
    assert_null(strstr(dump, "secret"));
    free(dump);
    json_decref(all);
    json_decref(log);
    for (unsigned i = 0; i < 500 && g_atomic_int_get(&n_ended) == 0; i++)
        g_usleep(10000);
    assert_int_equal(g_atomic_int_get(&n_ended), 1);
    assert_true(runs_delete_log(runs, id, NULL));
    assert_null(runs_log(runs, id, NULL));
}

static char *status_of(const char *id)
{
    json_t *log = runs_log(runs, id, NULL);
    char *status = g_strdup(text(log, "status"));
    json_decref(log);
    return status;
}

static void test_failures(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *job = make_job("one fails", TWO_VMS, "remote", "");
    g_autofree char *id = start(job);
    assert_true(runs_wait(runs, id, NULL)); /* as XO: not an error of the job */
    g_autofree char *status = status_of(id);
    assert_string_equal(status, "failure");
    g_autofree char *unknown_vm =
        make_job("ok", "{\"id\":{\"__or\":[\"vm-1\",\"x\"]}}", "remote", "");
    g_autofree char *second = start(unknown_vm);
    assert_true(runs_wait(runs, second, NULL));
    json_t *log = runs_log(runs, second, NULL);
    assert_string_equal(text(log, "status"), "failure");
    assert_string_equal(text(json_object_get(task(log, 0), "result"), "message"),
                        "no XAPI associated to x");
    json_decref(log);
    g_autofree char *no_remote = make_job("ok", TWO_VMS, "gone", "");
    g_autofree char *third = start(no_remote);
    assert_false(runs_wait(runs, third, &error));
    assert_string_equal(error->message, "couldn't instantiate any remote: no such remote gone");
    g_clear_error(&error);
    g_autofree char *nothing_kept = make_job("ok", TWO_VMS, "remote", ",\"exportRetention\":0");
    g_autofree char *fourth = start(nothing_kept);
    assert_false(runs_wait(runs, fourth, &error));
    assert_true(err_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(runs_start(runs, "nope", "", NULL, &error));
    assert_string_equal(error->message, "no such job nope");
}

static void test_smart(void **state)
{
    g_autofree char *job = make_job("ok", "{\"tags\":[\"prod\"]}", "remote", "");
    g_autofree char *id = start(job);
    assert_true(runs_wait(runs, id, NULL));
    json_t *log = runs_log(runs, id, NULL); /* vm-3 is tagged xo:no-bak */
    assert_int_equal(json_array_size(json_object_get(log, "tasks")), 1);
    json_decref(log);
    g_autofree char *pools = make_job("ok",
                                      "{\"tags\":[\"prod\"],\"$pool\":{\"__and\":[{\"__or\":[\"p\","
                                      "\"gone\"]},{\"__not\":\"q\"}]}}",
                                      "remote", "");
    g_autofree char *missing = start(pools);
    assert_true(runs_wait(runs, missing, NULL));
    log = runs_log(runs, missing, NULL); /* "p" is there, "gone" is not, "q" does not matter */
    assert_int_equal(json_array_size(json_object_get(log, "tasks")), 2);
    assert_string_equal(text(task(log, 0), "message"), "missing pool");
    assert_string_equal(text(json_object_get(task(log, 0), "data"), "id"), "gone");
    assert_string_equal(text(log, "status"), "failure");
    json_decref(log);
    g_autofree char *none = make_job("ok", "{\"tags\":[\"none\"]}", "remote", "");
    g_autofree char *skipped = start(none);
    g_autoptr(GError) error = NULL;
    assert_false(runs_wait(runs, skipped, &error));
    assert_true(err_is(error, ERR_NO_MATCH));
    assert_string_equal(err_detail(error)[1], skipped);
    log = runs_log(runs, skipped, NULL);
    assert_string_equal(text(log, "status"), "skipped");
    json_t *result = json_object_get(log, "result");
    assert_int_equal(json_integer_value(json_object_get(result, "code")), 27);
    assert_string_equal(text(json_object_get(result, "data"), "runJobId"), skipped);
    json_decref(log);
}

static void test_twice_and_cancel(void **state)
{
    g_autofree char *job = make_job("hold", TWO_VMS, "remote", "");
    g_autofree char *first = start(job);
    g_autofree char *second = start(job);
    g_autoptr(GError) error = NULL;
    assert_true(runs_is_going(runs, first));
    assert_false(runs_is_going(runs, second));
    assert_false(runs_wait(runs, second, &error));
    assert_true(err_is(error, ERR_RUNNING));
    g_autofree char *message = g_strdup_printf("the job (%s) is already running", job);
    assert_string_equal(error->message, message);
    assert_false(runs_delete_log(runs, first, NULL));
    assert_true(runs_cancel(runs, first, NULL));
    g_clear_error(&error);
    assert_false(runs_wait(runs, first, &error));
    assert_true(err_is(error, ERR_CANCELLED));
    assert_false(runs_cancel(runs, first, NULL));
    g_autofree char *status = status_of(first);
    assert_string_equal(status, "failure");
}

static void wait_for_file(const char *path)
{
    for (unsigned i = 0; i < 1000 && !g_file_test(path, G_FILE_TEST_EXISTS); i++)
        g_usleep(10000);
}

static void test_crash(void **state)
{
    g_autofree char *mark = g_build_filename(folder, "mark", NULL);
    g_autofree char *command =
        g_strdup_printf(",\"onFailureCommand\":[\"/bin/sh\",\"-c\",\"echo $CADENZA_RUN_ID "
                        "$CADENZA_STATUS > %s.new; mv %s.new %s\"]",
                        mark, mark, mark);
    g_autofree char *job = make_job("crash", TWO_VMS, "remote", command);
    g_autofree char *id = start(job);
    g_autoptr(GError) error = NULL;
    assert_false(runs_wait(runs, id, &error));
    assert_true(err_is(error, ERR_INTERRUPTED));
    assert_non_null(strstr(error->message, "ended with status 7"));
    json_t *log = runs_log(runs, id, NULL);
    assert_string_equal(text(log, "status"), "interrupted");
    assert_string_equal(text(task(log, 0), "status"), "interrupted");
    assert_true(json_integer_value(json_object_get(task(log, 0), "end")) > 0);
    json_decref(log);
    wait_for_file(mark);
    g_autofree char *told = NULL, *expected = g_strdup_printf("%s interrupted\n", id);
    assert_true(g_file_get_contents(mark, &told, NULL, NULL));
    assert_string_equal(told, expected);
    /* the journal is there until somebody cleans up */
    g_autofree char *journal = g_build_filename(folder, "journals", id, NULL);
    assert_true(g_file_test(journal, G_FILE_TEST_EXISTS));
    runs_resume(runs);
    for (unsigned i = 0; i < 3000 && g_file_test(journal, G_FILE_TEST_EXISTS); i++)
        g_usleep(10000);
    assert_false(g_file_test(journal, G_FILE_TEST_EXISTS));
}

static void test_crash_once(void **state)
{
    g_autofree char *job = make_job("crash once", TWO_VMS, "remote", "");
    g_autofree char *id = start(job);
    assert_true(runs_wait(runs, id, NULL));
    json_t *log = runs_log(runs, id, NULL);
    assert_string_equal(text(log, "status"), "success");
    assert_int_equal(json_array_size(json_object_get(log, "tasks")), 3);
    assert_string_equal(text(task(log, 0), "status"), "interrupted");
    json_t *info = json_array_get(json_object_get(log, "infos"), 1);
    assert_string_equal(text(info, "message"), TASKLOG_RESUMED);
    assert_string_equal(text(json_object_get(info, "data"), "reason"),
                        "the worker of this run ended with status 7");
    json_decref(log);
}

static void test_lease(void **state)
{
    g_autofree char *first_job = make_job("lease and hold", TWO_VMS, "remote", "");
    g_autofree char *second_job = make_job("lease", TWO_VMS, "remote", "");
    g_autofree char *third_job = make_job("lease", TWO_VMS, "remote", ",\"onBusyVm\":\"fail\"");
    g_autofree char *first = start(first_job);
    g_usleep(500000); /* it has the VM now */
    g_autofree char *second = start(second_job);
    g_autofree char *third = start(third_job);
    g_autoptr(GError) error = NULL;
    assert_false(runs_wait(runs, third, &error));
    assert_true(err_is(error, ERR_BUSY));
    assert_non_null(strstr(error->message, first));
    assert_true(runs_is_going(runs, second));
    assert_true(runs_cancel(runs, first, NULL));
    assert_true(runs_wait(runs, second, NULL));
    runs_wait(runs, first, NULL);
}

static void test_restore(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *vm =
        runs_restore(runs, "remote//xo-vm-backups/vm-1/20260101T000000Z.json", "sr", NULL, &error);
    assert_string_equal(vm, "new-vm");
    json_t *logs = runs_logs(runs, 0, 0, 0, NULL),
           *log = json_object_iter_value(json_object_iter(logs));
    assert_string_equal(text(log, "message"), "restore");
    assert_string_equal(text(json_object_get(log, "data"), "srId"), "sr");
    assert_string_equal(text(json_object_get(log, "result"), "id"), "new-vm");
    json_decref(logs);
    static const char *const wrong[] = { "", "remote", "remote/x", "//x" };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&error);
        assert_null(runs_restore(runs, wrong[i], "sr", NULL, &error));
        assert_true(err_is(error, ERR_INVALID));
    }
}

static void *wait_main(void *id)
{
    GError *error = NULL;
    runs_wait(runs, id, &error);
    return error;
}

/* The log of a run that goes on by itself, once it has ended. */
static json_t *ended_log(const char *id)
{
    for (unsigned i = 0; i < 1000; i++, g_usleep(10000)) {
        json_t *log = runs_log(runs, id, NULL);
        const char *status = text(log, "status");
        if (strcmp(status, "interrupted") != 0 && strcmp(status, "pending") != 0)
            return log;
        json_decref(log);
    }
    fail_msg("run %s does not go on", id);
    return NULL;
}

static void test_stop_and_resume(void **state)
{
    g_autofree char *job = make_job("hold", TWO_VMS, "remote", "");
    g_autofree char *id = start(job);
    pthread_t thread;
    void *error = NULL;
    pthread_create(&thread, NULL, wait_main, id);
    g_usleep(300000);
    runs_stop(runs);
    pthread_join(thread, &error);
    assert_true(err_is(error, ERR_INTERRUPTED));
    g_error_free(error);
    runs_free(runs);
    open_runs();
    g_autofree char *status = status_of(id);
    assert_string_equal(status, "interrupted");
    json_t *changes = json_pack("{s:s}", "name", "ok");
    jobs_edit(jobs, job, "backup", changes, NULL);
    json_decref(changes);
    runs_resume(runs);
    json_t *log = ended_log(id);
    assert_string_equal(text(log, "status"), "success");
    assert_string_equal(text(json_array_get(json_object_get(log, "infos"), 1), "message"),
                        TASKLOG_RESUMED);
    json_decref(log);
}

/* As after a power cut: a record and a log that nobody ended. */
static void test_found_open(void **state)
{
    g_autofree char *job = make_job("ok", TWO_VMS, "remote", "");
    json_t *log =
        json_loads("{\"status\":\"pending\",\"start\":5,\"infos\":[{\"message\":\"vms\",\"data\":{"
                   "\"vms\":[\"vm-1\",\"vm-2\"]}}],"
                   "\"tasks\":[{\"id\":\"a\",\"message\":\"backup "
                   "VM\",\"start\":5,\"end\":6,\"status\":\"success\",\"data\":"
                   "{\"id\":\"vm-1\"}},"
                   "{\"id\":\"b\",\"message\":\"backup "
                   "VM\",\"start\":5,\"status\":\"pending\",\"data\":{\"id\":\"vm-2\"}}]}",
                   0, NULL);
    g_autofree char *id = store_log_add(store, "jobs", 1795313810797, log, NULL);
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:[s]}", "id", id, "kind", "backup", "jobId",
                               job, "scheduleId", "", "pools", "pool");
    assert_true(store_put(store, "runs", id, record, NULL));
    json_decref(record);
    json_decref(log);
    runs_free(runs);
    open_runs();
    log = runs_log(runs, id, NULL);
    assert_string_equal(text(log, "status"), "interrupted");
    assert_string_equal(text(task(log, 1), "status"), "interrupted");
    assert_string_equal(text(task(log, 0), "status"), "success");
    json_decref(log);
    runs_resume(runs);
    log = ended_log(id);
    assert_string_equal(text(log, "status"), "success");
    assert_int_equal(json_array_size(json_object_get(log, "tasks")), 3); /* vm-1 not again */
    assert_string_equal(text(json_object_get(task(log, 2), "data"), "id"), "vm-2");
    json_decref(log);
}

static void test_schedules(void **state)
{
    g_autofree char *job = make_job("ok", TWO_VMS, "remote", "");
    g_autoptr(Schedules) schedules = schedules_new(jobs, runs, bus);
    json_t *params = json_pack("{s:s, s:s, s:b}", "jobId", job, "cron", "5 4 * * *", "enabled", 1);
    json_t *on = jobs_create_schedule(jobs, params, NULL, NULL);
    json_object_set_new(params, "enabled", json_false());
    json_t *off = jobs_create_schedule(jobs, params, NULL, NULL);
    gint64 next_ms = schedules_next(schedules, text(on, "id"));
    g_autoptr(GDateTime) next = g_date_time_new_from_unix_utc(next_ms / 1000);
    assert_int_equal(g_date_time_get_hour(next), 4);
    assert_int_equal(g_date_time_get_minute(next), 5);
    assert_int_equal(schedules_next(schedules, text(off, "id")), 0);
    assert_true(jobs_delete_schedule(jobs, text(on, "id"), NULL));
    assert_int_equal(schedules_next(schedules, text(on, "id")), 0);
    json_decref(params);
    json_decref(on);
    json_decref(off);
}

static json_t *call(Repositories *repositories, const char *name, GError **error)
{
    json_t *record = json_pack("{s:s, s:s, s:s}", "id", name, "name", name, "url", "file:///x");
    json_t *result = repositories_call(repositories, record, "list", json_object(),
                                       strcmp(name, "dead") == 0 ? 1000 : 30000, error);
    json_decref(record);
    return result;
}

static void test_repositories(void **state)
{
    g_autoptr(Repositories) repositories = repositories_new(NULL);
    g_autoptr(GError) error = NULL;
    json_t *first = call(repositories, "good", &error), *again = call(repositories, "good", &error);
    json_t *other = call(repositories, "other", &error);
    assert_null(error);
    gint64 pid = json_integer_value(json_object_get(first, "pid"));
    assert_int_equal(json_integer_value(json_object_get(again, "pid")), pid);
    assert_int_not_equal(json_integer_value(json_object_get(other, "pid")), pid);
    json_decref(first);
    json_decref(again);
    json_decref(other);
    assert_null(call(repositories, "full", &error));
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_string_equal(error->message, "remote full");
    g_clear_error(&error);
    assert_null(call(repositories, "dead", &error));
    assert_true(err_is(error, ERR_TIMEOUT));
    assert_true(g_str_has_prefix(error->message, "the remote dead does not respond since 20"));
    g_clear_error(&error);
    for (unsigned i = 0; i < 6; i++) { /* each time by another process: the one before hangs */
        assert_null(call(repositories, "stuck", &error));
        assert_string_equal(error->message, "remote stuck: remote full");
        g_clear_error(&error);
    }
    assert_null(call(repositories, "crash", &error));
    assert_true(err_is(error, ERR_INTERNAL));
    json_t *after = call(repositories, "good", NULL); /* the others are not disturbed */
    assert_non_null(after);
    json_decref(after);
}

#define WITH_RUNS(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return fake_worker();
    if (argc > 1 && strcmp(argv[1], "repository-worker") == 0)
        return fake_repository_worker();
    const struct CMUnitTest tests[] = {
        WITH_RUNS(test_success),         WITH_RUNS(test_failures),
        WITH_RUNS(test_smart),           WITH_RUNS(test_twice_and_cancel),
        WITH_RUNS(test_crash),           WITH_RUNS(test_crash_once),
        WITH_RUNS(test_lease),           WITH_RUNS(test_restore),
        WITH_RUNS(test_stop_and_resume), WITH_RUNS(test_found_open),
        WITH_RUNS(test_schedules),       cmocka_unit_test(test_repositories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
