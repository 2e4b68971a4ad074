/* The VM before its backup: its record and disks, the reasons not to touch it, and the block that
 * keeps it from migrating meanwhile. */
#include "work/private.h"

#include "base/error.h"

#include <string.h>

static const char *const MIGRATIONS[] = { "pool_migrate", "migrate_send" };

void vm_disk_free(gpointer data)
{
    VmDisk *disk = data;
    g_free(disk->ref);
    g_free(disk->uuid);
    json_decref(disk->record);
    g_free(disk->why_full);
    g_strfreev(disk->parents);
    g_free(disk->snap_ref);
    g_free(disk->snap_uuid);
    json_decref(disk->snap_vdi);
    json_decref(disk->snap_vbd);
    g_free(disk->snap_vbd_ref);
    g_free(disk);
}

static bool has_disk(const VmRun *run, const char *ref)
{
    for (guint i = 0; i < run->disks->len; i++)
        if (strcmp(((VmDisk *) run->disks->pdata[i])->ref, ref) == 0)
            return true;
    return false;
}

/* CD drives and disks that say they want no backup are left out. */
static bool load_disk(VmRun *run, const char *vbd_ref, GError **error)
{
    json_t *vbd = get_record(run->xapi, "VBD", vbd_ref, error);
    if (!vbd)
        return false;
    g_autofree char *ref = g_strdup(json_text(vbd, "VDI"));
    bool wanted = strcmp(json_text(vbd, "type"), "Disk") == 0 && is_ref(ref) && !has_disk(run, ref);
    json_decref(vbd);
    if (!wanted)
        return true;
    json_t *record = get_record(run->xapi, "VDI", ref, error);
    if (!record)
        return false;
    if (strstr(json_text(record, "name_label"), "[NOBAK]")) {
        json_decref(record);
        return true;
    }
    VmDisk *disk = g_new0(VmDisk, 1);
    disk->ref = g_steal_pointer(&ref);
    disk->uuid = g_strdup(json_text(record, "uuid"));
    disk->record = record;
    g_ptr_array_add(run->disks, disk);
    return true;
}

void vm_unload(VmRun *run)
{
    g_clear_pointer(&run->vm_ref, g_free);
    g_clear_pointer(&run->vm, json_decref);
    g_ptr_array_set_size(run->disks, 0);
}

bool vm_load(VmRun *run, GError **error)
{
    run->vm_ref =
        xapi_call_string(run->xapi, "VM.get_by_uuid", json_pack("[s]", run->vm_uuid), error);
    run->vm = run->vm_ref ? get_record(run->xapi, "VM", run->vm_ref, error) : NULL;
    if (!run->vm) {
        g_prefix_error(error, "VM %s: ", run->vm_uuid);
        return false;
    }
    task_property(run->task, "name_label", json_string(json_text(run->vm, "name_label")));
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(run->vm, "VBDs"), i, ref) {
        if (!load_disk(run, json_string_value(ref), error))
            return false;
    }
    return true;
}

static bool is_migrating(json_t *vm)
{
    const char *task;
    json_t *operation;
    json_object_foreach (json_object_get(vm, "current_operations"), task, operation) {
        for (gsize i = 0; i < G_N_ELEMENTS(MIGRATIONS); i++)
            if (g_strcmp0(json_string_value(operation), MIGRATIONS[i]) == 0)
                return true;
    }
    return false;
}

static bool check_settings(VmRun *run, GError **error)
{
    static const char *const later[] = { "checkpointSnapshot", "offlineSnapshot", "offlineBackup" };
    for (gsize i = 0; i < G_N_ELEMENTS(later); i++)
        if (setting_bool(run->settings, later[i])) {
            err_set(error, ERR_UNSUPPORTED, "the setting %s of the job is not supported yet",
                    later[i]);
            return false;
        }
    return true;
}

bool vm_check(VmRun *run, GError **error)
{
    const char *name = json_text(run->vm, "name_label");
    const char *of_job = config_text(run->vm, KEY_JOB);
    if (json_is_true(json_object_get(run->vm, "is_a_template")) ||
        json_is_true(json_object_get(run->vm, "is_a_snapshot"))) {
        err_set(error, ERR_STATE, "%s is a template or a snapshot, not a VM", name);
        return false;
    }
    if (g_strcmp0(of_job, run->job_id) == 0 &&
        json_object_get(json_object_get(run->vm, "blocked_operations"), "start")) {
        err_set(error, ERR_STATE, "VM %s is a replica made by this job", name);
        return false;
    }
    if (is_migrating(run->vm)) {
        err_set(error, ERR_BUSY, "VM %s is being migrated", name);
        return false;
    }
    if (run->disks->len == 0) {
        err_set(error, ERR_NO_DISKS, "VM %s has no disks to back up", name);
        return false;
    }
    return check_settings(run, error) && vm_check_chains(run, error);
}

static bool put_blocked(Xapi *xapi, const char *vm_ref, const char *operation, const char *reason,
                        GError **error)
{
    if (!xapi_do(xapi, "VM.remove_from_blocked_operations", json_pack("[ss]", vm_ref, operation),
                 error))
        return false;
    return !reason || xapi_do(xapi, "VM.add_to_blocked_operations",
                              json_pack("[sss]", vm_ref, operation, reason), error);
}

bool vm_block(VmRun *run, GError **error)
{
    json_t *blocked = json_object_get(run->vm, "blocked_operations");
    run->was_blocked = json_object();
    for (gsize i = 0; i < G_N_ELEMENTS(MIGRATIONS); i++) {
        json_t *reason = json_object_get(blocked, MIGRATIONS[i]);
        /* What a run that died left is not a reason to keep. */
        bool keep = reason && g_strcmp0(json_string_value(reason), BLOCKED_REASON) != 0;
        json_object_set_new(run->was_blocked, MIGRATIONS[i],
                            keep ? json_incref(reason) : json_null());
    }
    g_autofree char *mark = g_strdup(run->mark);
    run->intent = intent_begin(run->context, "vm",
                               json_pack("{ss ss ss sO}", "pool", run->pool->id, "vm", run->vm_uuid,
                                         "mark", mark, "blocked", run->was_blocked),
                               error);
    if (!run->intent)
        return false;
    run->blocked = true;
    for (gsize i = 0; i < G_N_ELEMENTS(MIGRATIONS); i++)
        if (!put_blocked(run->xapi, run->vm_ref, MIGRATIONS[i], BLOCKED_REASON, error))
            return false;
    return true;
}

bool vm_restore_blocked(Xapi *xapi, const char *vm_ref, json_t *was, GError **error)
{
    const char *operation;
    json_t *reason;
    json_object_foreach (was, operation, reason) {
        if (!put_blocked(xapi, vm_ref, operation, json_string_value(reason), error))
            return false;
    }
    return xapi_do(xapi, "VM.update_allowed_operations", json_pack("[s]", vm_ref), error);
}

void vm_unblock(VmRun *run)
{
    g_autoptr(GError) error = NULL;
    if (!run->blocked)
        return;
    if (vm_restore_blocked(run->xapi, run->vm_ref, run->was_blocked, &error))
        run->blocked = false;
    else
        task_warning(run->task, "the VM could not be unblocked for migration; it will be retried",
                     json_pack("{ss}", "error", error->message));
}
