/* Taking up a VM's backup where an earlier worker of the run left it: the same snapshot, found by
 * its uuid and its mark, the same bases, the same name of the point. Whatever is not as it was is a
 * reason to start anew. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

static char *find(Xapi *xapi, const char *method, const char *what, const char *uuid,
                  GError **error)
{
    char *ref = xapi_call_string(xapi, method, json_pack("[s]", uuid), error);
    if (!ref)
        g_prefix_error(error, "%s %s: ", what, uuid);
    return ref;
}

/* Kept as the next base: the points that it was for are there. */
static bool was_exported(json_t *snapshot)
{
    return g_strcmp0(config_text(snapshot, KEY_EXPORTED), "true") == 0;
}

/* The mark is on it until it is kept. */
static bool is_ours(const VmRun *run, json_t *snapshot)
{
    return json_is_true(json_object_get(snapshot, "is_a_snapshot")) &&
           strcmp(json_text(snapshot, "snapshot_of"), run->vm_ref) == 0 &&
           (g_strcmp0(config_text(snapshot, OWNER_MARK), run->mark) == 0 || was_exported(snapshot));
}

static bool load_snapshot(VmRun *run, const char *uuid, GError **error)
{
    run->snapshot_ref = find(run->xapi, "VM.get_by_uuid", "snapshot", uuid, error);
    run->snapshot = run->snapshot_ref ? get_record(run->xapi, "VM", run->snapshot_ref, error)
                                      : NULL;
    if (!run->snapshot)
        return false;
    if (is_ours(run, run->snapshot))
        return true;
    err_set(error, ERR_STATE, "the snapshot %s is no longer ours", uuid);
    return false;
}

static bool load_disk(VmRun *run, json_t *plan, GError **error)
{
    VmDisk *disk = g_new0(VmDisk, 1);
    g_ptr_array_add(run->disks, disk);
    disk->uuid = g_strdup(json_text(plan, "vdi"));
    disk->ref = find(run->xapi, "VDI.get_by_uuid", "disk", disk->uuid, error);
    disk->record = disk->ref ? get_record(run->xapi, "VDI", disk->ref, error) : NULL;
    return disk->record != NULL;
}

/* The snapshot itself is no snapshot of an earlier run. */
static void forget_own(VmRun *run)
{
    for (guint i = run->job_vdis->len; i-- > 0;) {
        JobVdi *vdi = run->job_vdis->pdata[i];
        if (g_strcmp0(vdi->vm, run->snapshot_ref) == 0)
            g_ptr_array_remove_index(run->job_vdis, i);
    }
}

static bool set_base(VmRun *run, VmDisk *disk, json_t *plan, GError **error)
{
    const char *base = json_text(plan, "base");
    json_t *parents = json_object_get(plan, "parents");
    for (guint i = 0; *base && i < run->job_vdis->len; i++) {
        JobVdi *vdi = run->job_vdis->pdata[i];
        if (strcmp(vdi->uuid, base) == 0)
            disk->base = vdi;
    }
    /* What only waits for its retention wants no base, which may have been rotated out by now. */
    if (*base && !disk->base && !was_exported(run->snapshot)) {
        err_set(error, ERR_NO_BASE, "the base %s of disk %s is gone", base, disk->uuid);
        return false;
    }
    disk->parents = g_new0(char *, run->n_targets + 1);
    for (unsigned i = 0; i < run->n_targets; i++)
        disk->parents[i] = g_strdup(json_text(parents, run->targets[i].target->id));
    return true;
}

static bool load_disks(VmRun *run, json_t *plans, GError **error)
{
    size_t i;
    json_t *plan;
    json_array_foreach (plans, i, plan)
        if (!load_disk(run, plan, error))
            return false;
    if (!snapshot_match(run, error) || !base_list(run, error))
        return false;
    forget_own(run);
    json_array_foreach (plans, i, plan)
        if (!set_base(run, run->disks->pdata[i], plan, error))
            return false;
    return true;
}

static bool load(VmRun *run, json_t *plan, GError **error)
{
    run->vm_ref = find(run->xapi, "VM.get_by_uuid", "VM", run->vm_uuid, error);
    run->vm = json_incref(json_object_get(plan, "vm"));
    run->time_ms = json_integer_value(json_object_get(plan, "time"));
    run->chain_length = (unsigned) json_integer_value(json_object_get(plan, "chainLength"));
    if (!run->vm_ref || !load_snapshot(run, json_text(plan, "snapshot"), error) ||
        !load_disks(run, json_object_get(plan, "disks"), error))
        return false;
    task_property(run->task, "name_label", json_string(json_text(run->vm, "name_label")));
    return true;
}

static void unload(VmRun *run)
{
    if (!run->time_ms)
        run->time_ms = g_get_real_time() / 1000; /* at the latest */
    vm_outlive_second(run);                      /* its point, or its archive, may be there */
    vm_unload(run);
    g_clear_pointer(&run->snapshot_ref, g_free);
    g_clear_pointer(&run->snapshot, json_decref);
    g_ptr_array_set_size(run->job_vdis, 0);
    run->chain_length = 0;
    run->time_ms = 0;
}

/* From here on the intent is this run's to end. */
static void take_over(VmRun *run, json_t *intent)
{
    run->intent = g_strdup(json_text(intent, "intent"));
    run->was_blocked = json_incref(json_object_get(intent, "blocked"));
    run->blocked = true;
    run->resumed = true;
}

bool resume_load(VmRun *run, json_t *intent, GError **error)
{
    g_autofree char *fresh = run->mark;
    run->mark = g_strdup(json_text(intent, "mark"));
    run->progress = progress_open(run->context->journal, json_text(intent, "intent"), error);
    if (run->progress && load(run, progress_plan(run->progress), error)) {
        take_over(run, intent);
        task_info(run->task, "goes on with the snapshot of an interrupted backup",
                  json_pack("{ss}", "snapshot", json_text(run->snapshot, "uuid")));
        return true;
    }
    unload(run);
    progress_end(g_steal_pointer(&run->progress), true);
    g_free(run->mark);
    run->mark = g_steal_pointer(&fresh);
    return false;
}
