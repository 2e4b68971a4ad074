/* log.*: entries as XO's journal has them. A run is one record here, with its whole tree of tasks;
 * XO's journal has an entry when it starts and one when it ends, so these are made from it. */
#include "api/method.h"

#include <string.h>

#define RUNS "jobs" /* the name space of runs */

static json_t *entry(const char *level, char *message, json_t *data, json_t *time)
{
    json_t *made = json_pack("{s:s, s:s, s:o, s:s, s:O}", "level", level, "message", message,
                             "data", data, "namespace", RUNS, "time", time);
    g_free(message);
    return made;
}

static void add_start(json_t *entries, const char *id, json_t *run)
{
    json_t *data = json_pack("{s:O*, s:s, s:O*, s:O*, s:O*, s:s}", "data",
                             json_object_get(run, "data"), "event", "job.start", "jobId",
                             json_object_get(run, "jobId"), "jobName",
                             json_object_get(run, "jobName"), "scheduleId",
                             json_object_get(run, "scheduleId"), "type", "backup");
    char *message = g_strdup_printf("Starting execution of %s.",
                                    json_string_value(json_object_get(run, "jobId")));
    json_object_set_new(entries, id, entry("notice", message, data, json_object_get(run, "start")));
}

/* The time as a key that no entry has yet, as XO makes them; caller frees. */
static char *free_key(json_t *entries, json_t *time)
{
    gint64 time_ms = json_integer_value(time), n = 0;
    char *key = g_strdup_printf("%" G_GINT64_FORMAT, time_ms);
    while (json_object_get(entries, key)) {
        g_free(key);
        key = g_strdup_printf("%" G_GINT64_FORMAT ":%" G_GINT64_FORMAT, time_ms, ++n);
    }
    return key;
}

/* XO ends with an error what failed as a whole: its log has a result and no tasks. */
static void add_end(json_t *entries, const char *id, json_t *run)
{
    json_t *end = json_object_get(run, "end"), *result = json_object_get(run, "result");
    bool failed = json_is_object(result) && !json_array_size(json_object_get(run, "tasks"));
    const char *job = json_string_value(json_object_get(run, "jobId"));
    json_t *data = json_pack("{s:s, s:s, s:O*}", "event", "job.end", "runJobId", id, "error",
                             failed ? result : NULL);
    char *message = failed ? g_strdup_printf("The execution of %s has failed.", job)
                           : g_strdup_printf("Execution terminated for %s.", job);
    g_autofree char *key = free_key(entries, end);
    json_object_set_new(entries, key, entry(failed ? "error" : "notice", message, data, end));
}

/* --- Jobs that call methods --- */

static void add_call_job_start(json_t *entries, const char *id, json_t *run)
{
    json_t *about = json_object_get(run, "data");
    json_t *data = json_pack("{s:s, s:O*, s:O*, s:O*, s:O*, s:O*, s:s}", "event", "job.start",
                             "jobId", json_object_get(run, "jobId"), "jobName",
                             json_object_get(run, "jobName"), "key", json_object_get(about, "key"),
                             "scheduleId", json_object_get(run, "scheduleId"), "userId",
                             json_object_get(about, "userId"), "type", "call");
    char *message = g_strdup_printf("Starting execution of %s.",
                                    json_string_value(json_object_get(run, "jobId")));
    json_object_set_new(entries, id, entry("notice", message, data, json_object_get(run, "start")));
}

/* The id of its start names a call. */
static void add_call(json_t *entries, const char *run_id, const char *job, json_t *task)
{
    json_t *about = json_object_get(task, "data"), *end = json_object_get(task, "end");
    json_t *start = json_object_get(task, "start");
    const char *method = json_string_value(json_object_get(about, "method"));
    bool ok = g_strcmp0(json_string_value(json_object_get(task, "status")), "success") == 0;
    g_autofree char *id = free_key(entries, start);
    json_t *data = json_pack("{s:s, s:s, s:O*, s:O*}", "event", "jobCall.start", "runJobId", run_id,
                             "method", json_object_get(about, "method"), "params",
                             json_object_get(about, "params"));
    json_object_set_new(
        entries, id,
        entry("notice", g_strdup_printf("Starting %s call. (%s)", method, job), data, start));
    if (!json_is_integer(end))
        return;
    g_autofree char *end_id = free_key(entries, end);
    data = json_pack("{s:s, s:s, s:s, s:O*}", "event", "jobCall.end", "runJobId", run_id,
                     "runCallId", id, ok ? "returnedValue" : "error",
                     json_object_get(task, "result"));
    char *message = ok ? g_strdup_printf("Call %s (%s) is a success. (%s)", method, id, job)
                       : g_strdup_printf("Call %s (%s) has failed. (%s)", method, id, job);
    json_object_set_new(entries, end_id, entry("notice", message, data, end));
}

static bool add_call_jobs(ApiCall *call, json_t *entries, GError **error)
{
    json_t *runs = runs_call_logs(call_parts(call)->runs, error), *run, *task;
    const char *id;
    size_t i;
    json_object_foreach (runs, id, run)
        add_call_job_start(entries, id, run);
    json_object_foreach (runs, id, run) {
        const char *job = json_string_value(json_object_get(run, "jobId"));
        json_array_foreach (json_object_get(run, "tasks"), i, task)
            add_call(entries, id, job, task);
        if (json_is_integer(json_object_get(run, "end")))
            add_end(entries, id, run);
    }
    bool ok = runs != NULL;
    json_decref(runs);
    return ok;
}

static json_t *of_runs(ApiCall *call, GError **error)
{
    json_t *runs = runs_logs(call_parts(call)->runs, 0, 0, 0, error);
    json_t *entries = runs ? json_object() : NULL;
    const char *id;
    json_t *run;
    json_object_foreach (runs, id, run)
        if (g_strcmp0(json_string_value(json_object_get(run, "message")), "backup") == 0)
            add_start(entries, id, run);
    json_object_foreach (runs, id, run)
        if (json_object_get(entries, id) && json_is_integer(json_object_get(run, "end")))
            add_end(entries, id, run);
    json_decref(runs);
    if (entries && !add_call_jobs(call, entries, error))
        g_clear_pointer(&entries, json_decref);
    return entries;
}

static json_t *get(ApiCall *call, GError **error)
{
    const char *name_space = call_string(call, "namespace");
    if (g_str_equal(name_space, RUNS))
        return of_runs(call, error);
    return store_log_list(call_parts(call)->store, name_space, 0, 0, 0, error);
}

static bool drop(ApiCall *call, json_t *id, GError **error)
{
    const char *name_space = call_string(call, "namespace"), *key = json_string_value(id);
    if (g_str_equal(name_space, RUNS))
        return runs_delete_log(call_parts(call)->runs, key, error);
    return store_log_drop(call_parts(call)->store, name_space, key, error);
}

static json_t *delete_entries(ApiCall *call, GError **error)
{
    json_t *id = call_get(call, "id"), *each;
    size_t i;
    if (json_is_string(id))
        drop(call, id, error);
    json_array_foreach (id, i, each)
        if (!drop(call, each, error))
            break;
    return NULL;
}

const Method methods_log[] = {
    { "log.get", get, PARAMS(REQ(STR("namespace"))), .example = "namespace=jobs",
      .summary = "The entries of a journal, by id: jobs has the runs." },
    { "log.delete", delete_entries,
      PARAMS(REQ(TYPED("id", P_STRING | P_ARRAY), .items = P_STRING), REQ(STR("namespace"))),
      .example = "namespace=api id=$LOG_ENTRY",
      .summary = "Delete entries of a journal; of jobs: the logs of runs." },
    { NULL },
};
