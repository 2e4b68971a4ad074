/* The steps of a backup run and of a restore, as straight blocking code: one call does one VM.
 *
 * run/ resolves what to do, opens pools and repositories, begins the root task, and calls these
 * from as many threads as the job's concurrency allows, at most one per VM at a time. Everything
 * made in a pool is journaled before and closed after, so that work_recover can sweep what a killed
 * worker left. Setting names, task names and results are XO's. */
#pragma once

#include "base/cancel.h"
#include "base/tasklog.h"
#include "catalog/catalog.h"
#include "journal/journal.h"
#include "pipe/throttle.h"
#include "remote/remote.h"
#include "xapi/xapi.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/* A connected pool. */
typedef struct {
    const char *id; /* its uuid: what the journal names */
    Xapi *xapi;
} WorkPool;

/* A repository to write to. */
typedef struct {
    const char *id;   /* the remote record's id: "id" of the export task, key of its settings */
    const char *name; /* the label given by the user; may be "" */
    Remote *remote;
    Catalog *catalog;
    int *n_stuck; /* atomic: writes to it that have not come back, see stallTimeout. While there are
                     any, or the remote is stuck, nothing more is asked of it, and remote and
                     catalog must not be closed. */
} WorkTarget;

/* The limit of disks that are read at a time in one run. */
typedef struct WorkStreams WorkStreams;
WorkStreams *work_streams_new(unsigned n);
void work_streams_free(WorkStreams *streams);

/* What an earlier worker of the same run had begun and not ended, by its journal. Thread-safe. */
typedef struct WorkPast WorkPast;
WorkPast *work_past_read(Journal *journal, GError **error);
void work_past_free(WorkPast *past);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WorkPast, work_past_free)

/* What all VMs of a run share. Nothing is taken over; all of it outlives the calls, is not changed
 * by them, and is used from several threads. */
typedef struct {
    json_t *job;             /* the job record: id, name, mode, settings */
    const char *schedule_id; /* "" when none */
    const char *run_id;      /* the owner mark's value, and the journal's */
    json_t *settings; /* resolved for the run: built-in < server < job < schedule; the settings of a
                         VM and of a target are looked up in job.settings by their id */
    const WorkTarget *targets;
    unsigned n_targets;
    Journal *journal;
    WorkPast *past;  /* of the journal; NULL: nothing */
    Cancel *cancel;  /* the whole run's; may be NULL */
    Cancel *suspend; /* set with cancel: all stays as it is, in the pool, in the repositories and
                         in the journal, for another worker to go on; may be NULL */
    WorkStreams *streams; /* NULL: no limit */
    Throttle *throttle;   /* of what is read in the run, NULL: none */
    bool may_go_on; /* a fault of the pool leaves everything as it stands: the caller calls again,
                       with a new past of the journal, until it does without this */
    unsigned lock_wait_ms; /* for a VM's folder held by another; 0: fail at once */
    unsigned patience_ms;  /* of a restore with a read from the repository; 0: without end */
    /* A restore's read has not come back: its thread hangs there and may never leave. Called by
     * another one, its tasks have failed; must not return. What was made is in the journal. */
    void (*given_up)(const GError *why, void *user);
    void *given_up_user;
} WorkContext;

/* Whether the pool, or the way to it, failed: that passes by itself. */
bool work_is_pool_fault(const GError *error);

/* Backs up one VM to all targets, then applies retention. `task` is the VM's "backup VM" task,
 * begun by the caller with {type: "VM", id}; this sets name_label and makes the children (clean-vm,
 * snapshot, export > transfer, clean-vm > merge) but does not end it, so that a retry can use it
 * again. `cancel` is this VM's (may be NULL; the run's counts too). A target that fails is dropped
 * with its error in its task; the VM fails (false) only when all are lost, and what it made in the
 * pool is removed, or stays journaled when the pool does not answer. What an earlier worker left of
 * this VM is gone on with, or cleaned up first. Settings that bound it: diskPerVmConcurrency,
 * spoolBlocks, stallTimeout, vmTimeout (of one attempt). Blocks for hours. */
bool work_backup_vm(const WorkContext *context, const WorkPool *pool, const char *vm_uuid,
                    Task *task, Cancel *cancel, GError **error);

/* Restores a point ("/xo-vm-backups/<vm>/<date>.json") as a new VM on an SR. settings (may be
 * NULL): newMacAddresses, mapVdisSrs {snapshot VDI uuid: SR uuid or null}. Uses of the context:
 * run_id, journal, cancel, patience_ms, given_up. Makes a "transfer" child in `task`. Returns {id:
 * uuid of the new VM, size: bytes transferred}, new reference; on failure all that it made is
 * destroyed. */
json_t *work_restore(const WorkContext *context, const WorkPool *pool, const WorkTarget *source,
                     const char *point_path, const char *sr_uuid, json_t *settings, Task *task,
                     GError **error);

/* Bytes that a point's disks and record need on a target, from the VM's present VDIs: what
 * work_backup_vm checks against the free space before it takes a snapshot. */
bool work_check_space(const WorkTarget *target, guint64 need_bytes, GError **error);

/* Ends what the journal of a dead worker left open: owner marks, blocked operations, snapshots,
 * half-restored VMs and VDIs; in repositories its locks, half-written disks, half-done merges.
 * Objects are touched only with both a journaled intent and the mark of its run. Pools and targets
 * that are not among these stay open in the journal; a target without a catalog is gone for good.
 * *n_left counts what is still open: call again later while it is not 0, journal_end when it is.
 * False: the journal could not be read or written, or a pool failed (the others were still tried).
 */
bool work_recover(Journal *journal, const WorkPool *pools, unsigned n_pools,
                  const WorkTarget *targets, unsigned n_targets, unsigned *n_left, GError **error);
