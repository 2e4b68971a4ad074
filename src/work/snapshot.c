/* The snapshot: taken under the owner mark, stamped with XO's keys so that either product can
 * continue from it, kept as the next base or removed. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { DESTROY_TRIES = 40, DESTROY_WAIT_MS = 500 };

/* --- The mark --- */

static bool put_mark(Xapi *xapi, const char *cls, const char *ref, json_t *record, const char *mark,
                     GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.add_to_other_config", cls);
    /* Keys of earlier backups go too, so that no snapshot inherits them. */
    return remove_keys(xapi, cls, ref, record, true, error) &&
           xapi_do(xapi, method, json_pack("[sss]", ref, OWNER_MARK, mark), error);
}

static bool put_marks(VmRun *run, GError **error)
{
    if (!put_mark(run->xapi, "VM", run->vm_ref, run->vm, run->mark, error))
        return false;
    for (guint i = 0; i < run->disks->len; i++) {
        VmDisk *disk = run->disks->pdata[i];
        if (!put_mark(run->xapi, "VDI", disk->ref, disk->record, run->mark, error))
            return false;
    }
    return true;
}

static bool take_mark(Xapi *xapi, const char *cls, const char *ref, const char *mark,
                      GError **error)
{
    json_t *record = get_record(xapi, cls, ref, error);
    if (!record)
        return false;
    bool ours = g_strcmp0(config_text(record, OWNER_MARK), mark) == 0;
    bool ok = !ours || remove_keys(xapi, cls, ref, record, false, error);
    json_decref(record);
    return ok;
}

/* Refs of the disk VDIs of a VM or a snapshot. */
static GPtrArray *disks_of(Xapi *xapi, json_t *vm, GError **error)
{
    GPtrArray *refs = g_ptr_array_new_with_free_func(g_free);
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(vm, "VBDs"), i, ref) {
        json_t *vbd = get_record(xapi, "VBD", json_string_value(ref), error);
        if (!vbd) {
            g_ptr_array_unref(refs);
            return NULL;
        }
        if (strcmp(json_text(vbd, "type"), "Disk") == 0 && is_ref(json_text(vbd, "VDI")))
            g_ptr_array_add(refs, g_strdup(json_text(vbd, "VDI")));
        json_decref(vbd);
    }
    return refs;
}

static bool take_marks(Xapi *xapi, const char *vm_ref, const char *mark, GError **error)
{
    json_t *vm = get_record(xapi, "VM", vm_ref, error);
    g_autoptr(GPtrArray) refs = vm ? disks_of(xapi, vm, error) : NULL;
    json_decref(vm);
    if (!refs || !take_mark(xapi, "VM", vm_ref, mark, error))
        return false;
    for (guint i = 0; i < refs->len; i++)
        if (!take_mark(xapi, "VDI", refs->pdata[i], mark, error))
            return false;
    return true;
}

/* --- Removal --- */

bool vdi_destroy(Xapi *xapi, const char *ref, GError **error)
{
    for (unsigned tried = 1;; tried++) {
        g_autoptr(GError) why = NULL;
        if (xapi_do(xapi, "VDI.destroy", json_pack("[s]", ref), &why) || xapi_is_gone(why))
            return true;
        const char *code = err_xapi_code(why);
        bool busy = strcmp(code, "VDI_IN_USE") == 0 ||
                    strcmp(code, "OTHER_OPERATION_IN_PROGRESS") == 0;
        if (!busy || tried == DESTROY_TRIES) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        g_usleep(DESTROY_WAIT_MS * 1000);
    }
}

/* True in *gone when there is none. */
static json_t *get_vm(Xapi *xapi, const char *vm_ref, bool *gone, GError **error)
{
    GError *why = NULL;
    json_t *vm = get_record(xapi, "VM", vm_ref, &why);
    *gone = !vm && xapi_is_gone(why);
    if (*gone)
        g_error_free(why);
    else if (!vm)
        g_propagate_error(error, why);
    return vm;
}

static bool destroy_whole(Xapi *xapi, const char *vm_ref, json_t *vm, GError **error)
{
    g_autoptr(GPtrArray) refs = disks_of(xapi, vm, error);
    if (!refs || !xapi_do(xapi, "VM.destroy", json_pack("[s]", vm_ref), error))
        return false;
    for (guint i = 0; i < refs->len; i++)
        if (!vdi_destroy(xapi, refs->pdata[i], error))
            return false;
    return true;
}

bool vm_destroy(Xapi *xapi, const char *vm_ref, GError **error)
{
    bool gone;
    json_t *vm = get_vm(xapi, vm_ref, &gone, error);
    bool ok = gone || (vm && destroy_whole(xapi, vm_ref, vm, error));
    json_decref(vm);
    return ok;
}

bool snapshot_destroy(Xapi *xapi, const char *vm_ref, GError **error)
{
    bool gone, ok;
    json_t *vm = get_vm(xapi, vm_ref, &gone, error);
    if (vm && !json_is_true(json_object_get(vm, "is_a_snapshot"))) {
        err_set(error, ERR_INTERNAL, "%s is not a snapshot: not destroyed", vm_ref);
        ok = false;
    } else {
        ok = gone || (vm && destroy_whole(xapi, vm_ref, vm, error));
    }
    json_decref(vm);
    return ok;
}

/* A snapshot somebody else took while the mark was on the VM carries it too: the name decides. */
static bool is_ours(json_t *snapshot, const char *mark)
{
    const char *name = json_text(snapshot, "name_label");
    return g_strcmp0(config_text(snapshot, OWNER_MARK), mark) == 0 &&
           (strcmp(name, TEMPORARY_SNAPSHOT) == 0 || g_str_has_prefix(name, SNAPSHOT_PREFIX));
}

static bool each_snapshot(Xapi *xapi, json_t *vm, const char *mark, bool temporary, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(vm, "snapshots"), i, ref) {
        GError *why = NULL;
        json_t *snapshot = get_record(xapi, "VM", json_string_value(ref), &why);
        if (!snapshot && xapi_is_gone(why)) {
            g_error_free(why);
            continue;
        }
        if (!snapshot) {
            g_propagate_error(error, why);
            return false;
        }
        bool unwanted = temporary
                            ? strcmp(json_text(snapshot, "name_label"), TEMPORARY_SNAPSHOT) == 0
                            : is_ours(snapshot, mark);
        json_decref(snapshot);
        if (unwanted && !snapshot_destroy(xapi, json_string_value(ref), error))
            return false;
    }
    return true;
}

bool snapshot_sweep(Xapi *xapi, const char *vm_ref, const char *mark, GError **error)
{
    json_t *vm = get_record(xapi, "VM", vm_ref, error);
    bool ok = vm && each_snapshot(xapi, vm, mark, false, error) &&
              take_marks(xapi, vm_ref, mark, error);
    json_decref(vm);
    return ok;
}

/* --- Taking it --- */

/* XO removes a temporary snapshot that an earlier run left; so do we. Failure is only litter. */
static void remove_temporary(VmRun *run)
{
    g_autoptr(GError) error = NULL;
    if (!each_snapshot(run->xapi, run->vm, NULL, true, &error))
        task_warning(run->task, "a temporary snapshot could not be removed",
                     json_pack("{ss}", "error", error->message));
}

/* VDIs that say [NOBAK]; older pools do not know the parameter. */
static json_t *ignored(VmRun *run, GError **error)
{
    json_t *refs = json_array();
    g_autoptr(GPtrArray) all = disks_of(run->xapi, run->vm, error);
    for (guint i = 0; all && i < all->len; i++) {
        bool wanted = false;
        for (guint j = 0; j < run->disks->len; j++)
            wanted = wanted || !strcmp(((VmDisk *) run->disks->pdata[j])->ref, all->pdata[i]);
        if (!wanted)
            json_array_append_new(refs, json_string(all->pdata[i]));
    }
    if (!all)
        g_clear_pointer(&refs, json_decref);
    return refs;
}

static bool call_snapshot(VmRun *run, GError **error)
{
    json_t *skip = ignored(run, error);
    if (!skip)
        return false;
    json_t *params = json_pack("[ss]", run->vm_ref, TEMPORARY_SNAPSHOT);
    if (json_array_size(skip) > 0)
        json_array_append(params, skip);
    json_decref(skip);
    run->snapshot_ref =
        xapi_call_task(run->xapi, "VM.snapshot", params, run->cancel, NULL, NULL, error);
    return run->snapshot_ref;
}

/* Finds the snapshot of each disk. */
static bool match_disk(VmRun *run, const char *vbd_ref, GError **error)
{
    json_t *vbd = get_record(run->xapi, "VBD", vbd_ref, error);
    if (!vbd)
        return false;
    const char *ref = json_text(vbd, "VDI");
    bool is_disk = strcmp(json_text(vbd, "type"), "Disk") == 0 && is_ref(ref);
    json_t *vdi = is_disk ? get_record(run->xapi, "VDI", ref, error) : NULL;
    for (guint i = 0; vdi && i < run->disks->len; i++) {
        VmDisk *disk = run->disks->pdata[i];
        if (strcmp(json_text(vdi, "snapshot_of"), disk->ref) != 0 || disk->snap_ref)
            continue;
        disk->snap_ref = g_strdup(ref);
        disk->snap_uuid = g_strdup(json_text(vdi, "uuid"));
        disk->snap_vdi = json_incref(vdi);
        disk->snap_vbd = json_incref(vbd);
        disk->snap_vbd_ref = g_strdup(vbd_ref);
    }
    bool ok = vdi || !is_disk;
    json_decref(vdi);
    json_decref(vbd);
    return ok;
}

bool snapshot_match(VmRun *run, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(run->snapshot, "VBDs"), i, ref) {
        if (!match_disk(run, json_string_value(ref), error))
            return false;
    }
    for (guint j = 0; j < run->disks->len; j++) {
        VmDisk *disk = run->disks->pdata[j];
        if (!disk->snap_ref) {
            err_set(error, ERR_STATE, "the snapshot lacks the disk %s", disk->uuid);
            return false;
        }
    }
    return true;
}

static json_t *stamp(const VmRun *run)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *datetime = g_date_time_format(now, "%Y%m%dT%H:%M:%SZ");
    json_t *keys = json_pack("{ss ss ss ss ss}", KEY_JOB, run->job_id, KEY_SCHEDULE,
                             run->context->schedule_id, KEY_VM, run->vm_uuid, KEY_DATETIME,
                             datetime, KEY_QCOW2_FIX, "true");
    json_object_set_new(keys, OWNER_MARK, json_string(run->mark));
    return keys;
}

/* The keys go on every object; on a disk also whose content it is. The VM's come last: by its mark
 * the whole snapshot is found, should we end in between. */
static bool put_keys(VmRun *run, json_t *keys, GError **error)
{
    bool ok = true;
    for (guint i = 0; ok && i < run->disks->len; i++) {
        VmDisk *disk = run->disks->pdata[i];
        json_t *config = config_with(disk->snap_vdi, keys);
        json_object_set_new(config, KEY_CONTENT, json_string(disk->snap_uuid));
        ok = set_config(run->xapi, "VDI", disk->snap_ref, config, error);
        json_decref(config);
    }
    json_t *config = config_with(run->snapshot, keys);
    ok = ok && set_config(run->xapi, "VM", run->snapshot_ref, config, error);
    json_decref(config);
    return ok;
}

static bool stamp_snapshot(VmRun *run, GError **error)
{
    g_autofree char *name =
        g_strdup_printf(SNAPSHOT_PREFIX "%s] %s", run->job_name, json_text(run->vm, "name_label"));
    g_autoptr(GError) licence = NULL;
    xapi_do(run->xapi, "VM.set_is_a_template", json_pack("[sb]", run->snapshot_ref, 0), &licence);
    json_t *keys = stamp(run);
    bool ok =
        put_keys(run, keys, error) &&
        xapi_do(run->xapi, "VM.set_name_label", json_pack("[ss]", run->snapshot_ref, name), error);
    json_decref(keys);
    json_t *again = ok ? get_record(run->xapi, "VM", run->snapshot_ref, error) : NULL;
    if (!again)
        return false;
    json_decref(run->snapshot);
    run->snapshot = again;
    return true;
}

static bool take(VmRun *run, GError **error)
{
    if (!put_marks(run, error) || !call_snapshot(run, error))
        return false;
    CRASH_POINT(work_snapshot_taken);
    run->snapshot = get_record(run->xapi, "VM", run->snapshot_ref, error);
    return run->snapshot && snapshot_match(run, error) && stamp_snapshot(run, error) &&
           take_marks(run->xapi, run->vm_ref, run->mark, error);
}

bool snapshot_take(VmRun *run, GError **error)
{
    GError *why = NULL;
    remove_temporary(run);
    Task *task = task_begin(run->task, "snapshot", NULL);
    if (take(run, &why)) {
        task_end(task, json_string(json_text(run->snapshot, "uuid")));
        return true;
    }
    g_prefix_error(&why, "snapshot of %s: ", json_text(run->vm, "name_label"));
    task_fail(task, why);
    g_propagate_error(error, why);
    return false;
}

/* --- After the transfer --- */

bool snapshot_keep(VmRun *run, GError **error)
{
    json_t *keys = json_object(), *value;
    const char *key;
    g_autofree char *length = g_strdup_printf("%u", run->chain_length);
    json_object_foreach (json_object_get(run->snapshot, "other_config"), key, value) {
        if (g_str_has_prefix(key, KEY_PREFIX))
            json_object_set(keys, key, value);
    }
    if (!run->full) {
        json_object_set_new(keys, KEY_LENGTH, json_string(length));
        json_object_set_new(keys, KEY_EXPORTED, json_string("true"));
    }
    bool ok = put_keys(run, keys, error);
    json_decref(keys);
    return ok;
}

void snapshot_undo(VmRun *run)
{
    g_autoptr(GError) error = NULL;
    if (run->intent && !snapshot_sweep(run->xapi, run->vm_ref, run->mark, &error)) {
        task_warning(run->task,
                     "what the backup left in the pool could not be removed; it will be "
                     "retried",
                     json_pack("{ss}", "error", error->message));
        g_clear_pointer(&run->intent, g_free); /* stays open in the journal */
    }
}

static gint64 snapshots_kept(const VmRun *run, const char *schedule)
{
    json_t *own = json_object_get(json_object_get(run->context->job, "settings"), schedule);
    return setting_int(own, "snapshotRetention",
                       strcmp(schedule, run->context->schedule_id) == 0
                           ? setting_int(run->settings, "snapshotRetention", 0)
                           : 0);
}

bool snapshot_settle(VmRun *run, GError **error)
{
    if (!run->snapshot_ref)
        return true;
    if (snapshots_kept(run, run->context->schedule_id) > 0)
        return snapshot_keep(run, error);
    snapshot_undo(run);
    return true;
}

static int newest_first(const void *a, const void *b)
{
    const JobVdi *x = *(JobVdi *const *) a, *y = *(JobVdi *const *) b;
    return g_strcmp0(config_text(y->record, KEY_DATETIME), config_text(x->record, KEY_DATETIME));
}

/* How many snapshots of its schedule are newer than this one, by distinct times. The one just taken
 * counts for its schedule. */
static gint64 n_newer(const VmRun *run, const JobVdi *vdi)
{
    const char *schedule = config_text(vdi->record, KEY_SCHEDULE), *last = NULL;
    gint64 n = g_strcmp0(schedule, run->context->schedule_id) == 0;
    for (guint i = 0; i < run->job_vdis->len; i++) {
        JobVdi *other = run->job_vdis->pdata[i];
        const char *datetime = config_text(other->record, KEY_DATETIME);
        if (g_strcmp0(config_text(other->record, KEY_SCHEDULE), schedule) != 0 ||
            g_strcmp0(datetime, config_text(vdi->record, KEY_DATETIME)) <= 0 ||
            g_strcmp0(datetime, last) == 0)
            continue;
        last = datetime;
        n++;
    }
    return n;
}

void snapshot_rotate(VmRun *run)
{
    g_ptr_array_sort(run->job_vdis, newest_first);
    for (guint i = 0; i < run->job_vdis->len; i++) {
        JobVdi *vdi = run->job_vdis->pdata[i];
        const char *schedule = config_text(vdi->record, KEY_SCHEDULE);
        g_autoptr(GError) error = NULL;
        if (n_newer(run, vdi) < snapshots_kept(run, schedule ? schedule : ""))
            continue;
        bool ok = vdi->vm ? snapshot_destroy(run->xapi, vdi->vm, &error)
                          : vdi_destroy(run->xapi, vdi->ref, &error);
        if (!ok)
            task_warning(run->task, "an old snapshot could not be removed",
                         json_pack("{ss ss}", "vdi", vdi->uuid, "error", error->message));
    }
}
