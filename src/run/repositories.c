/* Repository workers: per remote a few processes, one call at a time in each, reused for a minute.
 */
#include "run/repositories_private.h"

#include "base/date.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "run/process.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

/* Calls at the same time on a remote, those that hang included. */
enum { MAX_PER_REMOTE = 4, REAP_S = 5, EXIT_MS = 5000, PATIENCE_MS = 300000 };

typedef struct {
    char *remote; /* id and URL: a changed URL is another remote */
    pid_t pid;
    Channel *channel;
    gint64 idle_us;      /* since when; 0: in a call */
    gint64 abandoned_ms; /* since when it does not answer (Unix ms); 0: it does */
} Worker;

struct Repositories {
    char *program;
    pthread_mutex_t lock;
    pthread_cond_t stop;
    GPtrArray *workers;
    pthread_t reaper;
    bool stopping, left;
};

static void worker_free(void *data)
{
    Worker *worker = data;
    channel_free(worker->channel);
    g_free(worker->remote);
    g_free(worker);
}

/* --- Ending workers --- */

/* Whether the process is gone; an idle one is told to go when it is old, or when `all` are. */
static bool reap(Worker *worker, bool all)
{
    int status;
    gint64 idle_us = worker->idle_us ? g_get_monotonic_time() - worker->idle_us : 0;
    if (worker->abandoned_ms)
        return process_wait(worker->pid, 0, &status);
    if (!worker->idle_us || (!all && idle_us < (gint64) REPOSITORIES_IDLE_MS * 1000))
        return false;
    channel_shut(worker->channel);
    if (!process_wait(worker->pid, EXIT_MS, &status)) {
        kill(-worker->pid, SIGKILL);
        worker->abandoned_ms = g_get_real_time() / 1000;
    }
    return worker->abandoned_ms == 0;
}

/* Lock held. */
static void reap_all(Repositories *repositories, bool all)
{
    for (guint i = repositories->workers->len; i-- > 0;)
        if (reap(repositories->workers->pdata[i], all))
            g_ptr_array_remove_index_fast(repositories->workers, i);
}

static void *reaper_main(void *data)
{
    Repositories *repositories = data;
    pthread_mutex_lock(&repositories->lock);
    while (!repositories->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += REAP_S;
        pthread_cond_timedwait(&repositories->stop, &repositories->lock, &until);
        reap_all(repositories, false);
    }
    pthread_mutex_unlock(&repositories->lock);
    return NULL;
}

Repositories *repositories_new(const char *program)
{
    Repositories *repositories = g_new0(Repositories, 1);
    repositories->program = g_strdup(program);
    repositories->workers = g_ptr_array_new_with_free_func(worker_free);
    pthread_mutex_init(&repositories->lock, NULL);
    pthread_cond_init(&repositories->stop, NULL);
    if (pthread_create(&repositories->reaper, NULL, reaper_main, repositories) != 0)
        g_error("no thread for the repositories");
    return repositories;
}

void repositories_free(Repositories *repositories)
{
    if (!repositories)
        return;
    pthread_mutex_lock(&repositories->lock);
    repositories->stopping = true;
    pthread_cond_signal(&repositories->stop);
    pthread_mutex_unlock(&repositories->lock);
    pthread_join(repositories->reaper, NULL);
    reap_all(repositories, true);
    g_ptr_array_unref(repositories->workers);
    pthread_cond_destroy(&repositories->stop);
    pthread_mutex_destroy(&repositories->lock);
    g_free(repositories->program);
    g_free(repositories);
}

void repositories_leave(Repositories *repositories)
{
    pthread_mutex_lock(&repositories->lock);
    repositories->left = true;
    for (guint i = 0; i < repositories->workers->len; i++)
        channel_shut(((Worker *) repositories->workers->pdata[i])->channel);
    pthread_mutex_unlock(&repositories->lock);
}

/* --- Taking one for a call --- */

static void refuse_left(json_t *remote, GError **error)
{
    err_set(error, ERR_INTERRUPTED, "remote %s: the server is stopping and does not wait for it",
            json_text(remote, "name"));
}

static void refuse(json_t *remote, gint64 since_ms, GError **error)
{
    g_autofree char *since = date_format_iso(since_ms);
    err_set(error, ERR_TIMEOUT, "the remote %s does not respond since %s",
            json_text(remote, "name"), since);
}

/* An idle worker of the remote, or NULL; counts all of them and says since when one hangs. */
static Worker *find_idle(Repositories *repositories, const char *name, unsigned *n,
                         gint64 *hangs_ms)
{
    Worker *idle = NULL;
    for (guint i = 0; i < repositories->workers->len; i++) {
        Worker *worker = repositories->workers->pdata[i];
        if (strcmp(worker->remote, name) != 0)
            continue;
        ++*n;
        if (worker->abandoned_ms && (!*hangs_ms || worker->abandoned_ms < *hangs_ms))
            *hangs_ms = worker->abandoned_ms;
        else if (worker->idle_us)
            idle = worker;
    }
    return idle;
}

/* Lock held. */
static Worker *start(Repositories *repositories, const char *name, GError **error)
{
    Worker *worker = g_new0(Worker, 1);
    if (!process_start(repositories->program, "repository-worker", &worker->pid, &worker->channel,
                       error)) {
        g_free(worker);
        return NULL;
    }
    worker->remote = g_strdup(name);
    g_ptr_array_add(repositories->workers, worker);
    return worker;
}

static Worker *take(Repositories *repositories, json_t *remote, GError **error)
{
    g_autofree char *name =
        g_strdup_printf("%s\n%s", json_text(remote, "id"), json_text(remote, "url"));
    unsigned n = 0;
    gint64 hangs_ms = 0;
    pthread_mutex_lock(&repositories->lock);
    reap_all(repositories, false);
    Worker *worker = repositories->left ? NULL : find_idle(repositories, name, &n, &hangs_ms);
    if (repositories->left)
        refuse_left(remote, error);
    else if (!worker && n < MAX_PER_REMOTE)
        worker = start(repositories, name, error);
    else if (!worker && hangs_ms)
        refuse(remote, hangs_ms, error);
    else if (!worker)
        err_set(error, ERR_BUSY, "remote %s: %d calls are going on", json_text(remote, "name"),
                MAX_PER_REMOTE);
    if (worker)
        worker->idle_us = 0;
    pthread_mutex_unlock(&repositories->lock);
    return worker;
}

/* Gives the worker back; one that does not answer any more is killed, and waited for as long as it
 * takes. False when that is no wonder: the server is ending. */
static bool give(Repositories *repositories, Worker *worker, bool answers, gint64 since_ms)
{
    pthread_mutex_lock(&repositories->lock);
    if (answers) {
        worker->idle_us = g_get_monotonic_time();
    } else {
        kill(-worker->pid, SIGKILL);
        worker->abandoned_ms = since_ms;
    }
    bool left = repositories->left;
    pthread_mutex_unlock(&repositories->lock);
    return !left;
}

/* --- Calls --- */

static json_t *ask(Worker *worker, json_t *request, int deadline_ms, GError **error)
{
    json_object_set_new(request, "version", json_integer(PROTOCOL_VERSION));
    return channel_send(worker->channel, json_incref(request), error)
               ? channel_receive(worker->channel, deadline_ms, error)
               : NULL;
}

/* Whether it is done with its repository: false when a call there has not come back. */
static bool is_free(json_t *answer)
{
    return answer && !json_is_true(json_object_get(answer, "stuck"));
}

/* The "result" of the answer, a new reference. */
static json_t *read_answer(json_t *remote, json_t *answer, GError **error)
{
    json_t *problem = json_object_get(answer, "error");
    json_t *result = problem ? NULL : json_incref(json_object_get(answer, "result"));
    if (problem)
        protocol_raise(problem, error);
    else if (!result)
        err_set(error, ERR_INTERNAL, "a repository worker gave no result");
    if (!is_free(answer) && error && *error)
        g_prefix_error(error, "remote %s: ", json_text(remote, "name"));
    json_decref(answer);
    return result;
}

/* `fields` is taken. */
json_t *repositories_call(Repositories *repositories, json_t *remote, const char *name,
                          json_t *fields, int deadline_ms, GError **error)
{
    g_autoptr(GError) problem = NULL;
    gint64 since_ms = g_get_real_time() / 1000;
    Worker *worker = take(repositories, remote, error);
    json_t *answer = NULL;
    bool stays = true;
    if (worker) {
        json_object_set_new(fields, "call", json_string(name));
        json_object_set(fields, "remote", remote);
        /* which call it was, before the deadline says only that there was one */
        json_object_set_new(fields, "patience",
                            json_integer(MIN(deadline_ms / 4 * 3, PATIENCE_MS)));
        answer = ask(worker, fields, deadline_ms, &problem);
        stays = give(repositories, worker, is_free(answer), since_ms);
    }
    json_decref(fields);
    if (answer)
        return read_answer(remote, answer, error);
    if (problem && !stays)
        refuse_left(remote, error);
    else if (err_is(problem, ERR_TIMEOUT))
        refuse(remote, since_ms, error);
    else if (problem)
        err_set(error, ERR_INTERNAL, "remote %s: the process that works on it has ended: %s",
                json_text(remote, "name"), problem->message);
    return NULL;
}

json_t *repositories_list(Repositories *repositories, json_t *remote, json_t **problems,
                          GError **error)
{
    json_t *result =
        repositories_call(repositories, remote, "list", json_object(), REPOSITORIES_LIST_MS, error);
    json_t *points = json_incref(json_object_get(result, "points"));
    if (problems)
        *problems = json_incref(json_object_get(result, "problems"));
    json_decref(result);
    return points;
}

json_t *repositories_metadata(Repositories *repositories, json_t *remote, json_t **problems,
                              GError **error)
{
    json_t *result = repositories_call(repositories, remote, "metadata", json_object(),
                                       REPOSITORIES_LIST_MS, error);
    json_t *backups = json_incref(json_object_get(result, "backups"));
    if (problems)
        *problems = json_incref(json_object_get(result, "problems"));
    json_decref(result);
    return backups;
}

json_t *repositories_test(Repositories *repositories, json_t *remote, GError **error)
{
    return repositories_call(repositories, remote, "test", json_object(), REPOSITORIES_TEST_MS,
                             error);
}

json_t *repositories_space(Repositories *repositories, json_t *remote, GError **error)
{
    return repositories_call(repositories, remote, "space", json_object(), REPOSITORIES_LIST_MS,
                             error);
}

bool repositories_delete(Repositories *repositories, json_t *remote, const char *const *paths,
                         GError **error)
{
    json_t *list = json_array();
    for (; *paths; paths++)
        json_array_append_new(list, json_string(*paths));
    json_t *result = repositories_call(repositories, remote, "delete",
                                       json_pack("{s:o}", "paths", list), REPOSITORIES_DELETE_MS,
                                       error);
    json_decref(result);
    return result != NULL;
}
