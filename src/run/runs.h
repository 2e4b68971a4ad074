/* Runs of jobs and restores: one run from start to report, each in a worker process of its own.
 *
 * The server side: it picks the VMs, gives the worker what it needs (secrets only over its socket),
 * folds what the worker tells into the log, keeps it in the store (namespace "jobs", consolidated
 * in XO's shape), grants leases of VMs, and says "run.begin", "run.task" and "run.end" on the bus.
 * A run is resumed, or closed as interrupted with the reason, when the server finds it unfinished
 * at start. Thread-safe. */
#pragma once

#include "base/bus.h"
#include "base/gate.h"
#include "job/job.h"
#include "store/store.h"

#include <sys/types.h>

typedef struct Runs Runs;

enum {
    RUNS_MAX_ACTIVE = 64,   /* runs at the same time; more wait */
    RUNS_LOG_MS = 2000,     /* a live log is stored at most this often */
    RUNS_KEPT_LOGS = 20000, /* older ones are dropped */
    RUNS_CANCEL_MS = 30000, /* a worker that does not end after a cancel is killed */
    RUNS_STOP_MS = 10000, /* the same at the end of the server: what it did goes on with the next */
};

/* What the server knows and this room may not include. Called from any thread; new references. */
typedef struct {
    /* {"id": pool uuid, "host", "username", "password", "allowUnauthorized": bool, "fingerprint"?}
     * of the connected pool that holds the object (VM, SR), or NULL: NOT_FOUND. */
    json_t *(*connection_of)(const char *object_id, void *user, GError **error);
    /* XO's view of an object, or NULL. */
    json_t *(*object)(const char *id, void *user);
    /* XO's views of all VMs (type "VM"), an array. */
    json_t *(*vms)(void *user);
    /* {"id", "name", "url" (clear), "enabled"}; NOT_FOUND "no such remote <id>". */
    json_t *(*remote)(const char *id, void *user, GError **error);
    void *user;
} RunsOps;

typedef struct {
    Store *store;
    Jobs *jobs;
    Bus *bus;            /* may be NULL */
    Gate *gate;          /* may be NULL */
    const char *folder;  /* data folder: journals live in <folder>/journals */
    const char *program; /* NULL: /proc/self/exe */
    RunsOps ops;
} RunsConfig;

/* What a room to the right fills in once, before anything is run: how jobs call methods. */
typedef struct {
    /* Runs a method as this user, blocking; *result is its value, or with false the error as the
     * user sees it {code, message, data?}: a new reference. From any thread. */
    bool (*call)(const char *user_id, const char *method, json_t *params, json_t **result,
                 void *user);
    /* XO's views of all objects that match a pattern, an array. */
    json_t *(*objects)(json_t *pattern, void *user);
    void *user;
} RunsCaller;
/* Without it, jobs of type "call" are UNSUPPORTED. */
void runs_set_caller(Runs *runs, const RunsCaller *caller);

/* Closes what an earlier server left open. The config is copied, what it points at is not. */
Runs *runs_new(const RunsConfig *config, GError **error);
/* The server is ending: from now on runs_start is refused, and every runs_wait and runs_restore,
 * also those that wait now, returns with INTERRUPTED within RUNS_STOP_MS; what ran is resumed by
 * the next start. Returns when none of them is inside any more, so that runs_free may follow. */
void runs_stop(Runs *runs);
/* Stops when still running, then frees. */
void runs_free(Runs *runs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Runs, runs_free)
/* Cleans up after dead runs, now and every five minutes, and starts those again that the server's
 * end interrupted, for the VMs they had not finished (once). Call when the pools are connected. */
void runs_resume(Runs *runs);

/* Starts a run of a job of type "backup" or "call" and returns its id (decimal ms) at once. Errors
 * before there is a run: NOT_FOUND (job, schedule), INVALID, UNSUPPORTED (other types). A run that
 * ends at once (RUNNING, NO_MATCH, no remote) has a log too: runs_wait tells. `overrides`: {"vms":
 * [ids]?, "settings": {}?}, borrowed, may be NULL. */
char *runs_start(Runs *runs, const char *job_id, const char *schedule_id, json_t *overrides,
                 GError **error);
/* Blocks until the run has ended. True also when it failed for some VMs, as XO; false for an error
 * of the whole job: RUNNING, NO_MATCH (details: job, run, schedule id), STATE, CANCELLED. */
bool runs_wait(Runs *runs, const char *run_id, GError **error);
bool runs_is_going(Runs *runs, const char *run_id);
/* The ids of those that have not ended, also of those that wait for their turn; strings to free
 * with the array. */
GPtrArray *runs_going(Runs *runs);
/* The workers that are busy: [{runId, residentBytes, boundBytes, baseBytes, streams, streamBytes,
 * vms, vmBytes}]; the bound is a promise (run/bound.h). */
json_t *runs_workers(Runs *runs);
/* What a process has in memory; 0 when it is gone. */
guint64 runs_resident_bytes(pid_t pid);
/* Streams stop within 5 s; returns at once. NOT_FOUND when no such run is going on. */
bool runs_cancel(Runs *runs, const char *run_id, GError **error);

/* Restores "<remote id>//xo-vm-backups/…json" to an SR: the new VM's uuid, or NULL. Blocks.
 * `settings`: XO's (mapVdisSrs, newMacAddresses, …), borrowed, may be NULL. */
char *runs_restore(Runs *runs, const char *backup_id, const char *sr_id, json_t *settings,
                   GError **error);

/* The logs of jobs that call methods, live ones included: {id: log}; each call is a task whose data
 * has the method and its parameters. */
json_t *runs_call_logs(Runs *runs, GError **error);
/* Consolidated logs, live ones included: {id: log}, those with after_ms <= start < before_ms (0:
 * open), the newest `limit` (0: all). */
json_t *runs_logs(Runs *runs, gint64 after_ms, gint64 before_ms, unsigned limit, GError **error);
/* The ids of those, oldest first; strings to free with the array. */
GPtrArray *runs_log_ids(Runs *runs, gint64 after_ms, gint64 before_ms, GError **error);
/* One log; NOT_FOUND. */
json_t *runs_log(Runs *runs, const char *run_id, GError **error);
/* The same as JSON text. Of a run that is going on it takes little more than the text itself:
 * people look at a run often, and its log grows with every VM. */
char *runs_log_text(Runs *runs, const char *run_id, GError **error);
bool runs_delete_log(Runs *runs, const char *run_id, GError **error);
