/* One run and the keeper of all, between the files of this room. */
#pragma once

#include "base/tasklog.h"
#include "run/bound.h"
#include "run/leases.h"
#include "run/process.h"
#include "run/runs.h"

#include <pthread.h>

typedef enum { RUN_BACKUP, RUN_RESTORE, RUN_CALL } RunKind;

/* Counted. What is not marked is set before the run's thread starts and never changes. */
struct Run {
    gint n_refs;
    Runs *runs;
    RunKind kind;
    char *id, *job_id, *schedule_id; /* the latter two "" for a restore */
    json_t *job, *overrides;         /* of a backup; overrides may be NULL */
    json_t *request;                 /* of a restore: {backupId, sr, settings?} */
    json_t *header;                  /* what the log has besides the tasks */
    TaskLog *log;
    Channel *channel;    /* of the present worker; set with runs->lock held, by the run's thread */
    GPtrArray *channels; /* of all its workers: freed with the run, as others may be sending */
    bool resumed;        /* goes on with what an earlier server left */
    unsigned n_resumes;  /* the run's thread's: workers that died and were replaced */
    gint64 stored_us; /* the run's thread's: when the live log was stored, and how long it took */
    gint64 storing_us;
    /* with runs->lock held: */
    bool cancelled, ended;
    gint64 cancelled_us;
    RunBound bound; /* of its worker, while there is one */
    pid_t worker;   /* 0: none */
    GError *error;  /* of the whole run */
    json_t *result; /* of a restore */
};

struct Runs {
    RunsConfig config;
    RunsCaller caller;
    char *folder, *program;    /* copies; the folder of the journals */
    pthread_mutex_t beginning; /* one at a time gets its id; taken before lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a run ended, a slot is free, the keeper has work, stopping */
    GHashTable *runs;       /* id → Run; those going on and the last that ended */
    GQueue *ended;          /* their ids, oldest first */
    unsigned n_threads, n_running, n_waiting;
    unsigned n_lost; /* the keeper's: clean-ups that died, one after the other */
    bool stopping, keeper_started, sweep_now;
    pthread_t keeper;
    Leases *leases;
    gint64 begun_us;
};

enum { RUNS_REMEMBERED = 256 };

Run *run_ref(Run *run);
void run_unref(Run *run);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Run, run_unref)

/* --- log.c --- */

/* Where the log of a run is kept in the store: "jobs", or "calls". */
const char *run_log_name_space(const Run *run);
/* Begins the log in the store and gives the run its id, which no other run has. */
bool run_log_begin(Run *run, GError **error);
/* Takes up the stored log of a run that was interrupted. */
void run_log_reopen(Run *run, const char *id, json_t *stored);
/* Whether the VM is done with: nothing of it is to be tried again. */
bool run_log_has_ended(json_t *log, const char *vm);
/* The log as it is shown. */
json_t *run_log_view(Run *run, bool running);
/* Stores it, at most every RUNS_LOG_MS unless `now`. */
void run_log_store(Run *run, bool running, bool now);
/* Ends the root: with success, with the error, or closed as interrupted for a reason. */
void run_log_end(Run *run, const GError *error, const char *interrupted);

/* --- calls.c --- */

/* Does all calls of a job of type "call"; a failing call fails its task, not the job. */
bool run_calls(Run *run, GError **error);

/* --- plan.c --- */

/* What the worker is told, with all secrets it needs; adds infos and failed tasks to the log. */
json_t *plan_backup(Run *run, GError **error);
json_t *plan_restore(Run *run, GError **error);
char *run_journal_path(Runs *runs, const char *run_id);

/* --- run.c --- */

/* The thread of a run; takes a reference of it. */
void *run_main(void *run);
/* "success", "failure", "skipped", "interrupted" of a run that has ended; copy. */
char *run_status(Run *run, const char *lost);
/* Ends the log, tells everybody; the error is taken. */
void run_finish(Run *run, GError *error, const char *lost);

/* --- keeper.c: what dead runs left --- */

/* What a run may survive: workers that die, servers that end. */
enum { RUNS_MAX_RESUMES = 8 };

/* Starts a run again under its id, for the VMs that it has not ended; `record` as keeper_put wrote
 * it, `log` as stored. */
bool run_continue(Runs *runs, json_t *record, json_t *log, json_t *vms, GError **error);

/* Closes the logs that an earlier server left open. */
bool keeper_close_interrupted(Runs *runs, GError **error);
void *keeper_main(void *runs);
/* The record of a run in the collection "runs", from its plan until its journal is gone. */
bool keeper_put(Run *run, json_t *pools, json_t *remotes, GError **error);
void keeper_drop(Runs *runs, const char *run_id);
/* Remembers whether it is to be resumed. */
void keeper_mark(Runs *runs, const char *run_id, bool interrupted);

/* --- failure.c --- */

/* Runs the job's onFailureCommand, if any, when the run failed or was lost. */
void run_failure_command(Run *run, const char *lost);
