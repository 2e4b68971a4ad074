/* The VMs of a backup run: a line of them, and as many threads as the job allows that take from it.
 * One that fails goes to the end of the line as often as the job says; one whose pool failed as
 * often as poolRetries says, each time after a longer pause, to go on where it was. */
#include "run/worker_private.h"

#include "base/error.h"
#include "base/mutant.h"
#include "run/bound.h"

#include <malloc.h>
#include <string.h>

enum { MAX_THREADS = 64, LOCK_WAIT_MS = 30 * 60 * 1000 };
enum { POOL_RETRIES = 4, FIRST_PAUSE_MS = 2000, PAUSE_FACTOR = 3, MAX_PAUSE_MS = 120000 };

typedef struct {
    const char *vm, *pool; /* of the start message */
    unsigned n_tries, n_faults;
    gint64 not_before_us;
} Item;

typedef struct {
    RunWorker *worker;
    WorkContext context;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GQueue *line;
    unsigned n_busy, n_retries, n_pool_retries;
    bool wait;
} Backup;

static double number(json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

/* --- The line --- */

/* The next VM; waits while one that is being done may still come back. NULL at the end. */
static Item *next_item(Backup *backup)
{
    pthread_mutex_lock(&backup->lock);
    while (!backup->line->head && backup->n_busy > 0)
        pthread_cond_wait(&backup->changed, &backup->lock);
    Item *item = cancel_is_set(backup->worker->cancel) ? NULL : g_queue_pop_head(backup->line);
    backup->n_busy += item != NULL;
    pthread_cond_broadcast(&backup->changed);
    pthread_mutex_unlock(&backup->lock);
    return item;
}

static void end_item(Backup *backup, Item *item, bool again)
{
    pthread_mutex_lock(&backup->lock);
    backup->n_busy--;
    if (again)
        g_queue_push_tail(backup->line, item);
    else
        g_free(item);
    pthread_cond_broadcast(&backup->changed);
    pthread_mutex_unlock(&backup->lock);
}

/* --- One VM --- */

static bool back_up(Backup *backup, Item *item, Task *task, GError **error)
{
    RunWorker *worker = backup->worker;
    WorkPool pool;
    if (!worker_pool(worker, item->pool, &pool, error) ||
        !worker_take_lease(worker, item->vm, backup->wait, task, error))
        return false;
    WorkContext context = backup->context;
    g_autoptr(WorkPast) past = item->n_faults ? work_past_read(worker->journal, error) : NULL;
    context.past = past ? past : context.past;
    context.may_go_on = item->n_faults < backup->n_pool_retries;
    bool ok = (past || !item->n_faults) &&
              work_backup_vm(&context, &pool, item->vm, task, NULL, error);
    worker_give_lease(worker, item->vm);
    malloc_trim(0); /* what this VM took goes back, so that the next ones add nothing */
    return ok;
}

static bool may_retry(Backup *backup, Item *item, const GError *error)
{
    bool is_skip = err_is(error, ERR_UNHEALTHY_CHAIN) || err_is(error, ERR_NO_DISKS);
    return item->n_tries <= backup->n_retries && !is_skip && !cancel_is_set(backup->worker->cancel);
}

/* The pause before it is tried again after a fault of the pool; 0: it is not. */
static unsigned next_pause_ms(Backup *backup, Item *item, const GError *error)
{
    unsigned pause_ms = FIRST_PAUSE_MS;
    if (!work_is_pool_fault(error) || item->n_faults >= backup->n_pool_retries ||
        cancel_is_set(backup->worker->cancel))
        return 0;
    for (unsigned i = 0; i < item->n_faults && pause_ms < MAX_PAUSE_MS; i++)
        pause_ms *= PAUSE_FACTOR;
    return MIN(pause_ms, MAX_PAUSE_MS);
}

static void wait_turn(Backup *backup, const Item *item)
{
    while (g_get_monotonic_time() < item->not_before_us && !cancel_is_set(backup->worker->cancel))
        g_usleep(100 * 1000);
}

static void do_item(Backup *backup, Item *item)
{
    g_autoptr(GError) error = NULL;
    json_t *properties = json_pack("{s:s, s:s}", "type", "VM", "id", item->vm);
    Task *task = task_begin(tasklog_root(backup->worker->log), "backup VM", properties);
    wait_turn(backup, item);
    item->n_tries++;
    if (back_up(backup, item, task, &error)) {
        task_end(task, NULL);
        end_item(backup, item, false);
        return;
    }
    unsigned pause_ms = next_pause_ms(backup, item, error);
    bool again = pause_ms || may_retry(backup, item, error);
    if (again)
        task_warning(task, TASKLOG_RETRY_WARNING,
                     json_pack("{s:i, s:s, s:i}", "attempt", (int) item->n_tries, "error",
                               error->message, "pauseMs", (int) pause_ms));
    if (pause_ms) {
        item->not_before_us = g_get_monotonic_time() + pause_ms * 1000ll;
        item->n_faults++;
        item->n_tries--; /* the job's own retries are for other failures */
    }
    task_fail(task, error);
    end_item(backup, item, again);
}

static void *backup_main(void *data)
{
    Backup *backup = data;
    for (Item *item; (item = next_item(backup));)
        do_item(backup, item);
    return NULL;
}

/* --- All of them --- */

static GQueue *make_line(json_t *vms)
{
    GQueue *line = g_queue_new();
    gsize i;
    json_t *vm;
    json_array_foreach (vms, i, vm) {
        Item *item = g_new0(Item, 1);
        item->vm = worker_text(vm, "id");
        item->pool = worker_text(vm, "pool");
        g_queue_push_tail(line, item);
    }
    return line;
}

/* Those that a timeout left in the line are seen to have no backup. */
static void fail_rest(Backup *backup)
{
    Cancel *cancel = backup->worker->cancel;
    for (Item *item; (item = g_queue_pop_head(backup->line)); g_free(item)) {
        g_autoptr(GError) error = NULL;
        cancel_check(cancel, "the run", &error);
        if (!err_is(error, ERR_TIMEOUT) || item->n_tries > 0)
            continue;
        json_t *properties = json_pack("{s:s, s:s}", "type", "VM", "id", item->vm);
        task_fail(task_begin(tasklog_root(backup->worker->log), "backup VM", properties), error);
    }
}

static void run_threads(Backup *backup, unsigned n)
{
    pthread_t threads[MAX_THREADS];
    unsigned n_started = 0;
    while (n_started < n && pthread_create(&threads[n_started], NULL, backup_main, backup) == 0)
        n_started++;
    if (n_started == 0)
        backup_main(backup);
    for (unsigned i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
}

bool worker_backup(RunWorker *worker, GError **error)
{
    json_t *settings = json_object_get(worker->start, "settings");
    bool wait = strcmp(worker_text(settings, "onBusyVm"), "fail") != 0;
    g_autoptr(WorkPast) past = work_past_read(worker->journal, error);
    if (!past)
        return false;
    Backup backup = {
        .worker = worker,
        .context = { .job = json_object_get(worker->start, "job"),
                     .schedule_id = worker_text(worker->start, "scheduleId"),
                     .run_id = worker_text(worker->start, "runId"),
                     .settings = settings,
                     .targets = worker->targets,
                     .n_targets = worker->n_targets,
                     .journal = worker->journal,
                     .past = past,
                     .cancel = worker->cancel,
                     .suspend = worker->suspend,
                     .streams = work_streams_new(run_n_streams(settings)),
                     .throttle = throttle_new((guint64) number(settings, "maxExportRate")),
                     .lock_wait_ms = wait ? LOCK_WAIT_MS : 0 },
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .changed = PTHREAD_COND_INITIALIZER,
        .line = make_line(json_object_get(worker->start, "vms")),
        .n_pool_retries = json_is_number(json_object_get(settings, "poolRetries"))
                              ? (unsigned) CLAMP(number(settings, "poolRetries"), 0, 100)
                              : POOL_RETRIES,
        .n_retries = (unsigned) MIN(number(settings, "nRetriesVmBackupFailures"), 100),
        .wait = wait,
    };
    run_threads(&backup, run_n_vms(settings, g_queue_get_length(backup.line)));
    fail_rest(&backup);
    g_queue_free(backup.line);
    throttle_free(backup.context.throttle);
    work_streams_free(backup.context.streams);
    return cancel_check(worker->cancel, "the run", error);
}
