/* The run worker's parts: what it opened, whom it asks. */
#pragma once

#include "base/cancel.h"
#include "base/tasklog.h"
#include "run/protocol.h"
#include "run/worker.h"
#include "work/work.h"

#include <pthread.h>

typedef struct {
    char *id;
    Xapi *xapi;
    GError *error; /* why it could not be connected */
} OpenPool;

typedef struct {
    json_t *start; /* the server's message */
    Channel *channel;
    Cancel *cancel;
    Cancel *suspend; /* set with cancel: another worker goes on, so nothing is undone or told */
    TaskLog *log;
    Journal *journal;
    GPtrArray *pools;    /* OpenPool */
    WorkTarget *targets; /* those that could be opened */
    unsigned n_targets;
    /* with lock held: */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GHashTable *answers; /* ask id → json_t, the server's latest word on it */
    gint64 last_ask;
    bool finishing; /* the end of the socket is no surprise */
} RunWorker;

/* --- worker_open.c --- */

bool worker_open_journal(RunWorker *worker, GError **error);
void worker_open_pools(RunWorker *worker);
/* A remote that cannot be opened fails as a task; false when none is left. */
/* How long a call to a repository may take. */
unsigned worker_patience_ms(const RunWorker *worker);
bool worker_open_remotes(RunWorker *worker, GError **error);
void worker_close(RunWorker *worker);
/* The connected pool, or NULL with an error. */
bool worker_pool(RunWorker *worker, const char *id, WorkPool *pool, GError **error);
/* Ends what the journal names; removes it when nothing is left. */
bool worker_close_journal(RunWorker *worker, unsigned *n_left, GError **error);

/* --- worker_lease.c --- */

/* The thread that hears the server: cancel, answers, its end. */
void *worker_listen(void *worker);
/* Waits for the VM to be ours; BUSY, CANCELLED. */
bool worker_take_lease(RunWorker *worker, const char *vm, bool wait, Task *task, GError **error);
void worker_give_lease(RunWorker *worker, const char *vm);

/* --- worker_backup.c --- */

bool worker_backup(RunWorker *worker, GError **error);

static inline const char *worker_text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}
