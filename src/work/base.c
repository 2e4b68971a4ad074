/* The choice of a base: the newest snapshot that this job exported and that every target can
 * continue from. Whatever stands against it is a reason that the user gets to read. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

void job_vdi_free(gpointer data)
{
    JobVdi *vdi = data;
    g_free(vdi->ref);
    g_free(vdi->uuid);
    g_free(vdi->vm);
    json_decref(vdi->record);
    g_free(vdi);
}

static bool same_key(json_t *a, json_t *b, const char *key)
{
    return g_strcmp0(config_text(a, key), config_text(b, key)) == 0;
}

/* The snapshot VM that a snapshot VDI hangs on: NULL in *vm when there is none; false in *usable
 * when it hangs on anything else, so that nobody but this job may write or delete it. */
static bool find_vm(VmRun *run, json_t *vdi, char **vm, bool *usable, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(vdi, "VBDs"), i, ref) {
        g_autoptr(GError) why = NULL;
        json_t *vbd = get_record(run->xapi, "VBD", json_string_value(ref), &why);
        if (!vbd && xapi_is_gone(why))
            continue; /* that of an export, say, which ends just now with its reader */
        if (!vbd) {
            g_propagate_error(error, g_steal_pointer(&why));
            return false;
        }
        g_autofree char *owner = g_strdup(json_text(vbd, "VM"));
        json_decref(vbd);
        json_t *record = get_record(run->xapi, "VM", owner, error);
        if (!record)
            return false;
        bool ours = json_is_true(json_object_get(record, "is_a_snapshot")) &&
                    same_key(record, vdi, KEY_JOB) && same_key(record, vdi, KEY_VM) &&
                    same_key(record, vdi, KEY_DATETIME);
        bool control = json_is_true(json_object_get(record, "is_control_domain"));
        json_decref(record);
        if (control)
            continue; /* an export that has just ended */
        *usable = *usable && ours && (!*vm || strcmp(*vm, owner) == 0);
        g_free(*vm);
        *vm = g_steal_pointer(&owner);
    }
    return true;
}

static bool is_of_job(const VmRun *run, json_t *record)
{
    return g_strcmp0(config_text(record, KEY_JOB), run->job_id) == 0 &&
           g_strcmp0(config_text(record, KEY_VM), run->vm_uuid) == 0 &&
           !config_text(record, KEY_COPY_OF);
}

static bool list_snapshot(VmRun *run, const char *ref, GError **error)
{
    g_autoptr(GError) why = NULL;
    json_t *record = get_record(run->xapi, "VDI", ref, &why);
    if (!record && xapi_is_gone(why))
        return true; /* gone meanwhile */
    if (!record) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    char *vm = NULL;
    bool usable = is_of_job(run, record);
    if (usable && !find_vm(run, record, &vm, &usable, error)) {
        json_decref(record);
        g_free(vm);
        return false;
    }
    if (!usable) {
        json_decref(record);
        g_free(vm);
        return true;
    }
    JobVdi *vdi = g_new0(JobVdi, 1);
    vdi->ref = g_strdup(ref);
    vdi->uuid = g_strdup(json_text(record, "uuid"));
    vdi->vm = vm;
    vdi->record = record;
    g_ptr_array_add(run->job_vdis, vdi);
    return true;
}

bool base_list(VmRun *run, GError **error)
{
    for (guint i = 0; i < run->disks->len; i++) {
        VmDisk *disk = run->disks->pdata[i];
        size_t j;
        json_t *ref;
        json_array_foreach (json_object_get(disk->record, "snapshots"), j, ref) {
            if (!list_snapshot(run, json_string_value(ref), error))
                return false;
        }
    }
    return true;
}

/* Only what every target got to the end is a base. */
static bool is_exported(json_t *record)
{
    return g_strcmp0(config_text(record, KEY_EXPORTED), "true") == 0 ||
           MUTANT(base_not_exported); /* mutant: work:test_unexported */
}

/* The datetime of the newest exported group, or NULL. */
static const char *newest_exported(const VmRun *run)
{
    const char *newest = NULL;
    for (guint i = 0; i < run->job_vdis->len; i++) {
        JobVdi *vdi = run->job_vdis->pdata[i];
        const char *datetime = config_text(vdi->record, KEY_DATETIME);
        if (is_exported(vdi->record) && datetime && (!newest || strcmp(datetime, newest) > 0))
            newest = datetime;
    }
    return newest;
}

static JobVdi *base_of(const VmRun *run, const VmDisk *disk, const char *datetime)
{
    for (guint i = 0; datetime && i < run->job_vdis->len; i++) {
        JobVdi *vdi = run->job_vdis->pdata[i];
        if (g_strcmp0(config_text(vdi->record, KEY_DATETIME), datetime) == 0 &&
            is_exported(vdi->record) &&
            strcmp(json_text(vdi->record, "snapshot_of"), disk->ref) == 0)
            return vdi;
    }
    return NULL;
}

static void no_base(VmDisk *disk, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void no_base(VmDisk *disk, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_free(disk->why_full);
    disk->why_full = g_strdup_vprintf(format, args);
    va_end(args);
    disk->base = NULL;
}

/* All targets must be able to continue it. */
static void ask_targets(VmRun *run, VmDisk *disk)
{
    DiskUid uid;
    if (!disk_uid_parse(disk->base->uuid, &uid)) {
        no_base(disk, "the base snapshot has no proper uuid");
        return;
    }
    disk->parents = g_new0(char *, run->n_targets + 1);
    for (unsigned i = 0; i < run->n_targets && disk->base; i++) {
        TargetRun *target = &run->targets[i];
        g_autoptr(GError) why = NULL;
        if (target->error) {
            disk->parents[i] = g_strdup("");
            continue;
        }
        disk->parents[i] = catalog_base(target->target->catalog, run->vm_uuid, run->job_id,
                                        disk->uuid, &uid, &why);
        if (!disk->parents[i])
            no_base(disk, "%s", why->message);
    }
}

static unsigned length_of(const JobVdi *base)
{
    const char *text = config_text(base->record, KEY_LENGTH);
    return text ? (unsigned) g_ascii_strtoull(text, NULL, 10) : 0;
}

static void choose(VmRun *run, VmDisk *disk, const char *datetime)
{
    gint64 interval = setting_int(run->settings, "fullInterval", 0);
    disk->base = base_of(run, disk, datetime);
    if (!disk->base) {
        no_base(disk, datetime ? "the last snapshot of this job does not have this disk"
                               : "there is no exported snapshot of this job");
    } else if (interval > 0 && interval <= length_of(disk->base) + 1) {
        no_base(disk, "the job asks for a full backup every %d backups", (int) interval);
    } else {
        ask_targets(run, disk);
    }
    if (disk->base)
        run->chain_length = MAX(run->chain_length, length_of(disk->base) + 1);
    else
        task_info(run->task, "full backup of a disk",
                  json_pack("{ss ss ss}", "disk", disk->uuid, "name",
                            json_text(disk->record, "name_label"), "reason", disk->why_full));
}

bool base_choose(VmRun *run, GError **error)
{
    const char *datetime = newest_exported(run);
    for (guint i = 0; i < run->disks->len; i++)
        choose(run, run->disks->pdata[i], datetime);
    return true;
}
