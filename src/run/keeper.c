/* What dead runs left. Each run has a record in the collection "runs" from its plan until its
 * journal is gone. After a crash, of a worker or of the server, the keeper lets a worker end what
 * the journal names, again and again until nothing is left; a run that the server's end
 * interrupted goes on, under its own id and log, with the VMs that it had not finished. */
#include "run/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"
#include "journal/journal.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
    SWEEP_S = 300,
    SOON_S = 1,
    MAX_LOST = 10, /* clean-ups in a row that died, before the next waits for SWEEP_S */
    POOLS_WAIT_S = 600,
    RECOVER_MS = 600000,
    LOOK_MS = 500,
    EXIT_MS = 10000,
    STOP_MS = 2000, /* the same at the end of the server */
};

/* --- Records --- */

/* Those of before stay: the journal may name them. */
static json_t *united(json_t *old, json_t *more)
{
    json_t *all = json_array(), *id, *known;
    json_t *const both[] = { old, more };
    gsize i, j;
    for (gsize k = 0; k < G_N_ELEMENTS(both); k++)
        json_array_foreach (both[k], i, id) {
            bool twice = false;
            json_array_foreach (all, j, known)
                twice = twice || json_equal(known, id);
            if (!twice)
                json_array_append(all, id);
        }
    return all;
}

bool keeper_put(Run *run, json_t *pools, json_t *remotes, GError **error)
{
    json_t *old = store_get(run->runs->config.store, "runs", run->id, NULL);
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:i, s:O*}", "id", run->id,
                               "kind", run->kind == RUN_RESTORE ? "restore" : "backup", "jobId",
                               run->job_id, "scheduleId", run->schedule_id, "pools",
                               united(json_object_get(old, "pools"), pools), "remotes",
                               united(json_object_get(old, "remotes"), remotes), "interrupted", 0,
                               "resumes", (int) run->n_resumes, "overrides", run->overrides);
    bool ok = store_put(run->runs->config.store, "runs", run->id, record, error);
    json_decref(old);
    json_decref(record);
    return ok;
}

void keeper_drop(Runs *runs, const char *run_id)
{
    g_autoptr(GError) error = NULL;
    if (!store_drop(runs->config.store, "runs", run_id, NULL, &error))
        log_warning("run", "record of run %s: %s", run_id, error->message);
}

void keeper_mark(Runs *runs, const char *run_id, bool interrupted)
{
    json_t *record = store_get(runs->config.store, "runs", run_id, NULL);
    g_autofree char *journal = run_journal_path(runs, run_id);
    bool clean = access(journal, F_OK) != 0 || MUTANT(keeper_forgets); /* mutant: run:test_crash */
    if (record && !interrupted && clean) {
        keeper_drop(runs, run_id);
    } else if (record) {
        json_object_set_new(record, "interrupted", json_boolean(interrupted));
        store_put(runs->config.store, "runs", run_id, record, NULL);
    }
    json_decref(record);
}

/* --- At start --- */

/* `record` may be NULL: the run had not come to have one. */
static void close_log(Runs *runs, const char *name_space, const char *id, json_t *record)
{
    g_autoptr(GError) error = NULL;
    json_t *log = store_log_get(runs->config.store, name_space, id, &error);
    if (log && tasklog_close_interrupted(log, g_get_real_time() / 1000,
                                         "the server ended unexpectedly during this run")) {
        json_object_set_new(record, "interrupted", json_true());
        if (record)
            store_put(runs->config.store, "runs", id, record, NULL);
        store_log_set(runs->config.store, name_space, id, log, &error);
        log_warning("run", "run %s was interrupted", id);
    }
    if (error)
        log_warning("run", "log of run %s: %s", id, error->message);
    json_decref(log);
}

/* The newest logs, that none stays open for ever for want of a record. */
static void close_strays(Runs *runs, const char *name_space)
{
    json_t *logs = store_log_list(runs->config.store, name_space, 0, 0, RUNS_REMEMBERED, NULL),
           *log;
    const char *id;
    json_object_foreach (logs, id, log)
        if (!json_object_get(log, "end"))
            close_log(runs, name_space, id, NULL);
    json_decref(logs);
}

bool keeper_close_interrupted(Runs *runs, GError **error)
{
    json_t *records = store_list(runs->config.store, "runs", error), *record;
    gsize i;
    json_array_foreach (records, i, record)
        close_log(runs, "jobs", json_text(record, "id"), record);
    bool ok = records != NULL;
    json_decref(records);
    close_strays(runs, "jobs");
    close_strays(runs, "calls");
    return ok;
}

/* --- Recovering --- */

static bool is_going(Runs *runs, const char *id)
{
    pthread_mutex_lock(&runs->lock);
    Run *run = g_hash_table_lookup(runs->runs, id);
    bool going = run && !run->ended;
    pthread_mutex_unlock(&runs->lock);
    return going;
}

static json_t *connections(Runs *runs, json_t *record)
{
    const RunsOps *ops = &runs->config.ops;
    json_t *list = json_array(), *id;
    gsize i;
    json_array_foreach (json_object_get(record, "pools"), i, id) {
        json_t *pool = ops->connection_of(json_string_value(id), ops->user, NULL);
        if (pool)
            json_array_append_new(list, pool);
    }
    return list;
}

static bool is_stopping(Runs *runs)
{
    pthread_mutex_lock(&runs->lock);
    bool stopping = runs->stopping;
    pthread_mutex_unlock(&runs->lock);
    return stopping;
}

/* The worker's next message; NULL when none comes in time, or the server ends. */
static json_t *hear(Runs *runs, Channel *channel, GError **error)
{
    for (gint64 left_ms = RECOVER_MS;; left_ms -= LOOK_MS) {
        g_autoptr(GError) failure = NULL;
        json_t *message = channel_receive(channel, LOOK_MS, &failure);
        if (message)
            return message;
        if (err_is(failure, ERR_TIMEOUT) && left_ms > LOOK_MS && !is_stopping(runs))
            continue;
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
}

/* Talks to the worker until it is done; the number of things still open, or -1. */
static gint64 converse(Runs *runs, Channel *channel, json_t *start, GError **error)
{
    gint64 left = -1;
    if (!channel_send(channel, start, error))
        return -1;
    for (json_t *message; left < 0 && (message = hear(runs, channel, error));) {
        bool done = strcmp(json_text(message, "type"), "done") == 0;
        json_t *problem = json_object_get(message, "error");
        if (done && problem)
            protocol_raise(problem, error);
        else if (done)
            left = json_integer_value(json_object_get(message, "left"));
        json_decref(message);
        if (done)
            break;
    }
    return left;
}

/* A remote that was removed is told as gone: nothing can be cleaned there any more. */
static json_t *places(Runs *runs, json_t *record)
{
    const RunsOps *ops = &runs->config.ops;
    json_t *list = json_array(), *id;
    gsize i;
    json_array_foreach (json_object_get(record, "remotes"), i, id) {
        g_autoptr(GError) error = NULL;
        json_t *remote = ops->remote(json_string_value(id), ops->user, &error);
        if (!remote && err_is(error, ERR_NOT_FOUND))
            remote = json_pack("{s:O, s:b}", "id", id, "gone", 1);
        if (remote)
            json_array_append_new(list, remote);
    }
    return list;
}

static gint64 recover(Runs *runs, json_t *record, const char *journal, GError **error)
{
    pid_t pid;
    int status;
    g_autoptr(Channel) channel = NULL;
    if (!process_start(runs->program, "worker", &pid, &channel, error))
        return -1;
    json_t *start = json_pack("{s:s, s:i, s:s, s:s, s:s, s:o, s:o}", "type", "start", "version",
                              PROTOCOL_VERSION, "kind", "recover", "runId", json_text(record, "id"),
                              "journal", journal, "pools", connections(runs, record), "remotes",
                              places(runs, record));
    gint64 left = converse(runs, channel, start, error);
    channel_shut(channel);
    if (!process_wait(pid, is_stopping(runs) ? STOP_MS : EXIT_MS, &status)) {
        kill(-pid, SIGKILL);
        process_wait(pid, EXIT_MS, &status);
    }
    return left;
}

/* --- Resuming --- */

/* The VMs that the run had chosen and that have not ended. */
static json_t *unfinished(json_t *log)
{
    json_t *vms = json_array(), *info, *vm;
    gsize i, j;
    json_array_foreach (json_object_get(log, "infos"), i, info)
        if (strcmp(json_text(info, "message"), "vms") == 0)
            json_array_foreach (json_object_get(json_object_get(info, "data"), "vms"), j, vm)
                if (json_is_string(vm) && !run_log_has_ended(log, json_string_value(vm)))
                    json_array_append(vms, vm);
    return vms;
}

/* Whether a run of before goes on now; false when it cannot. */
static bool resume(Runs *runs, json_t *record)
{
    const char *id = json_text(record, "id");
    json_t *log = store_log_get(runs->config.store, "jobs", id, NULL), *vms = unfinished(log);
    gint64 n_resumes = json_integer_value(json_object_get(record, "resumes"));
    bool wanted = json_array_size(vms) > 0 && n_resumes < RUNS_MAX_RESUMES;
    g_autoptr(GError) error = NULL;
    bool going = wanted && run_continue(runs, record, log, vms, &error);
    if (going)
        log_info("run", "run %s goes on with %zu VMs", id, json_array_size(vms));
    else if (wanted)
        log_warning("run", "run %s cannot go on: %s", id, error->message);
    else if (json_array_size(vms) > 0)
        log_warning("run", "run %s was interrupted %d times: it is given up", id, RUNS_MAX_RESUMES);
    json_decref(vms);
    json_decref(log);
    return going;
}

static bool wants_resume(json_t *record)
{
    return json_is_true(json_object_get(record, "interrupted")) &&
           strcmp(json_text(record, "kind"), "backup") == 0;
}

/* The pools it works with may need some time to be connected; not for ever. */
static bool has_pools(Runs *runs, json_t *record)
{
    const RunsOps *ops = &runs->config.ops;
    json_t *id;
    gsize i;
    if (g_get_monotonic_time() - runs->begun_us > POOLS_WAIT_S * G_USEC_PER_SEC)
        return true;
    json_array_foreach (json_object_get(record, "pools"), i, id) {
        json_t *pool = ops->connection_of(json_string_value(id), ops->user, NULL);
        json_decref(pool);
        if (!pool)
            return false;
    }
    return true;
}

/* --- The thread --- */

static bool is_held(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) journal = journal_open(path, &error);
    return !journal && err_is(error, ERR_BUSY);
}

/* A clean-up that was itself killed is tried again soon, a number of times. */
static bool was_lost(Runs *runs, const GError *error)
{
    bool lost = err_is(error, ERR_TRUNCATED);
    runs->n_lost = lost ? runs->n_lost + 1 : 0;
    return lost && runs->n_lost <= MAX_LOST && !MUTANT(keeper_gives_up); /* mutant: run */
}

/* True when it is to be tried again soon: the worker that is dying still holds its journal, or its
 * pool is not there yet. */
static bool sweep_one(Runs *runs, json_t *record)
{
    const char *id = json_text(record, "id");
    g_autofree char *journal = run_journal_path(runs, id);
    g_autoptr(GError) error = NULL;
    bool left_any = access(journal, F_OK) == 0;
    if ((left_any && is_held(journal)) || (wants_resume(record) && !has_pools(runs, record)))
        return true;
    if (wants_resume(record) && resume(runs, record))
        return false;
    gint64 left = left_any ? recover(runs, record, journal, &error) : 0;
    if (error)
        log_warning("run", "cleaning up after run %s: %s", id, error->message);
    if (left > 0)
        log_warning("run", "cleaning up after run %s: %" G_GINT64_FORMAT " things are still open",
                    id, left);
    if (left == 0)
        keeper_drop(runs, id);
    bool lost = left_any && was_lost(runs, error);
    return left != 0 && (lost || err_is(error, ERR_BUSY));
}

static bool sweep(Runs *runs)
{
    bool soon = false;
    json_t *records = store_list(runs->config.store, "runs", NULL), *record;
    gsize i;
    json_array_foreach (records, i, record)
        if (!is_stopping(runs) && !is_going(runs, json_text(record, "id")))
            soon |= sweep_one(runs, record);
    json_decref(records);
    return soon;
}

void *keeper_main(void *data)
{
    Runs *runs = data;
    pthread_mutex_lock(&runs->lock);
    while (!runs->stopping) {
        runs->sweep_now = false;
        pthread_mutex_unlock(&runs->lock);
        bool soon = sweep(runs);
        pthread_mutex_lock(&runs->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += soon ? SOON_S : SWEEP_S;
        while (!runs->stopping && !runs->sweep_now &&
               pthread_cond_timedwait(&runs->changed, &runs->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&runs->lock);
    return NULL;
}
