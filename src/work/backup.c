/* One VM, from its record to its retention. Read backup() from top to bottom: it is the whole
 * story. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

#define RELOAD_AFTER_US (2 * G_USEC_PER_SEC)

static void run_init(VmRun *run)
{
    const WorkContext *context = run->context;
    run->job_id = json_text(context->job, "id");
    run->job_name = json_text(context->job, "name");
    run->full = strcmp(json_text(context->job, "mode"), "full") == 0;
    g_autofree char *unique = g_uuid_string_random();
    unique[8] = '\0';
    run->mark = g_strdup_printf("%s:%s", context->run_id, unique);
    run->settings = settings_of_vm(context, run->vm_uuid);
    run->disks = g_ptr_array_new_with_free_func(vm_disk_free);
    run->job_vdis = g_ptr_array_new_with_free_func(job_vdi_free);
    run->kept = g_ptr_array_new_with_free_func((GDestroyNotify) catalog_disk_free);
    run->n_targets = context->n_targets;
    run->targets = g_new0(TargetRun, MAX(run->n_targets, 1));
    for (unsigned i = 0; i < run->n_targets; i++) {
        run->targets[i].target = &context->targets[i];
        run->targets[i].cancel = cancel_new();
    }
    pthread_mutex_init(&run->lock, NULL);
    cancel_after(run->cancel, setting_int(run->settings, "vmTimeout", 0), "vmTimeout");
}

static void run_clear(VmRun *run)
{
    g_free(run->mark);
    g_free(run->intent);
    json_decref(run->settings);
    g_free(run->vm_uuid);
    g_free(run->vm_ref);
    json_decref(run->vm);
    g_ptr_array_unref(run->disks);
    g_ptr_array_unref(run->job_vdis);
    g_ptr_array_unref(run->kept);
    g_free(run->targets);
    g_free(run->snapshot_ref);
    json_decref(run->snapshot);
    json_decref(run->was_blocked);
    pthread_mutex_destroy(&run->lock);
    cancel_unref(run->cancel);
}

void vm_outlive_second(const VmRun *run)
{
    gint64 left_us = (run->time_ms / 1000 + 1) * G_USEC_PER_SEC - g_get_real_time();
    if (run->time_ms && left_us > 0 && left_us <= G_USEC_PER_SEC)
        g_usleep((gulong) left_us);
}

static bool export_snapshot(VmRun *run, GError **error)
{
    if (!run->resumed) {
        run->time_ms = g_get_real_time() / 1000;
        if (!run->full) /* an archive begins anew after an interruption */
            progress_begin(run);
    }
    CRASH_POINT(work_export);
    targets_export(run);
    bool ok = run->full
                  ? targets_left(run) > 0 ? transfer_archive(run, error) : targets_error(run, error)
                  : transfer_disks(run, error);
    return ok && !cancel_check(run->cancel, "backup", error) && metadata_commit(run, error);
}

/* Waiting for a folder, or merging, can take hours: the VM may have other disks by now. */
static bool begin_targets(VmRun *run, GError **error)
{
    gint64 start_us = g_get_monotonic_time();
    if (!targets_begin(run, error))
        return false;
    if (run->resumed || g_get_monotonic_time() - start_us < RELOAD_AFTER_US)
        return true;
    vm_unload(run);
    return vm_load(run, error) && vm_check(run, error);
}

/* What an earlier worker left of this VM is gone on with, or goes before anything new is made. */
static bool take_up_past(VmRun *run, GError **error)
{
    json_t *intent = past_take(run->context->past, "vm", run->vm_uuid, NULL);
    g_autoptr(GError) why = NULL;
    bool ok = !intent || resume_load(run, intent, &why);
    if (!ok && run->context->may_go_on && work_is_pool_fault(why)) {
        g_propagate_error(error, g_steal_pointer(&why)); /* the next call may find it */
    } else if (!ok) {
        task_info(run->task, "starts anew after an interruption",
                  json_pack("{ss}", "reason", why->message));
        ok = recover_vm(run->xapi, run->context->journal, intent, error);
    }
    json_decref(intent);
    return ok;
}

/* A full backup has no base, and a halted VM needs no snapshot for it. */
static bool prepare(VmRun *run, GError **error)
{
    if (!base_list(run, error) || (!run->full && !base_choose(run, error)) ||
        !targets_check_space(run, error) || !vm_block(run, error))
        return false;
    return (run->full && !full_wants_snapshot(run)) || snapshot_take(run, error);
}

static bool begin(VmRun *run, GError **error)
{
    if (run->resumed)
        return begin_targets(run, error);
    return vm_load(run, error) && vm_check(run, error) && begin_targets(run, error) &&
           prepare(run, error);
}

static bool backup(VmRun *run, GError **error)
{
    if (!take_up_past(run, error) || !begin(run, error) || !export_snapshot(run, error))
        return false;
    CRASH_POINT(work_exported);
    if (!(run->full ? snapshot_settle(run, error) : snapshot_keep(run, error))) {
        vm_outlive_second(run); /* the point has taken its name */
        return false;
    }
    CRASH_POINT(work_kept);
    snapshot_rotate(run);
    CRASH_POINT(work_rotated);
    targets_retain(run);
    vm_outlive_second(run);
    return true;
}

/* Whatever happened, the pool is as before, or the journal knows why not. */
static void leave_pool(VmRun *run, bool ok)
{
    g_autoptr(GError) error = NULL;
    if (run->leaving || (!ok && cancel_is_set(run->context->suspend))) {
        progress_end(g_steal_pointer(&run->progress), true);
        return;
    }
    if (!ok)
        snapshot_undo(run);
    vm_unblock(run);
    progress_end(g_steal_pointer(&run->progress), false);
    if (!run->intent || run->blocked)
        return;
    if (!intent_end(run->context->journal, run->intent, &error))
        task_warning(run->task, "the journal could not be closed",
                     json_pack("{ss}", "error", error->message));
}

bool work_is_pool_fault(const GError *error)
{
    static const char *const codes[] = { "SESSION_INVALID",
                                         "HOST_IS_SLAVE",
                                         "HOST_OFFLINE",
                                         "HOST_STILL_BOOTING",
                                         "CANNOT_CONTACT_HOST",
                                         "VDI_IO_ERROR",
                                         NULL };
    return err_is(error, ERR_NETWORK) || err_is(error, ERR_TRUNCATED) ||
           err_is(error, ERR_INTERRUPTED) || g_strv_contains(codes, err_xapi_code(error));
}

/* Once the transfer has begun, there is something to go on with. */
static void decide_to_leave(VmRun *run, bool ok, const GError *why)
{
    run->leaving = !ok && run->context->may_go_on && run->progress && work_is_pool_fault(why) &&
                   !cancel_is_set(run->cancel);
    for (guint i = 0; i < run->kept->len; i++)
        ((CatalogDisk *) run->kept->pdata[i])->keep = run->leaving;
    g_ptr_array_set_size(run->kept, 0);
}

bool work_backup_vm(const WorkContext *context, const WorkPool *pool, const char *vm_uuid,
                    Task *task, Cancel *cancel, GError **error)
{
    VmRun run = { .context = context, .pool = pool, .xapi = pool->xapi, .task = task };
    run.vm_uuid = g_strdup(vm_uuid);
    run.cancel = cancel_new_under(context->cancel, cancel);
    run_init(&run);
    GError *why = NULL;
    bool ok = false;
    if (run.n_targets > PIPE_MAX_WRITERS)
        err_set(&why, ERR_LIMIT, "%u repositories in one job (at most %d)", run.n_targets,
                PIPE_MAX_WRITERS);
    else
        ok = backup(&run, &why);
    cancel_explain(run.cancel, "the backup of the VM", &why);
    decide_to_leave(&run, ok, why);
    targets_end(&run, why); /* before the pool is cleaned, which may take long */
    leave_pool(&run, ok);
    run_clear(&run);
    if (why)
        g_propagate_error(error, why);
    return ok;
}
