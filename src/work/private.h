/* What the steps of one VM's backup share. For the files of work/ only.
 *
 * A VmRun is used by one thread, but while its disks are transferred by several. JSON members are
 * owned by it; records are raw XAPI records. */
#pragma once

#include "work/work.h"

#include "base/json_text.h"
#include "pipe/source.h"

#include <pthread.h>

#define OWNER_MARK         "cadenza:intent"
#define KEY_PREFIX         "xo:backup:"
#define KEY_JOB            "xo:backup:job"
#define KEY_SCHEDULE       "xo:backup:schedule"
#define KEY_VM             "xo:backup:vm"
#define KEY_SR             "xo:backup:sr"
#define KEY_DATETIME       "xo:backup:datetime"
#define KEY_LENGTH         "xo:backup:deltaChainLength"
#define KEY_EXPORTED       "xo:backup:exported"
#define KEY_CONTENT        "xo:backup:contentKey"
#define KEY_QCOW2_FIX      "xo:backup:includeNonNbdQcow2Fix"
#define KEY_COPY_OF        "xo:copy_of"
#define KEY_BASE           "xo:base_delta_vdi"
#define TEMPORARY_SNAPSHOT "xo-backup-temp-snapshot-name"
#define SNAPSHOT_PREFIX    "[XO Backup "
#define BLOCKED_REASON     "VM is being backed up"
#define NULL_REF           "OpaqueRef:NULL"

/* A snapshot of one live disk, made by an earlier run of the job. */
typedef struct {
    char *ref, *uuid;
    char *vm; /* reference of the snapshot VM, NULL when it has none */
    json_t *record;
} JobVdi;

/* A disk of the VM. */
typedef struct {
    char *ref, *uuid; /* of the live VDI */
    json_t *record;
    JobVdi *base;   /* owned by the run's list; NULL: everything is copied */
    char *why_full; /* the reason, when base is NULL */
    char **parents; /* per target: the file to continue; NULL-filled when base is NULL */
    /* Once the snapshot is there: */
    char *snap_ref, *snap_uuid;
    json_t *snap_vdi, *snap_vbd;
    char *snap_vbd_ref;
    double part; /* transferred, 0 to 1 */
} VmDisk;

/* How far a VM's transfer is, in a journal beside the run's. */
typedef struct Progress Progress;

/* What happens at one target. */
typedef struct {
    const WorkTarget *target;
    RemoteLock *lock;
    char *intent;            /* of what happens in its folder of the VM */
    bool owes;               /* an earlier worker's intent, and nobody has cleaned up since */
    Task *export, *transfer; /* while they go on */
    GError *error;           /* set: dropped */
    Cancel *cancel;          /* set then: its disks stop */
    bool committed;          /* the point is there already, from before an interruption */
    json_t *vhds;            /* snapshot VDI ref → path */
    char *xva;               /* of a full backup: path of the archive */
    guint64 size_bytes;
} TargetRun;

typedef struct {
    const WorkContext *context;
    const WorkPool *pool;
    Xapi *xapi;
    Task *task;
    Cancel *cancel; /* this VM's and the run's */
    char *mark;     /* the owner mark's value: unique to this attempt */
    char *intent;   /* open in the journal, or NULL */
    json_t *settings;
    const char *job_id, *job_name;
    bool full; /* one archive of the VM, not its disks one by one */
    char *vm_uuid, *vm_ref;
    json_t *vm;          /* the live record, as it was before the backup */
    GPtrArray *disks;    /* VmDisk */
    GPtrArray *job_vdis; /* JobVdi of this job and VM, exported or not */
    TargetRun *targets;
    unsigned n_targets;
    pthread_mutex_t lock; /* of the targets' state and the disks' parts */
    char *snapshot_ref;
    json_t *snapshot; /* its record */
    gint64 time_ms;   /* the point's timestamp */
    unsigned chain_length;
    Progress *progress; /* how far the transfer is; NULL before it and when it cannot be kept */
    bool resumed;       /* goes on with the snapshot of an earlier worker */
    bool leaving;       /* to be gone on with by the next call: nothing is undone */
    GPtrArray *kept;    /* CatalogDisk: half-written, until it is known whether it leaves; with the
                           lock held */
    bool blocked;
    json_t *was_blocked; /* reasons before ours: operation → text or null */
} VmRun;

/* --- json.c --- */

/* A member of other_config, NULL when absent. */
const char *config_text(json_t *record, const char *key);
bool is_ref(const char *ref); /* neither empty nor NULL_REF */
json_t *get_record(Xapi *xapi, const char *cls, const char *ref, GError **error);
/* Each key of other_config that is set: its mark, its backup keys. */
bool remove_keys(Xapi *xapi, const char *cls, const char *ref, json_t *record, bool all,
                 GError **error);
/* other_config as a whole: what it was, without backup keys and mark, and `more` over it. */
json_t *config_with(json_t *record, json_t *more);
bool set_config(Xapi *xapi, const char *cls, const char *ref, json_t *config, GError **error);

/* --- settings.c --- */

json_t *settings_of_vm(const WorkContext *context, const char *vm_uuid);
gint64 setting_int(json_t *settings, const char *name, gint64 otherwise);
bool setting_bool(json_t *settings, const char *name);
/* The same for one target: its own, then the VM's. */
gint64 setting_of_target(const VmRun *run, const TargetRun *target, const char *name,
                         gint64 otherwise);
bool setting_bool_of_target(const VmRun *run, const TargetRun *target, const char *name);
/* "" when it is not set. */
const char *setting_text_of_target(const VmRun *run, const TargetRun *target, const char *name);

/* --- intent.c --- */

/* Journals {"kind", "pool", "vm", "mark", …fields} and returns the intent's id. */
char *intent_begin(const WorkContext *context, const char *kind, json_t *fields, GError **error);
/* More about an open intent, durably; the reference is taken. */
bool intent_note(Journal *journal, const char *intent, json_t *fields, GError **error);
bool intent_end(Journal *journal, const char *intent, GError **error);

/* --- past.c --- */

/* An open intent that fits (NULL: any), with all that was noted about it in "notes"; a new
 * reference, and no longer in the past; NULL: there is none. */
json_t *past_take(WorkPast *past, const char *kind, const char *vm, const char *remote);

/* --- progress.c --- */

/* Begins one beside the run's journal, with what a next worker must know of the VM. A transfer goes
 * on without, with a warning, when it cannot be written. */
void progress_begin(VmRun *run);
/* The one that an earlier worker left; NULL: INTERRUPTED, it had not come so far. */
Progress *progress_open(Journal *journal, const char *intent, GError **error);
/* What progress_begin wrote; borrowed. */
json_t *progress_plan(const Progress *progress);
/* From now on tells how far this disk is at this target. */
void progress_follow(Progress *progress, const VmDisk *disk, const TargetRun *target,
                     CatalogDisk *end);
/* What an earlier worker told of this disk at this target: where it is and its rows (a new
 * reference); NULL when nothing, or of another base. */
const char *progress_find(const Progress *progress, const VmDisk *disk, const TargetRun *target,
                          GBytes **rows);
/* Closes it and removes the file, or leaves it to the next worker. */
void progress_end(Progress *progress, bool keep);
/* Removes the file of an intent. */
void progress_drop(Journal *journal, const char *intent);

/* --- resume.c --- */

/* Takes up the VM where an earlier worker left it: its snapshot, disks and bases. False: it must
 * start anew, and why; nothing has been changed then. */
bool resume_load(VmRun *run, json_t *intent, GError **error);

/* --- ends.c --- */

/* Opens what an earlier worker had begun of the disk; *n: how many there are in ends. */
void ends_continue(VmRun *run, VmDisk *disk, const DiskInfo *info, CatalogDisk **ends, unsigned *n);
/* The blocks that all targets hold that still want the disk, one byte each; NULL: none. */
guint8 *ends_common(VmRun *run, CatalogDisk *const *ends, guint32 n_blocks);
/* Whether all of them have the whole disk. */
bool ends_all_done(VmRun *run, CatalogDisk *const *ends);

/* --- recover.c --- */

/* Ends one intent in the pool, and in the journal. */
bool recover_vm(Xapi *xapi, Journal *journal, json_t *intent, GError **error);
/* An import that died or failed: the pool usually ends it by itself; what it made all the same, and
 * what carries the mark, goes. Waits until its task has ended. */
bool recover_import(Xapi *xapi, const char *task, const char *mark, GError **error);
/* What a dead worker was writing goes, and its lock when the journal proves that it was its. */
void recover_traces(const WorkTarget *target, json_t *intent);

/* --- vm.c --- */

bool vm_load(VmRun *run, GError **error);
/* Before it is loaded again. */
void vm_unload(VmRun *run);
/* Refuses replicas of this job, VMs that migrate, chains that should coalesce first. */
bool vm_check(VmRun *run, GError **error);
bool vm_block(VmRun *run, GError **error);
void vm_unblock(VmRun *run);
void vm_disk_free(gpointer disk);
/* Tells the pool to give up what blocked the migration; `was` as in VmRun. */
bool vm_restore_blocked(Xapi *xapi, const char *vm_ref, json_t *was, GError **error);

/* --- backup.c --- */

/* Names of points have seconds: the next one of this VM must get another. */
void vm_outlive_second(const VmRun *run);

/* --- chain.c --- */

/* UNHEALTHY_CHAIN when the pool should coalesce first. */
bool vm_check_chains(VmRun *run, GError **error);
/* Bytes that the disk's whole chain takes in its SR, at most its virtual size. */
guint64 chain_bytes(Xapi *xapi, json_t *vdi);

/* --- base.c --- */

bool base_list(VmRun *run, GError **error);
/* Chooses each disk's base, or says why there is none. */
bool base_choose(VmRun *run, GError **error);
void job_vdi_free(gpointer vdi);

/* --- snapshot.c --- */

bool snapshot_take(VmRun *run, GError **error);
/* Finds the snapshot's disk of each disk. */
bool snapshot_match(VmRun *run, GError **error);
/* Marks it as a usable base, takes the mark away, closes the intent. */
bool snapshot_keep(VmRun *run, GError **error);
/* Removes it after a failure; what could not be removed stays journaled. */
void snapshot_undo(VmRun *run);
/* After the export of a full backup: kept, without being a base, or removed. */
bool snapshot_settle(VmRun *run, GError **error);
/* Removes snapshots of earlier runs that their schedules no longer want. */
void snapshot_rotate(VmRun *run);
/* A snapshot VM with its disks, retried while they are in use. */
bool snapshot_destroy(Xapi *xapi, const char *vm_ref, GError **error);
/* A VM of ours with its disks. */
bool vm_destroy(Xapi *xapi, const char *vm_ref, GError **error);
bool vdi_destroy(Xapi *xapi, const char *ref, GError **error);
/* Takes the mark from a live VM and its disks; destroys snapshots of it that carry the mark. */
bool snapshot_sweep(Xapi *xapi, const char *vm_ref, const char *mark, GError **error);

/* --- target.c --- */

/* Locks and cleans every target; false when none is left. For a VM that goes on it cleans nothing,
 * as half-written disks are wanted, and sees where the point is there already. */
bool targets_begin(VmRun *run, GError **error);
/* Drops those without the room; false when none is left. */
bool targets_check_space(VmRun *run, GError **error);
/* Whether an SR has need_bytes left; NO_SPACE names it. An SR that does not tell its size passes.
 */
bool sr_check_space(Xapi *xapi, const char *sr_uuid, guint64 need_bytes, GError **error);
/* Opens the export and transfer tasks. */
void targets_export(VmRun *run);
/* Drops a target: its tasks fail with the error, which is taken. Thread-safe, as the next three. */
void target_drop(VmRun *run, TargetRun *target, GError *error);
bool target_is_left(VmRun *run, const TargetRun *target);
unsigned targets_left(VmRun *run);
/* The error of the last one that was dropped. */
bool targets_error(VmRun *run, GError **error);
/* Retention and clean-up at each, then the end of its export. */
void targets_retain(VmRun *run);
/* Tasks still open fail with `why`; unlocks. */
void targets_end(VmRun *run, const GError *why);

/* --- disks.c --- */

/* All disks, side by side. */
bool transfer_disks(VmRun *run, GError **error);

/* --- transfer.c --- */

bool transfer_disk(VmRun *run, guint index, Cancel *cancel, GError **error);
/* What the settings say of a transfer. */
PipeOptions transfer_options(const VmRun *run, Cancel *cancel);
CatalogReadBack read_back_of(const VmRun *run, const TargetRun *target);

/* --- full.c --- */

/* The whole VM, or its snapshot, as one archive. */
bool transfer_archive(VmRun *run, GError **error);
/* XO exports what is halted without one, unless the job says otherwise or disks are left out. */
bool full_wants_snapshot(VmRun *run);

/* --- streams.c --- */

/* Waits for one of the run's streams; NULL has no end of them. CANCELLED, TIMEOUT. */
bool streams_take(WorkStreams *streams, const Cancel *cancel, GError **error);
void streams_give(WorkStreams *streams);

/* --- late.c --- */

/* A call to the target has not come back. */
bool late_is_stuck(const WorkTarget *target);
bool late_check(const WorkTarget *target, GError **error); /* TIMEOUT then */
/* Frees now, or in a thread that nobody waits for when the target is stuck. */
void late_release(const WorkTarget *target, void *thing, void (*release)(void *thing));
/* An end that writes to the target. `thing` owns the writer; a thread that is stuck in it when the
 * pipe has ended releases it, whenever that is. Then late_settle, always. */
PipeEnd late_pipe_end(const TargetRun *target, DiskWriter *writer, void *thing,
                      void (*release)(void *thing));
/* After the pipe: drops a target that failed. False: `thing` is no longer the caller's. */
bool late_settle(VmRun *run, TargetRun *target, PipeEnd *end, void *thing,
                 void (*release)(void *thing));

/* --- metadata.c --- */

/* Writes the point's JSON at every target. */
bool metadata_commit(VmRun *run, GError **error);
