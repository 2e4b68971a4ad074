/* What the worker hears from the server, and the leases it asks for. When the server goes, a backup
 * is left as it stands, for another worker; a restore is cancelled and gets a minute to clean up.
 */
#include "run/worker_private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ORPHAN_S = 60, LEASE_S = 3600 /* longest wait for a VM that another run holds */ };

/* The message belongs to the table, then to the thread that asked: never to two threads. */
static void keep_answer(RunWorker *worker, json_t *message)
{
    gint64 id = json_integer_value(json_object_get(message, "id"));
    pthread_mutex_lock(&worker->lock);
    g_hash_table_replace(worker->answers, g_memdup2(&id, sizeof id), message);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static void stop_all(RunWorker *worker, bool to_go_on)
{
    if (to_go_on)
        cancel_set(worker->suspend);
    cancel_set(worker->cancel);
    pthread_mutex_lock(&worker->lock);
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

static bool is_finishing(RunWorker *worker)
{
    pthread_mutex_lock(&worker->lock);
    bool finishing = worker->finishing;
    pthread_mutex_unlock(&worker->lock);
    return finishing;
}

static void outlive_server(RunWorker *worker)
{
    log_warning("run", "run %s: the server has gone: stopping",
                worker_text(worker->start, "runId"));
    stop_all(worker, strcmp(worker_text(worker->start, "kind"), "backup") == 0);
    for (unsigned i = 0; i < ORPHAN_S && !is_finishing(worker); i++)
        sleep(1);
    if (!is_finishing(worker))
        _exit(3);
}

void *worker_listen(void *data)
{
    RunWorker *worker = data;
    for (json_t *message; (message = channel_receive(worker->channel, -1, NULL));) {
        bool suspend = strcmp(worker_text(message, "type"), "suspend") == 0;
        if (!suspend && strcmp(worker_text(message, "type"), "cancel") != 0) {
            keep_answer(worker, message);
            continue;
        }
        json_decref(message);
        stop_all(worker, suspend);
    }
    if (!is_finishing(worker))
        outlive_server(worker);
    return NULL;
}

/* --- Leases --- */

static bool ask(RunWorker *worker, gint64 id, const char *vm, bool wait, GError **error)
{
    return channel_send(worker->channel,
                        json_pack("{s:s, s:I, s:s, s:b}", "type", "ask", "id", (json_int_t) id,
                                  "vm", vm, "wait", wait),
                        error);
}

/* The lock is held. In slices: the run's time can be over without a word. */
static void wait_a_second(RunWorker *worker)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    pthread_cond_timedwait(&worker->changed, &worker->lock, &until);
}

/* The next word on an ask, a new reference; NULL when cancelled or the deadline has passed. */
static json_t *next_word(RunWorker *worker, gint64 id, gint64 until_us)
{
    gpointer key = NULL, word = NULL;
    pthread_mutex_lock(&worker->lock);
    while (!g_hash_table_steal_extended(worker->answers, &id, &key, &word) &&
           g_get_monotonic_time() < until_us && !cancel_is_set(worker->cancel))
        wait_a_second(worker);
    pthread_mutex_unlock(&worker->lock);
    g_free(key);
    return word;
}

static bool decide(RunWorker *worker, const char *vm, json_t *answer, GError **error)
{
    json_t *problem = json_object_get(answer, "error");
    if (answer && !problem)
        return true;
    if (problem) {
        protocol_raise(problem, error);
        return false;
    }
    worker_give_lease(worker, vm);
    if (!cancel_check(worker->cancel, "waiting for a VM that another run backs up", error))
        err_set(error, ERR_BUSY, "VM %s: another run still backs it up after %d minutes", vm,
                LEASE_S / 60);
    return false;
}

bool worker_take_lease(RunWorker *worker, const char *vm, bool wait, Task *task, GError **error)
{
    gint64 until_us = g_get_monotonic_time() + (gint64) LEASE_S * G_USEC_PER_SEC;
    pthread_mutex_lock(&worker->lock);
    gint64 id = ++worker->last_ask;
    pthread_mutex_unlock(&worker->lock);
    if (!ask(worker, id, vm, wait, error))
        return false;
    json_t *word = next_word(worker, id, until_us);
    while (word && strcmp(worker_text(word, "type"), "waiting") == 0) {
        task_info(task, "waiting for another run that backs up this VM",
                  json_pack("{s:s}", "runId", worker_text(word, "holder")));
        json_decref(word);
        word = next_word(worker, id, until_us);
    }
    bool ok = decide(worker, vm, word, error);
    json_decref(word);
    return ok;
}

void worker_give_lease(RunWorker *worker, const char *vm)
{
    channel_send(worker->channel, json_pack("{s:s, s:s}", "type", "release", "vm", vm), NULL);
}
