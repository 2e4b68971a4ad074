/* The thread of one run on the server's side: wait for a slot, ask the gate, plan, start the
 * worker, listen to it until it is done or dead, end the log. */
#include "run/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

#include <signal.h>
#include <string.h>

enum { POLL_MS = 500, EXIT_MS = 10000, MAX_GATE_DELAY_MS = 60000 };

static bool is_cancelled(Run *run)
{
    pthread_mutex_lock(&run->runs->lock);
    bool cancelled = run->cancelled || run->runs->stopping;
    pthread_mutex_unlock(&run->runs->lock);
    return cancelled;
}

static bool check_cancelled(Run *run, GError **error)
{
    if (!is_cancelled(run))
        return true;
    err_set(error, ERR_CANCELLED, "run %s was cancelled", run->id);
    return false;
}

/* --- Before --- */

static bool take_slot(Run *run, GError **error)
{
    Runs *runs = run->runs;
    pthread_mutex_lock(&runs->lock);
    while (runs->n_running >= RUNS_MAX_ACTIVE && !run->cancelled && !runs->stopping)
        pthread_cond_wait(&runs->changed, &runs->lock);
    bool taken = !run->cancelled && !runs->stopping;
    runs->n_running += taken;
    pthread_mutex_unlock(&runs->lock);
    return taken || check_cancelled(run, error);
}

static void give_slot(Run *run)
{
    pthread_mutex_lock(&run->runs->lock);
    run->runs->n_running--;
    pthread_cond_broadcast(&run->runs->changed);
    pthread_mutex_unlock(&run->runs->lock);
}

static bool pass_gate(Run *run, GError **error)
{
    json_t *about = json_pack("{s:s, s:s, s:s}", "runId", run->id, "jobId", run->job_id,
                              "scheduleId", run->schedule_id);
    GateAnswer answer;
    do {
        unsigned delay_ms = 0;
        answer = gate_ask(run->runs->config.gate, "run.begin", about, &delay_ms, error);
        delay_ms = MIN(delay_ms, MAX_GATE_DELAY_MS);
        for (unsigned i = 0; answer == GATE_DELAY && i < delay_ms && !is_cancelled(run);
             i += POLL_MS)
            g_usleep(POLL_MS * 1000);
    } while (answer == GATE_DELAY && !is_cancelled(run));
    json_decref(about);
    return answer != GATE_VETO && check_cancelled(run, error);
}

/* --- Listening --- */

static void hear_event(Run *run, json_t *event)
{
    if (!tasklog_apply(run->log, event))
        return;
    bus_say(run->runs->config.bus, "run.task",
            json_pack("{s:s, s:O}", "runId", run->id, "event", event));
}

static void hear_ask(Run *run, json_t *message)
{
    leases_ask(run->runs->leases, run, json_integer_value(json_object_get(message, "id")),
               json_text(message, "vm"), json_is_true(json_object_get(message, "wait")));
}

/* True for the last message. */
static bool hear(Run *run, json_t *message)
{
    const char *type = json_text(message, "type");
    if (strcmp(type, "event") == 0)
        hear_event(run, json_object_get(message, "event"));
    else if (strcmp(type, "ask") == 0)
        hear_ask(run, message);
    else if (strcmp(type, "release") == 0)
        leases_release(run->runs->leases, run, json_text(message, "vm"));
    return strcmp(type, "done") == 0;
}

/* Kills a worker that does not heed a cancel. */
static void check_overdue(Run *run, pid_t pid)
{
    pthread_mutex_lock(&run->runs->lock);
    gint64 since_us = run->cancelled_us ? g_get_monotonic_time() - run->cancelled_us : 0;
    int limit_ms = run->runs->stopping ? RUNS_STOP_MS : RUNS_CANCEL_MS;
    pthread_mutex_unlock(&run->runs->lock);
    if (since_us <= (gint64) limit_ms * 1000)
        return;
    log_warning("run", "run %s: its worker did not end %d s after the cancel: killed", run->id,
                limit_ms / 1000);
    kill(-pid, SIGKILL);
}

/* The worker's "done"; NULL when it ended without, or broke the protocol, then with an error. */
static json_t *listen(Run *run, pid_t pid, GError **broken)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        json_t *message = channel_receive(run->channel, POLL_MS, &error);
        if (message && hear(run, message))
            return message;
        json_decref(message);
        if (!message && !err_is(error, ERR_TIMEOUT)) {
            if (!err_is(error, ERR_TRUNCATED))
                g_propagate_error(broken, g_steal_pointer(&error));
            return NULL;
        }
        check_overdue(run, pid);
        run_log_store(run, true, false);
    }
}

/* --- The worker --- */

/* From here on a cancel reaches the worker. */
static void set_channel(Run *run, Channel *channel)
{
    pthread_mutex_lock(&run->runs->lock);
    g_ptr_array_add(run->channels, channel);
    run->channel = channel;
    bool suspended = run->runs->stopping && run->kind == RUN_BACKUP && !run->cancelled;
    bool cancelled = run->cancelled || run->runs->stopping;
    pthread_mutex_unlock(&run->runs->lock);
    if (cancelled)
        channel_send(channel, json_pack("{s:s}", "type", suspended ? "suspend" : "cancel"), NULL);
}

/* Reaps; says how it ended. */
static char *bury(Run *run, pid_t pid)
{
    int status = 0;
    channel_shut(run->channel);
    if (!process_wait(pid, EXIT_MS, &status)) {
        kill(-pid, SIGKILL);
        process_wait(pid, EXIT_MS, &status);
    }
    return process_describe(status);
}

static bool read_done(Run *run, json_t *done, GError **error)
{
    json_t *problem = json_object_get(done, "error");
    run->result = json_incref(json_object_get(done, "result"));
    if (!problem)
        return true;
    protocol_raise(problem, error);
    return false;
}

/* What the server's status tells of it; 0: it has ended. */
static void set_worker(Run *run, pid_t pid)
{
    pthread_mutex_lock(&run->runs->lock);
    run->worker = pid;
    pthread_mutex_unlock(&run->runs->lock);
}

/* `start` is taken. *lost: the worker ended before its work did, and why. */
static bool work(Run *run, json_t *start, char **lost, GError **error)
{
    pid_t pid;
    Channel *channel = NULL;
    if (!process_start(run->runs->program, "worker", &pid, &channel, error)) {
        json_decref(start);
        return false;
    }
    g_autoptr(GError) broken = NULL;
    json_t *done = NULL;
    set_worker(run, pid);
    bool sent = channel_send(channel, start, error);
    set_channel(run, channel);
    if (sent)
        done = listen(run, pid, &broken);
    set_worker(run, 0);
    g_autofree char *how = bury(run, pid);
    leases_drop(run->runs->leases, run);
    if (sent && !done)
        *lost = g_strdup_printf("the worker of this run %s%s%s", how, broken ? ": " : "",
                                broken ? broken->message : "");
    bool ok = done && read_done(run, done, error);
    json_decref(done);
    return ok;
}

/* --- Workers that die --- */

/* Whether the run goes on with another worker. A restore does not: its client gets the error. */
static bool may_go_on(Run *run)
{
    pthread_mutex_lock(&run->runs->lock);
    bool wanted = run->kind == RUN_BACKUP && !run->cancelled && !run->runs->stopping;
    pthread_mutex_unlock(&run->runs->lock);
    return wanted && run->n_resumes++ < RUNS_MAX_RESUMES;
}

/* The VMs of the start message without those that have ended. */
static void leave_out_ended(Run *run, json_t *start)
{
    json_t *view = run_log_view(run, true), *vms = json_array(), *vm;
    gsize i;
    json_array_foreach (json_object_get(start, "vms"), i, vm)
        if (!run_log_has_ended(view, json_text(vm, "id")))
            json_array_append(vms, vm);
    json_object_set_new(start, "vms", vms);
    json_decref(view);
}

/* `start` is taken. A worker that dies is replaced: the next finds its journal. */
static bool work_on(Run *run, json_t *start, char **lost, GError **error)
{
    bool ok;
    while (ok = work(run, json_incref(start), lost, error), *lost && may_go_on(run)) {
        log_warning("run", "run %s: %s: another goes on", run->id, *lost);
        tasklog_interrupt(run->log, *lost);
        leave_out_ended(run, start);
        run_log_store(run, true, true);
        g_clear_pointer(lost, g_free);
    }
    json_decref(start);
    return ok;
}

/* --- The whole --- */

/* Before anything is touched: by its log a run goes on after a power cut. */
static void sync_log(Run *run)
{
    g_autoptr(GError) error = NULL;
    if (!store_log_sync(run->runs->config.store, &error))
        log_warning("run", "log of run %s: %s", run->id, error->message);
}

static bool run_all(Run *run, char **lost, GError **error)
{
    if (run->kind == RUN_CALL) /* takes no slot: it may wait for runs that do */
        return pass_gate(run, error) && run_calls(run, error);
    if (!take_slot(run, error))
        return false;
    bool ok = pass_gate(run, error);
    json_t *start =
        ok ? (run->kind == RUN_RESTORE ? plan_restore(run, error) : plan_backup(run, error)) : NULL;
    run_log_store(run, true, true);
    if (start) {
        sync_log(run);
        run->bound = run_bound(start);
    }
    ok = start && work_on(run, start, lost, error);
    give_slot(run);
    return ok;
}

static bool is_stopping(Run *run)
{
    pthread_mutex_lock(&run->runs->lock);
    bool stopping = run->runs->stopping && !run->cancelled;
    pthread_mutex_unlock(&run->runs->lock);
    return stopping;
}

char *run_status(Run *run, const char *lost)
{
    json_t *view = run_log_view(run, false);
    char *status = g_strdup(lost ? "interrupted" : json_text(view, "status"));
    json_decref(view);
    return status;
}

static void announce_end(Run *run, const char *status)
{
    bus_say(run->runs->config.bus, "run.end",
            json_pack("{s:s, s:s, s:s, s:s}", "runId", run->id, "jobId", run->job_id, "scheduleId",
                      run->schedule_id, "status", status));
}

/* The error is taken. */
static void set_ended(Run *run, GError *error)
{
    Runs *runs = run->runs;
    pthread_mutex_lock(&runs->lock);
    run->error = error;
    run->ended = true;
    g_queue_push_tail(runs->ended, g_strdup(run->id));
    if (g_queue_get_length(runs->ended) > RUNS_REMEMBERED) {
        g_autofree char *oldest = g_queue_pop_head(runs->ended);
        g_hash_table_remove(runs->runs, oldest);
    }
    pthread_cond_broadcast(&runs->changed);
    pthread_mutex_unlock(&runs->lock);
}

void run_finish(Run *run, GError *error, const char *lost)
{
    run_log_end(run, error, lost);
    g_autofree char *status = run_status(run, lost);
    if (!error && lost)
        err_set(&error, ERR_INTERRUPTED, "run %s: %s", run->id, lost);
    log_info("run", "run %s of job %s: %s%s%s", run->id, run->job_id, status, error ? ": " : "",
             error ? error->message : "");
    store_log_trim(run->runs->config.store, run_log_name_space(run), RUNS_KEPT_LOGS, NULL);
    set_ended(run, error);
    announce_end(run, status);
}

void *run_main(void *data)
{
    Run *run = data;
    Runs *runs = run->runs;
    GError *error = NULL;
    g_autofree char *lost = NULL;
    bool ok = run_all(run, &lost, &error);
    if (is_stopping(run) && (lost || !ok)) {
        g_free(lost);
        lost = g_strdup("the server was stopped during this run");
        g_clear_error(&error);
    }
    bool resumes = lost && is_stopping(run);
    keeper_mark(runs, run->id, resumes);
    run_finish(run, error, lost);
    if (run->kind == RUN_BACKUP && !resumes)
        run_failure_command(run, lost);
    run_unref(run);
    pthread_mutex_lock(&runs->lock);
    runs->n_threads--;
    runs->sweep_now = true;
    pthread_cond_broadcast(&runs->changed);
    pthread_mutex_unlock(&runs->lock);
    return NULL;
}
