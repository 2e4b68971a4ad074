/* Opening and closing what a run works with. */
#include "run/worker_private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

bool worker_open_journal(RunWorker *worker, GError **error)
{
    worker->journal = journal_open(worker_text(worker->start, "journal"), error);
    return worker->journal != NULL;
}

/* --- Pools --- */

static void open_pool_free(void *data)
{
    OpenPool *pool = data;
    xapi_free(pool->xapi);
    g_clear_error(&pool->error);
    g_free(pool->id);
    g_free(pool);
}

static HttpTrust trust_of(json_t *record)
{
    if (*worker_text(record, "fingerprint"))
        return HTTP_TRUST_FINGERPRINT;
    return json_is_true(json_object_get(record, "allowUnauthorized")) ? HTTP_TRUST_ANY
                                                                      : HTTP_TRUST_SYSTEM;
}

static OpenPool *open_pool(json_t *record, Cancel *cancel)
{
    OpenPool *pool = g_new0(OpenPool, 1);
    XapiConfig config = {
        .host = worker_text(record, "host"),
        .username = worker_text(record, "username"),
        .password = worker_text(record, "password"),
        .trust = trust_of(record),
        .fingerprint = worker_text(record, "fingerprint"),
    };
    pool->id = g_strdup(worker_text(record, "id"));
    pool->xapi = xapi_new(&config);
    if (!xapi_login_cancellable(pool->xapi, cancel, &pool->error))
        g_prefix_error(&pool->error, "pool %s: ", pool->id);
    return pool;
}

void worker_open_pools(RunWorker *worker)
{
    gsize i;
    json_t *record;
    worker->pools = g_ptr_array_new_with_free_func(open_pool_free);
    json_array_foreach (json_object_get(worker->start, "pools"), i, record)
        g_ptr_array_add(worker->pools, open_pool(record, worker->cancel));
}

/* One that could not be reached may be there by now. */
static bool use_pool(RunWorker *worker, OpenPool *open, WorkPool *pool, GError **error)
{
    pthread_mutex_lock(&worker->lock);
    if (open->error && work_is_pool_fault(open->error)) {
        g_clear_error(&open->error);
        if (!xapi_login_cancellable(open->xapi, worker->cancel, &open->error))
            g_prefix_error(&open->error, "pool %s: ", open->id);
    }
    if (open->error)
        g_propagate_error(error, g_error_copy(open->error));
    *pool = (WorkPool){ .id = open->id, .xapi = open->xapi };
    bool ok = open->error == NULL;
    pthread_mutex_unlock(&worker->lock);
    return ok;
}

bool worker_pool(RunWorker *worker, const char *id, WorkPool *pool, GError **error)
{
    for (guint i = 0; i < worker->pools->len; i++) {
        OpenPool *open = worker->pools->pdata[i];
        if (strcmp(open->id, id) != 0)
            continue;
        return use_pool(worker, open, pool, error);
    }
    err_set(error, ERR_NOT_FOUND, "pool %s is not connected", id);
    return false;
}

/* --- Remotes --- */

enum { STALL_MS = 300000, MIN_PATIENCE_MS = 5000 };

/* stallTimeout, but a disk that others keep busy may take some seconds over a name. */
unsigned worker_patience_ms(const RunWorker *worker)
{
    json_t *settings = json_object_get(worker->start, "settings");
    double stall_ms = json_number_value(json_object_get(settings, "stallTimeout"));
    return (unsigned) CLAMP(stall_ms > 0 ? stall_ms : STALL_MS, MIN_PATIENCE_MS, G_MAXINT);
}

static bool open_remote(RunWorker *worker, json_t *record, WorkTarget *target, GError **error)
{
    target->id = worker_text(record, "id");
    target->name = worker_text(record, "name");
    target->n_stuck = g_new0(int, 1);
    if (json_is_true(json_object_get(record, "gone")))
        return true;
    target->remote =
        remote_open_patient(worker_text(record, "url"), worker_patience_ms(worker), error);
    target->catalog = target->remote ? catalog_open(target->remote, error) : NULL;
    if (!target->catalog) {
        g_clear_pointer(&target->remote, remote_close);
        g_clear_pointer(&target->n_stuck, g_free);
        return false;
    }
    if (strcmp(worker_text(worker->start, "kind"), "restore") == 0)
        remote_read_unwatched(target->remote);
    catalog_set_cancel(target->catalog, worker->cancel);
    catalog_set_suspend(target->catalog, worker->suspend);
    return true;
}

bool worker_open_remotes(RunWorker *worker, GError **error)
{
    json_t *records = json_object_get(worker->start, "remotes"), *record;
    g_autoptr(GError) last = NULL;
    gsize i;
    worker->targets = g_new0(WorkTarget, json_array_size(records) + 1);
    json_array_foreach (records, i, record) {
        g_clear_error(&last);
        if (open_remote(worker, record, &worker->targets[worker->n_targets], &last)) {
            worker->n_targets++;
            continue;
        }
        json_t *properties =
            json_pack("{s:s, s:s}", "type", "remote", "id", worker_text(record, "id"));
        task_fail(task_begin(tasklog_root(worker->log), "get remote adapter", properties), last);
    }
    if (worker->n_targets == 0)
        g_propagate_error(error, g_steal_pointer(&last));
    return worker->n_targets > 0;
}

/* --- Closing --- */

static bool recover(RunWorker *worker, unsigned *n_left, GError **error)
{
    g_autofree WorkPool *pools = g_new0(WorkPool, worker->pools->len + 1);
    unsigned n = 0;
    for (guint i = 0; i < worker->pools->len; i++) {
        OpenPool *open = worker->pools->pdata[i];
        if (!open->error)
            pools[n++] = (WorkPool){ .id = open->id, .xapi = open->xapi };
    }
    return work_recover(worker->journal, pools, n, worker->targets, worker->n_targets, n_left,
                        error);
}

bool worker_close_journal(RunWorker *worker, unsigned *n_left, GError **error)
{
    *n_left = 0;
    bool ok = recover(worker, n_left, error);
    Journal *journal = g_steal_pointer(&worker->journal);
    if (ok && *n_left == 0)
        return journal_end(journal, error);
    journal_close(journal);
    return ok;
}

/* False when a thread is still stuck in it: the end of the process ends it. */
static bool close_target(WorkTarget *target)
{
    if (g_atomic_int_get(target->n_stuck) > 0 ||
        (target->remote && remote_is_stuck(target->remote)))
        return false;
    catalog_close(target->catalog);
    remote_close(target->remote);
    g_free(target->n_stuck);
    return true;
}

void worker_close(RunWorker *worker)
{
    bool all_closed = true;
    for (unsigned i = 0; i < worker->n_targets; i++)
        all_closed = close_target(&worker->targets[i]) && all_closed;
    if (all_closed)
        g_clear_pointer(&worker->targets, g_free);
    if (worker->pools)
        g_ptr_array_unref(worker->pools);
    journal_close(worker->journal);
}
