/* The run worker: one process for one run. It is told everything at its start, works, tells every
 * task as it goes, and ends; a hostile image or a defect costs this run only. */
#include "run/worker_private.h"

#include "base/error.h"
#include "base/log.h"
#include "run/bound.h"

#include <string.h>
#include <unistd.h>

enum { START_MS = 60000, SUSPENDED_STATUS = 3 };

static void tell(json_t *event, void *data)
{
    RunWorker *worker = data;
    if (cancel_is_set(worker->suspend))
        return; /* the tasks are the next worker's to end */
    channel_send(worker->channel, json_pack("{s:s, s:O}", "type", "event", "event", event), NULL);
}

/* --- The kinds of runs; each returns its result (may be NULL) --- */

static json_t *do_backup(RunWorker *worker, GError **error)
{
    g_autoptr(GError) no_remote = NULL;
    worker_open_pools(worker);
    /* the failed tasks tell: such a run fails without an error of its own, as in XO */
    if (worker_open_remotes(worker, &no_remote))
        worker_backup(worker, error);
    return NULL;
}

/* Which backup it is, for the log. */
static void describe_point(RunWorker *worker, const char *path)
{
    Task *root = tasklog_root(worker->log);
    json_t *point = catalog_point(worker->targets[0].catalog, path, NULL);
    json_t *job = json_object_get(point, "jobId"), *time = json_object_get(point, "timestamp");
    if (job)
        task_property(root, "jobId", json_incref(job));
    if (time)
        task_property(root, "time", json_incref(time));
    json_decref(point);
}

static void finish(RunWorker *worker, json_t *result, unsigned n_left, const GError *error)
{
    json_t *done = json_pack("{s:s, s:o*, s:i, s:o*}", "type", "done", "result", result, "left",
                             (int) n_left, "error", error ? protocol_error(error) : NULL);
    pthread_mutex_lock(&worker->lock);
    worker->finishing = true;
    pthread_mutex_unlock(&worker->lock);
    channel_send(worker->channel, done, NULL);
}

/* The thread of the restore hangs in its repository: only the end of the process ends that. */
static void end_without(const GError *why, void *worker)
{
    finish(worker, NULL, 1, why);
    _exit(0);
}

static json_t *do_restore(RunWorker *worker, GError **error)
{
    json_t *pools = json_object_get(worker->start, "pools");
    const char *path = worker_text(worker->start, "path");
    WorkContext context = { .run_id = worker_text(worker->start, "runId"),
                            .journal = worker->journal,
                            .cancel = worker->cancel,
                            .patience_ms = worker_patience_ms(worker),
                            .given_up = end_without,
                            .given_up_user = worker };
    WorkPool pool;
    worker_open_pools(worker);
    if (!worker_open_remotes(worker, error) ||
        !worker_pool(worker, worker_text(json_array_get(pools, 0), "id"), &pool, error))
        return NULL;
    describe_point(worker, path);
    return work_restore(
        &context, &pool, &worker->targets[0], path, worker_text(worker->start, "sr"),
        json_object_get(worker->start, "settings"), tasklog_root(worker->log), error);
}

/* What cannot be opened stays in the journal. */
static json_t *do_recover(RunWorker *worker, GError **error)
{
    worker_open_pools(worker);
    worker_open_remotes(worker, NULL);
    return NULL;
}

static const struct {
    const char *name;
    json_t *(*run)(RunWorker *worker, GError **error);
} kinds[] = { { "backup", do_backup }, { "restore", do_restore }, { "recover", do_recover } };

static json_t *do_kind(RunWorker *worker, GError **error)
{
    const char *name = worker_text(worker->start, "kind");
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(name, kinds[i].name) == 0)
            return kinds[i].run(worker, error);
    err_set(error, ERR_UNSUPPORTED, "worker: a run of kind \"%s\"", name);
    return NULL;
}

/* --- The frame --- */

static bool check_version(json_t *start, GError **error)
{
    if (json_integer_value(json_object_get(start, "version")) == PROTOCOL_VERSION)
        return true;
    err_set(error, ERR_TOO_NEW,
            "the server and its worker are of different versions: restart the server");
    return false;
}

static void say_bound(json_t *start)
{
    RunBound bound = run_bound(start);
    log_info("run",
             "memory bound of run %s: %" G_GUINT64_FORMAT " MiB (base %" G_GUINT64_FORMAT
             " MiB, %u streams of %" G_GUINT64_FORMAT " MiB, %u VMs of %" G_GUINT64_FORMAT " MiB)",
             worker_text(start, "runId"), bound.total_bytes >> 20, bound.base_bytes >> 20,
             bound.n_streams, bound.stream_bytes >> 20, bound.n_vms, bound.vm_bytes >> 20);
}

static void do_all(RunWorker *worker)
{
    g_autoptr(GError) error = NULL, unclean = NULL;
    json_t *result = NULL;
    unsigned n_left = 0;
    say_bound(worker->start);
    if (check_version(worker->start, &error) && worker_open_journal(worker, &error))
        result = do_kind(worker, &error);
    if (cancel_is_set(worker->suspend)) {
        worker_close(worker);
        _exit(SUSPENDED_STATUS);
    }
    if (worker->journal && worker->pools && !worker_close_journal(worker, &n_left, &unclean)) {
        n_left = MAX(n_left, 1);
        log_warning("run", "run %s: %s", worker_text(worker->start, "runId"), unclean->message);
    }
    finish(worker, result, n_left, error);
    worker_close(worker);
}

int worker_main(int fd)
{
    g_autoptr(Channel) channel = channel_new(fd);
    g_autoptr(Cancel) cancel = cancel_new(), suspend = cancel_new();
    g_autoptr(TaskLog) log = NULL;
    RunWorker worker = { .channel = channel,
                         .cancel = cancel,
                         .suspend = suspend,
                         .lock = PTHREAD_MUTEX_INITIALIZER,
                         .changed = PTHREAD_COND_INITIALIZER };
    pthread_t listener;
    worker.start = channel_receive(channel, START_MS, NULL);
    if (!worker.start)
        return 2;
    cancel_after(cancel,
                 (gint64) json_number_value(
                     json_object_get(json_object_get(worker.start, "settings"), "timeout")),
                 "timeout");
    worker.answers =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, (GDestroyNotify) json_decref);
    worker.log = log = tasklog_new(worker_text(worker.start, "runId"), "", NULL, 1, tell, &worker);
    tasklog_keep_nothing(log);
    if (pthread_create(&listener, NULL, worker_listen, &worker) != 0)
        return 2;
    do_all(&worker);
    channel_shut(channel);
    pthread_join(listener, NULL);
    g_hash_table_destroy(worker.answers);
    json_decref(worker.start);
    if (worker
            .targets) /* a thread is held by a repository, and would meet what exit() takes away */
        _exit(0);
    return 0;
}
