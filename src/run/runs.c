/* The keeper of all runs: starting, waiting, cancelling, stopping. */
#include "run/private.h"

#include "base/durable.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <errno.h>
#include <string.h>

/* --- Runs --- */

Run *run_ref(Run *run)
{
    g_atomic_int_inc(&run->n_refs);
    return run;
}

void run_unref(Run *run)
{
    if (!run || !g_atomic_int_dec_and_test(&run->n_refs))
        return;
    g_free(run->id);
    g_free(run->job_id);
    g_free(run->schedule_id);
    json_decref(run->job);
    json_decref(run->overrides);
    json_decref(run->request);
    json_decref(run->header);
    json_decref(run->result);
    tasklog_free(run->log);
    g_ptr_array_unref(run->channels);
    g_clear_error(&run->error);
    g_free(run);
}

static Run *run_new(Runs *runs, RunKind kind, const char *job_id, const char *schedule_id,
                    json_t *job, json_t *overrides, json_t *request)
{
    Run *run = g_new0(Run, 1);
    run->n_refs = 1;
    run->runs = runs;
    run->kind = kind;
    run->job_id = g_strdup(job_id);
    run->schedule_id = g_strdup(schedule_id ? schedule_id : "");
    run->channels = g_ptr_array_new_with_free_func((GDestroyNotify) channel_free);
    run->job = json_incref(job);
    run->overrides = overrides ? json_deep_copy(overrides) : NULL;
    run->request = request ? json_deep_copy(request) : NULL;
    return run;
}

/* --- The keeper of all --- */

Runs *runs_new(const RunsConfig *config, GError **error)
{
    g_autoptr(Runs) runs = g_new0(Runs, 1);
    runs->config = *config;
    runs->folder = g_build_filename(config->folder, "journals", NULL);
    runs->program = g_strdup(config->program);
    pthread_mutex_init(&runs->beginning, NULL);
    pthread_mutex_init(&runs->lock, NULL);
    pthread_cond_init(&runs->changed, NULL);
    runs->runs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) run_unref);
    runs->ended = g_queue_new();
    runs->leases = leases_new();
    runs->begun_us = g_get_monotonic_time();
    if (!durable_make_folder(runs->folder, 0700, error)) {
        g_prefix_error(error, "journals: ");
        return NULL;
    }
    return keeper_close_interrupted(runs, error) ? g_steal_pointer(&runs) : NULL;
}

/* Tells all workers to stop; lock held. */
static void tell_all(Runs *runs)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, runs->runs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Run *run = value;
        if (run->ended)
            continue;
        run->cancelled_us = run->cancelled_us ? run->cancelled_us : g_get_monotonic_time();
        if (run->channel)
            channel_send(run->channel,
                         json_pack("{s:s}", "type", run->kind == RUN_BACKUP ? "suspend" : "cancel"),
                         NULL);
    }
}

void runs_stop(Runs *runs)
{
    pthread_mutex_lock(&runs->lock);
    runs->stopping = true;
    pthread_cond_broadcast(&runs->changed);
    tell_all(runs);
    while (runs->n_threads > 0 || runs->n_waiting > 0)
        pthread_cond_wait(&runs->changed, &runs->lock);
    bool keeper = runs->keeper_started;
    runs->keeper_started = false;
    pthread_mutex_unlock(&runs->lock);
    if (keeper)
        pthread_join(runs->keeper, NULL);
}

void runs_free(Runs *runs)
{
    if (!runs)
        return;
    runs_stop(runs);
    g_hash_table_destroy(runs->runs);
    g_queue_free_full(runs->ended, g_free);
    leases_free(runs->leases);
    pthread_cond_destroy(&runs->changed);
    pthread_mutex_destroy(&runs->lock);
    pthread_mutex_destroy(&runs->beginning);
    g_free(runs->folder);
    g_free(runs->program);
    g_free(runs);
}

void runs_resume(Runs *runs)
{
    pthread_mutex_lock(&runs->lock);
    if (!runs->keeper_started && !runs->stopping)
        runs->keeper_started = pthread_create(&runs->keeper, NULL, keeper_main, runs) == 0;
    runs->sweep_now = true;
    pthread_cond_broadcast(&runs->changed);
    pthread_mutex_unlock(&runs->lock);
}

/* --- Starting --- */

/* Whether another run of this job goes on; lock held. */
static bool is_running(Runs *runs, const char *job_id)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, runs->runs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Run *run = value;
        if (!run->ended && *job_id && strcmp(run->job_id, job_id) == 0)
            return true;
    }
    return false;
}

/* Enters the table, unless the job runs already or the server stops. */
static bool enter(Run *run, GError **error)
{
    Runs *runs = run->runs;
    pthread_mutex_lock(&runs->lock);
    bool twice = is_running(runs, run->job_id) && !MUTANT(run_twice); /* mutant: run */
    bool stopping = runs->stopping;
    if (!run->resumed || (!twice && !stopping)) /* a refused resumption is nobody's to wait for */
        g_hash_table_replace(runs->runs, g_strdup(run->id), run_ref(run));
    runs->n_threads += !twice && !stopping;
    pthread_mutex_unlock(&runs->lock);
    if (twice)
        err_set(error, ERR_RUNNING, "the job (%s) is already running", run->job_id);
    else if (stopping)
        err_set(error, ERR_STATE, "the server is stopping");
    return !twice && !stopping;
}

static void launch(Run *run)
{
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, run_main, run_ref(run)) != 0)
        g_error("no thread for a run");
    pthread_attr_destroy(&attributes);
}

static void announce(Run *run)
{
    bus_say(run->runs->config.bus, "run.begin",
            json_pack("{s:s, s:s, s:s}", "runId", run->id, "jobId", run->job_id, "scheduleId",
                      run->schedule_id));
}

static char *begin(Run *run, GError **error)
{
    GError *refused = NULL;
    if (!run_log_begin(run, error))
        return NULL;
    announce(run);
    char *id = g_strdup(run->id);
    if (enter(run, &refused))
        launch(run);
    else
        run_finish(run, refused, NULL);
    return id;
}

bool run_continue(Runs *runs, json_t *record, json_t *log, json_t *vms, GError **error)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    const char *schedule = json_string_value(json_object_get(record, "scheduleId"));
    const char *job_id = json_string_value(json_object_get(record, "jobId"));
    json_t *old = json_object_get(record, "overrides");
    json_t *job = jobs_get(runs->config.jobs, job_id, "backup", error);
    if (!job)
        return false;
    json_t *overrides =
        json_pack("{s:O, s:O*}", "vms", vms, "settings", json_object_get(old, "settings"));
    g_autoptr(Run) run = run_new(runs, RUN_BACKUP, job_id, schedule, job, overrides, NULL);
    json_decref(overrides);
    json_decref(job);
    run->resumed = true;
    run->n_resumes = (unsigned) json_integer_value(json_object_get(record, "resumes")) + 1;
    run_log_reopen(run, id, log);
    if (!enter(run, error))
        return false;
    announce(run);
    run_log_store(run, true, true);
    launch(run);
    return true;
}

static bool check_schedule(Runs *runs, const char *schedule_id, GError **error)
{
    if (!schedule_id || !*schedule_id)
        return true;
    json_t *schedule = jobs_get_schedule(runs->config.jobs, schedule_id, error);
    json_decref(schedule);
    return schedule != NULL;
}

static bool kind_of(Runs *runs, json_t *job, RunKind *kind, GError **error)
{
    const char *type = json_string_value(json_object_get(job, "type"));
    *kind = g_strcmp0(type, "call") == 0 ? RUN_CALL : RUN_BACKUP;
    if (g_strcmp0(type, "backup") == 0 || (*kind == RUN_CALL && runs->caller.call))
        return true;
    err_set(error, ERR_UNSUPPORTED, "jobs of type %s are not run", type ? type : "");
    return false;
}

char *runs_start(Runs *runs, const char *job_id, const char *schedule_id, json_t *overrides,
                 GError **error)
{
    if (!check_schedule(runs, schedule_id, error))
        return NULL;
    json_t *job = jobs_get(runs->config.jobs, job_id, NULL, error);
    RunKind kind;
    if (!job || !kind_of(runs, job, &kind, error)) {
        json_decref(job);
        return NULL;
    }
    g_autoptr(Run) run = run_new(runs, kind, job_id, schedule_id, job, overrides, NULL);
    json_decref(job);
    return begin(run, error);
}

void runs_set_caller(Runs *runs, const RunsCaller *caller)
{
    runs->caller = *caller;
}

/* --- Waiting and cancelling --- */

static Run *find(Runs *runs, const char *run_id, GError **error)
{
    pthread_mutex_lock(&runs->lock);
    Run *run = g_hash_table_lookup(runs->runs, run_id);
    run = run ? run_ref(run) : NULL;
    pthread_mutex_unlock(&runs->lock);
    if (!run)
        err_set(error, ERR_NOT_FOUND, "no such run %s", run_id);
    return run;
}

/* The error of a run that has ended, in the words of XO's clients. */
static bool tell_outcome(Run *run, GError **error)
{
    const char *const detail[] = { run->job_id, run->id, run->schedule_id, NULL };
    if (err_is(run->error, ERR_NO_MATCH))
        err_set_detail(error, ERR_NO_MATCH, detail, "no VMs match this pattern");
    else if (run->error)
        g_propagate_error(error, g_error_copy(run->error));
    return run->error == NULL;
}

bool runs_wait(Runs *runs, const char *run_id, GError **error)
{
    g_autoptr(Run) run = find(runs, run_id, error);
    if (!run)
        return false;
    pthread_mutex_lock(&runs->lock);
    runs->n_waiting++;
    while (!run->ended)
        pthread_cond_wait(&runs->changed, &runs->lock);
    runs->n_waiting--;
    pthread_cond_broadcast(&runs->changed);
    pthread_mutex_unlock(&runs->lock);
    return tell_outcome(run, error);
}

bool runs_is_going(Runs *runs, const char *run_id)
{
    g_autoptr(Run) run = find(runs, run_id, NULL);
    pthread_mutex_lock(&runs->lock);
    bool going = run && !run->ended;
    pthread_mutex_unlock(&runs->lock);
    return going;
}

GPtrArray *runs_going(Runs *runs)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer value;
    pthread_mutex_lock(&runs->lock);
    g_hash_table_iter_init(&iter, runs->runs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Run *run = value;
        if (!run->ended)
            g_ptr_array_add(ids, g_strdup(run->id));
    }
    pthread_mutex_unlock(&runs->lock);
    return ids;
}

guint64 runs_resident_bytes(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/statm", (int) pid), *text = NULL;
    unsigned long all = 0, resident = 0;
    if (!g_file_get_contents(path, &text, NULL, NULL) ||
        sscanf(text, "%lu %lu", &all, &resident) != 2)
        return 0;
    return resident * (guint64) sysconf(_SC_PAGESIZE);
}

json_t *runs_workers(Runs *runs)
{
    json_t *workers = json_array();
    GHashTableIter iter;
    gpointer value;
    pthread_mutex_lock(&runs->lock);
    g_hash_table_iter_init(&iter, runs->runs);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Run *run = value;
        if (run->worker == 0)
            continue;
        json_t *worker = run_bound_json(&run->bound);
        json_object_set_new(worker, "runId", json_string(run->id));
        json_object_set_new(worker, "residentBytes",
                            json_integer((json_int_t) runs_resident_bytes(run->worker)));
        json_array_append_new(workers, worker);
    }
    pthread_mutex_unlock(&runs->lock);
    return workers;
}

bool runs_cancel(Runs *runs, const char *run_id, GError **error)
{
    g_autoptr(Run) run = find(runs, run_id, NULL);
    pthread_mutex_lock(&runs->lock);
    bool going = run && !run->ended;
    Channel *channel = going ? run->channel : NULL;
    if (going && !run->cancelled) {
        run->cancelled = true;
        run->cancelled_us = g_get_monotonic_time();
        pthread_cond_broadcast(&runs->changed);
    }
    pthread_mutex_unlock(&runs->lock);
    if (channel)
        channel_send(channel, json_pack("{s:s}", "type", "cancel"), NULL);
    if (!going)
        err_set(error, ERR_NOT_FOUND, "no such run %s, or it has ended", run_id);
    return going;
}

/* --- Restores --- */

char *runs_restore(Runs *runs, const char *backup_id, const char *sr_id, json_t *settings,
                   GError **error)
{
    json_t *request =
        json_pack("{s:s, s:s, s:O*}", "backupId", backup_id, "sr", sr_id, "settings", settings);
    g_autoptr(Run) run = run_new(runs, RUN_RESTORE, "", "", NULL, NULL, request);
    json_decref(request);
    g_autofree char *id = begin(run, error);
    if (!id || !runs_wait(runs, id, error))
        return NULL;
    const char *vm = json_string_value(json_object_get(run->result, "id"));
    if (!vm)
        err_set(error, ERR_INTERNAL, "restore %s: the worker named no VM", id);
    return g_strdup(vm);
}
