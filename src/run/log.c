/* The log of a run: the tree of tasks under the run's own fields, in the store while it goes on. */
#include "run/private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

#define NAMESPACE "jobs"
#define CALLS     "calls" /* of jobs that call methods: XO shows them in its journal alone */

static gint64 now_ms(void)
{
    return g_get_real_time() / 1000;
}

static const char *kind_name(const Run *run)
{
    return run->kind == RUN_RESTORE ? "restore" : run->kind == RUN_CALL ? "call" : "backup";
}

const char *run_log_name_space(const Run *run)
{
    return run->kind == RUN_CALL ? CALLS : NAMESPACE;
}

/* {mode, reportWhen} of a backup, {backupId, srId} of a restore. */
static json_t *data_of(Run *run)
{
    if (run->kind == RUN_RESTORE)
        return json_pack("{s:O*, s:O*}", "backupId", json_object_get(run->request, "backupId"),
                         "srId", json_object_get(run->request, "sr"));
    if (run->kind == RUN_CALL)
        return json_pack("{s:s, s:O*, s:O*, s:O*}", "type", "call", "key",
                         json_object_get(run->job, "key"), "method",
                         json_object_get(run->job, "method"), "userId",
                         json_object_get(run->job, "userId"));
    json_t *settings = job_settings(run->job, run->overrides, run->schedule_id, NULL, NULL);
    json_t *data = json_pack("{s:O*, s:O*}", "mode", json_object_get(run->job, "mode"),
                             "reportWhen", json_object_get(settings, "reportWhen"));
    json_decref(settings);
    return data;
}

static json_t *header_of(Run *run)
{
    if (run->kind == RUN_RESTORE)
        return json_object();
    return json_pack("{s:s, s:O*, s:s*}", "jobId", run->job_id, "jobName",
                     json_object_get(run->job, "name"), "scheduleId",
                     *run->schedule_id ? run->schedule_id : NULL);
}

/* A key that is free in both name spaces: ids of runs are unique among all. Its time is
 * *start_ms. */
static char *add_log(Run *run, json_t *first, gint64 *start_ms, GError **error)
{
    Store *store = run->runs->config.store;
    const char *other = run->kind == RUN_CALL ? NAMESPACE : CALLS;
    char *id;
    bool taken;
    pthread_mutex_lock(&run->runs->beginning);
    do {
        json_object_set_new(first, "start", json_integer(*start_ms));
        id = store_log_add(store, run_log_name_space(run), *start_ms, first, error);
        json_t *twin = id ? store_log_get(store, other, id, NULL) : NULL;
        taken = twin != NULL;
        json_decref(twin);
        if (taken) {
            store_log_drop(store, run_log_name_space(run), id, NULL);
            g_free(id);
            ++*start_ms;
        }
    } while (taken);
    pthread_mutex_unlock(&run->runs->beginning);
    return id;
}

bool run_log_begin(Run *run, GError **error)
{
    gint64 start_ms = now_ms();
    run->header = header_of(run);
    json_t *first = json_deep_copy(run->header);
    json_object_set_new(first, "message", json_string(kind_name(run)));
    json_object_set_new(first, "status", json_string("pending"));
    run->id = add_log(run, first, &start_ms, error);
    json_decref(first);
    if (!run->id)
        return false;
    run->log = tasklog_new(run->id, kind_name(run), data_of(run), start_ms, NULL, NULL);
    tasklog_spool(run->log, run->runs->folder);
    return true;
}

void run_log_reopen(Run *run, const char *id, json_t *stored)
{
    run->id = g_strdup(id);
    run->header = header_of(run);
    run->log = tasklog_reopen(id, stored, run->runs->folder);
}

static bool will_be_tried_again(json_t *task)
{
    gsize i;
    json_t *warning;
    json_array_foreach (json_object_get(task, "warnings"), i, warning)
        if (g_strcmp0(json_string_value(json_object_get(warning, "message")),
                      TASKLOG_RETRY_WARNING) == 0)
            return true;
    return false;
}

bool run_log_has_ended(json_t *log, const char *vm)
{
    gsize i;
    json_t *task;
    json_array_foreach (json_object_get(log, "tasks"), i, task) {
        const char *id = json_string_value(json_object_get(json_object_get(task, "data"), "id"));
        const char *status = json_string_value(json_object_get(task, "status"));
        bool ended = g_strcmp0(status, "success") == 0 || g_strcmp0(status, "failure") == 0 ||
                     g_strcmp0(status, "skipped") == 0;
        if (g_strcmp0(id, vm) == 0 && ended && !will_be_tried_again(task) &&
            !MUTANT(keeper_resumes_done)) /* mutant: run */
            return true;
    }
    return false;
}

json_t *run_log_view(Run *run, bool running)
{
    json_t *view = tasklog_view(run->log, running);
    json_object_update(view, run->header);
    return view;
}

static void store_text(Run *run, const char *text)
{
    g_autoptr(GError) error = NULL;
    if (!store_log_set_text(run->runs->config.store, run_log_name_space(run), run->id, text,
                            &error))
        log_warning("run", "log of run %s: %s", run->id, error->message);
}

/* A long log takes long to store: at most a twentieth of the time goes into it. */
void run_log_store(Run *run, bool running, bool now)
{
    gint64 start_us = g_get_monotonic_time();
    gint64 pause_us = MAX((gint64) RUNS_LOG_MS * 1000, run->storing_us * 20);
    if (!now && start_us - run->stored_us < pause_us)
        return;
    g_autofree char *text = tasklog_text(run->log, running, run->header);
    store_text(run, text);
    run->stored_us = g_get_monotonic_time();
    run->storing_us = run->stored_us - start_us;
}

/* What XO's clients expect of the errors that concern the whole job. */
static json_t *result_of(Run *run, const GError *error)
{
    json_t *result = tasklog_error(error);
    if (err_is(error, ERR_NO_MATCH)) {
        json_object_set_new(result, "code", json_integer(27));
        json_object_set_new(result, "name", json_string("XoError"));
        json_object_set_new(result, "data",
                            json_pack("{s:s, s:s, s:s}", "jobId", run->job_id, "runJobId", run->id,
                                      "scheduleId", run->schedule_id));
    }
    return result;
}

void run_log_end(Run *run, const GError *error, const char *interrupted)
{
    if (interrupted) {
        json_t *view = run_log_view(run, false);
        tasklog_close_interrupted(view, now_ms(), interrupted);
        char *text = json_dumps(view, JSON_COMPACT);
        store_text(run, text ? text : "{}");
        free(text);
        json_decref(view);
        return;
    }
    json_t *event = json_pack("{s:s, s:s, s:I, s:s, s:o*}", "id", run->id, "type", "end",
                              "timestamp", (json_int_t) now_ms(), "status",
                              error ? "failure" : "success", "result",
                              error ? result_of(run, error) : json_incref(run->result));
    tasklog_apply(run->log, event);
    json_decref(event);
    run_log_store(run, false, true);
}

/* --- Reading --- */

static Run *find_going(Runs *runs, const char *id)
{
    pthread_mutex_lock(&runs->lock);
    Run *run = g_hash_table_lookup(runs->runs, id);
    run = run && !run->ended ? run_ref(run) : NULL;
    pthread_mutex_unlock(&runs->lock);
    return run;
}

/* Logs of before have no id. */
static json_t *stored_log(Runs *runs, const char *name_space, const char *id, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *stored = store_log_get(runs->config.store, name_space, id, &failure);
    if (stored)
        json_object_set_new(stored, "id", json_string(id));
    else if (err_is(failure, ERR_NOT_FOUND))
        err_set(error, ERR_NOT_FOUND, "no such log %s", id);
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return stored;
}

static json_t *log_in(Runs *runs, const char *name_space, const char *id, GError **error)
{
    Run *run = find_going(runs, id);
    if (!run)
        return stored_log(runs, name_space, id, error);
    json_t *log = run_log_view(run, true);
    run_unref(run);
    return log;
}

json_t *runs_log(Runs *runs, const char *id, GError **error)
{
    return log_in(runs, NAMESPACE, id, error);
}

char *runs_log_text(Runs *runs, const char *id, GError **error)
{
    Run *run = find_going(runs, id);
    json_t *stored = run ? NULL : stored_log(runs, NAMESPACE, id, error);
    char *text = run      ? tasklog_text(run->log, true, run->header)
                 : stored ? json_dumps(stored, JSON_COMPACT)
                          : NULL;
    json_decref(stored);
    run_unref(run);
    return text;
}

GPtrArray *runs_log_ids(Runs *runs, gint64 after_ms, gint64 before_ms, GError **error)
{
    return store_log_keys(runs->config.store, NAMESPACE, after_ms, before_ms, error);
}

/* Those of the ids, but for the oldest that are over the limit (0: none is). */
static json_t *logs_in(Runs *runs, const char *name_space, GPtrArray *ids, unsigned limit)
{
    json_t *logs = ids ? json_object() : NULL;
    for (unsigned i = ids && limit && ids->len > limit ? ids->len - limit : 0; ids && i < ids->len;
         i++) {
        g_autoptr(GError) failure = NULL;
        json_t *log = log_in(runs, name_space, ids->pdata[i], &failure);
        if (log)
            json_object_set_new(logs, ids->pdata[i], log);
        else if (!err_is(failure, ERR_NOT_FOUND)) /* deleted since */
            log_warning("run", "log %s: %s", (char *) ids->pdata[i], failure->message);
    }
    return logs;
}

json_t *runs_logs(Runs *runs, gint64 after_ms, gint64 before_ms, unsigned limit, GError **error)
{
    g_autoptr(GPtrArray) ids = runs_log_ids(runs, after_ms, before_ms, error);
    return logs_in(runs, NAMESPACE, ids, limit);
}

json_t *runs_call_logs(Runs *runs, GError **error)
{
    g_autoptr(GPtrArray) ids = store_log_keys(runs->config.store, CALLS, 0, 0, error);
    return logs_in(runs, CALLS, ids, 0);
}

bool runs_delete_log(Runs *runs, const char *id, GError **error)
{
    Run *run = find_going(runs, id);
    if (run) {
        run_unref(run);
        err_set(error, ERR_STATE, "run %s is going on: its log cannot be deleted", id);
        return false;
    }
    return store_log_drop(runs->config.store, CALLS, id, error) &&
           store_log_drop(runs->config.store, NAMESPACE, id, error);
}
