/* The targets of one VM's backup. One that fails is dropped, visibly; the others go on. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { LOCK_SLICE_MS = 2000 };

bool target_is_left(VmRun *run, const TargetRun *target)
{
    pthread_mutex_lock(&run->lock);
    bool is_left = target->error == NULL;
    pthread_mutex_unlock(&run->lock);
    return is_left;
}

unsigned targets_left(VmRun *run)
{
    unsigned n = 0;
    for (unsigned i = 0; i < run->n_targets; i++)
        n += target_is_left(run, &run->targets[i]);
    return n;
}

bool targets_error(VmRun *run, GError **error)
{
    GError *last = NULL;
    pthread_mutex_lock(&run->lock);
    for (unsigned i = run->n_targets; i-- > 0 && !last;)
        if (run->targets[i].error)
            last = g_error_copy(run->targets[i].error);
    pthread_mutex_unlock(&run->lock);
    if (last)
        g_propagate_error(error, last);
    else
        err_set(error, ERR_STATE, "the job has no repository to write to");
    return false;
}

static bool is_full(const VmRun *run)
{
    for (guint i = 0; i < run->disks->len; i++)
        if (((VmDisk *) run->disks->pdata[i])->base)
            return false;
    return true;
}

static Task *begin_export(VmRun *run, const TargetRun *target)
{
    return task_begin(run->task, "export",
                      json_pack("{ss ss sb}", "type", "remote", "id", target->target->id, "isFull",
                                is_full(run)));
}

static void unlock(void *lock)
{
    remote_unlock(lock);
}

/* Leaves its folder of the VM as it stands when another worker goes on; what an earlier one had
 * begun there stays in the journal until it is cleaned. */
static void leave_folder(VmRun *run, TargetRun *target)
{
    g_autoptr(GError) error = NULL;
    late_release(target->target, g_steal_pointer(&target->lock), unlock);
    bool left = run->leaving || cancel_is_set(run->context->suspend);
    if (target->intent && !left && !target->owes &&
        !intent_end(run->context->journal, target->intent, &error))
        task_warning(run->task, "the journal could not be closed",
                     json_pack("{ss}", "error", error->message));
    g_clear_pointer(&target->intent, g_free);
}

/* Its export fails even when it had not begun, so that the run does not look green. The first error
 * counts. Its lock is kept to the end: others may still be about to stop writing. */
void target_drop(VmRun *run, TargetRun *target, GError *error)
{
    pthread_mutex_lock(&run->lock);
    if (target->error) {
        g_clear_error(&error);
    } else {
        if (!target->export)
            target->export = begin_export(run, target);
        if (target->transfer)
            task_fail(g_steal_pointer(&target->transfer), error);
        task_fail(g_steal_pointer(&target->export), error);
        target->error = error;
    }
    pthread_mutex_unlock(&run->lock);
    cancel_set(target->cancel);
}

static void report_warnings(Task *task, json_t *warnings)
{
    size_t i;
    json_t *warning;
    json_array_foreach (warnings, i, warning)
        task_warning(task, json_text(warning, "message"),
                     json_incref(json_object_get(warning, "data")));
}

/* Merges and removes what no point needs; its own task, as XO shows it. */
static bool clean(const VmRun *run, TargetRun *target, Task *parent, GError **error)
{
    CatalogCleaned cleaned = { 0 };
    GError *why = NULL;
    Task *task = task_begin(parent, "clean-vm", NULL);
    bool ok = catalog_clean(target->target->catalog, run->vm_uuid, true, true, &cleaned, &why);
    report_warnings(task, cleaned.warnings);
    json_decref(cleaned.warnings);
    if (cleaned.n_merges > 0)
        task_end(task_begin(task, "merge", NULL), NULL);
    if (ok) {
        target->owes = false;
        task_end(task, json_pack("{sb sI}", "merge", cleaned.merged, "size",
                                 (json_int_t) cleaned.size_bytes));
        return true;
    }
    task_fail(task, why);
    g_propagate_error(error, why);
    return false;
}

/* In slices, so that a cancel is seen. */
static RemoteLock *wait_for_lock(const VmRun *run, const TargetRun *target, GError **error)
{
    gint64 until_us = g_get_monotonic_time() + run->context->lock_wait_ms * 1000ll, left_us;
    for (;;) {
        g_autoptr(GError) why = NULL;
        left_us = until_us - g_get_monotonic_time();
        RemoteLock *lock = catalog_lock(target->target->catalog, run->vm_uuid,
                                        (unsigned) CLAMP(left_us / 1000, 0, LOCK_SLICE_MS), &why);
        if (lock)
            return lock;
        if (err_is(why, ERR_BUSY) && left_us > LOCK_SLICE_MS * 1000 && !cancel_is_set(run->cancel))
            continue;
        g_propagate_error(error, g_steal_pointer(&why));
        return NULL;
    }
}

/* Takes over what an earlier worker had begun here, its lock among it. */
static bool take_intent(VmRun *run, TargetRun *target, GError **error)
{
    const char *remote = target->target->id;
    json_t *past = past_take(run->context->past, "repository", run->vm_uuid, remote);
    if (past) {
        recover_traces(target->target, past);
        target->intent = g_strdup(json_text(past, "intent"));
        target->owes = true;
        json_decref(past);
        return true;
    }
    target->intent = intent_begin(run->context, "repository",
                                  json_pack("{ss ss}", "remote", remote, "vm", run->vm_uuid),
                                  error);
    return target->intent;
}

static bool lock_folder(VmRun *run, TargetRun *target, GError **error)
{
    RemoteLockId id;
    target->lock = wait_for_lock(run, target, error);
    if (!target->lock)
        return false;
    if (!remote_lock_id(target->lock, &id))
        return true;
    json_t *lock =
        json_pack("{sI sI}", "inode", (json_int_t) id.inode, "birth", (json_int_t) id.birth_ns);
    return intent_note(run->context->journal, target->intent, json_pack("{so}", "lock", lock),
                       error);
}

static void see_point(VmRun *run, TargetRun *target)
{
    g_autofree char *date = catalog_date(run->time_ms);
    g_autofree char *path = g_strdup_printf("/xo-vm-backups/%s/%s.json", run->vm_uuid, date);
    json_t *point = catalog_point(target->target->catalog, path, NULL);
    target->committed = point != NULL;
    json_decref(point);
}

static bool begin(VmRun *run, TargetRun *target, GError **error)
{
    if (!late_check(target->target, error) || !take_intent(run, target, error) ||
        !lock_folder(run, target, error))
        return false;
    if (run->resumed)
        see_point(run, target);
    /* XO cleans after a full backup alone; but what an earlier worker began goes first. */
    bool before =
        !run->full ||
        (target->owes && !MUTANT(target_owes_nothing)); /* mutant: work:test_recover_archive */
    return run->resumed || !before || clean(run, target, run->task, error);
}

bool targets_begin(VmRun *run, GError **error)
{
    for (unsigned i = 0; i < run->n_targets; i++) {
        GError *why = NULL;
        if (cancel_check(run->cancel, "backup", error))
            return false;
        if (!begin(run, &run->targets[i], &why))
            target_drop(run, &run->targets[i], why);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

/* As XO: full backups and the others each have their own count. */
static json_t *points_of_mode(const VmRun *run, const TargetRun *target, GError **error)
{
    json_t *points = catalog_points(target->target->catalog, run->vm_uuid, NULL, error);
    json_t *same = points ? json_array() : NULL, *point;
    size_t i;
    json_array_foreach (points, i, point)
        if ((strcmp(json_text(point, "mode"), "full") == 0) == run->full)
            json_array_append(same, point);
    json_decref(points);
    return same; /* what cannot be listed is not deleted */
}

/* `to_come`: the point of this run is not there yet, and all others may go. */
static bool retain(VmRun *run, TargetRun *target, bool to_come, GError **error)
{
    gint64 keep = setting_of_target(run, target, "exportRetention", 1);
    json_t *points = points_of_mode(run, target, error);
    if (!points)
        return false;
    g_auto(GStrv) old =
        catalog_retention(points, run->context->schedule_id,
                          MAX(keep, 1) - to_come + MUTANT(retain_one_more)); /* mutant: work */
    json_decref(points);
    return !old || !old[0] ||
           catalog_delete(target->target->catalog, run->vm_uuid, (const char *const *) old, to_come,
                          error);
}

static void begin_transfer(VmRun *run, TargetRun *target)
{
    GError *why = NULL;
    target->export = begin_export(run, target);
    bool first = run->full && setting_bool_of_target(run, target, "deleteFirst");
    if (first && !retain(run, target, true, &why)) {
        target_drop(run, target, why);
        return;
    }
    target->transfer = task_begin(target->export, "transfer", NULL);
    target->vhds = json_object();
}

void targets_export(VmRun *run)
{
    for (unsigned i = 0; i < run->n_targets; i++)
        if (!run->targets[i].error)
            begin_transfer(run, &run->targets[i]);
}

static void end_export(TargetRun *target, const GError *why)
{
    if (why)
        task_fail(g_steal_pointer(&target->export), why);
    else
        task_end(g_steal_pointer(&target->export), NULL);
}

/* Full backups are cleaned up after outside their export, as XO shows it. */
static void retain_full(VmRun *run, TargetRun *target)
{
    g_autoptr(GError) why = NULL, litter = NULL;
    bool ok = retain(run, target, false, &why);
    end_export(target, why);
    if (ok)
        clean(run, target, run->task, &litter);
}

static void retain_delta(VmRun *run, TargetRun *target)
{
    g_autoptr(GError) why = NULL;
    if (retain(run, target, false, &why))
        clean(run, target, target->export, &why);
    end_export(target, why);
}

/* The point exists by now: what fails here is shown, and does not unmake it. */
void targets_retain(VmRun *run)
{
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        g_autoptr(GError) why = NULL;
        if (target->error)
            continue;
        if (!remote_lock_held(target->lock)) {
            err_set(&why, ERR_BUSY, "the lock of the VM's folder was lost");
            end_export(target, why);
        } else if (run->full) {
            retain_full(run, target);
        } else {
            retain_delta(run, target);
        }
    }
}

void targets_end(VmRun *run, const GError *why)
{
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        if (target->transfer)
            task_fail(target->transfer, why);
        if (target->export)
            task_fail(target->export, why);
        leave_folder(run, target);
        json_decref(target->vhds);
        g_free(target->xva);
        cancel_unref(target->cancel);
        g_clear_error(&target->error);
    }
}
