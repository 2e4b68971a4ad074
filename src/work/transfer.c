/* The disks of the snapshot, one after the other, each read once and written to all targets. */
#include "work/private.h"

#include "base/error.h"

#include <string.h>

typedef struct {
    VmRun *run;
    VmDisk *disk;
    CatalogDisk *ends[PIPE_MAX_WRITERS]; /* by target, NULL: dropped */
    guint index;                         /* of the disk */
} DiskCopy;

static guint64 disk_size(const VmDisk *disk)
{
    return json_integer_value(json_object_get(disk->snap_vdi, "virtual_size"));
}

static void report_source(VmRun *run, const VmDisk *disk, const Source *source, GPtrArray *notes)
{
    json_t *passed = json_array();
    for (guint i = 0; i < notes->len; i++)
        json_array_append_new(passed, json_string(notes->pdata[i]));
    bool nbd = g_str_has_prefix(source->method, "nbd");
    json_t *data =
        json_pack("{ss ss so}", "disk", disk->uuid, "method", source->method, "notes", passed);
    for (unsigned i = 0; i < run->n_targets; i++)
        if (run->targets[i].export)
            task_info(run->targets[i].export,
                      nbd ? "Transfer data using NBD" : "Transfer data using the VHD export",
                      json_incref(data));
    json_decref(data);
}

static Source *open_once(VmRun *run, const VmDisk *disk, GPtrArray *notes, GError **error)
{
    SourceRequest request = {
        .xapi = run->xapi,
        .vdi = disk->snap_ref,
        .base = disk->base ? disk->base->ref : NULL,
        .size_bytes = disk_size(disk),
        .prefer_nbd = setting_bool(run->settings, "preferNbd"),
        .n_connections =
            (unsigned) CLAMP(setting_int(run->settings, "nbdConcurrency", 1), 1, PIPE_MAX_READERS),
        .cancel = run->cancel,
    };
    return source_open(&request, notes, error);
}

/* A delta that no way gives becomes a full backup of that disk, with a warning. */
static Source *open_source(VmRun *run, VmDisk *disk, GError **error)
{
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    GError *why = NULL;
    Source *source = open_once(run, disk, notes, &why);
    if (!source && disk->base && !cancel_is_set(run->cancel)) {
        task_warning(run->task, "the changes of a disk could not be read: full backup of it",
                     json_pack("{ss ss}", "disk", disk->uuid, "error", why->message));
        g_clear_error(&why);
        disk->base = NULL;
        source = open_once(run, disk, notes, &why);
    }
    if (source) {
        report_source(run, disk, source, notes);
        return source;
    }
    g_prefix_error(&why, "disk %s: ", disk->uuid);
    g_propagate_error(error, why);
    return NULL;
}

static bool open_ends(DiskCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    VmDisk *disk = copy->disk;
    DiskInfo info = { .size_bytes = disk_size(disk), .timestamp_s = run->time_ms / 1000 };
    if (!disk_uid_parse(disk->snap_uuid, &info.uid)) {
        err_set(error, ERR_PROTOCOL, "snapshot %s has no proper uuid", disk->snap_uuid);
        return false;
    }
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        if (target->error)
            continue;
        copy->ends[i] = catalog_disk_begin(target->target->catalog, run->vm_uuid, run->job_id,
                                           disk->uuid, run->time_ms, &info,
                                           disk->base ? disk->parents[i] : NULL, &why);
        if (!copy->ends[i])
            target_drop(run, target, why);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

static void show_progress(guint32 n_done, guint32 n_total, void *user)
{
    DiskCopy *copy = user;
    double part = n_total ? (double) n_done / n_total : 1;
    double percent = 100 * (copy->index + part) / copy->run->disks->len;
    for (unsigned i = 0; i < copy->run->n_targets; i++)
        task_progress(copy->run->targets[i].transfer, percent);
}

/* A writer whose call came back after all. */
static void free_late(void *disk)
{
    catalog_disk_free(disk);
}

/* The pipe knows nothing of targets: which end is whose is kept here. */
static bool run_pipe(DiskCopy *copy, Source *source, GError **error)
{
    VmRun *run = copy->run;
    PipeEnd ends[PIPE_MAX_WRITERS] = { 0 };
    unsigned owner[PIPE_MAX_WRITERS], n = 0;
    guint64 n_bytes;
    for (unsigned i = 0; i < run->n_targets; i++)
        if (copy->ends[i]) {
            owner[n] = i;
            ends[n++] = (PipeEnd){ .writer = copy->ends[i]->writer,
                                   .left = free_late,
                                   .user = copy->ends[i] };
        }
    PipeOptions options = { .cancel = run->cancel,
                            .spool_blocks = PIPE_SPOOL_BLOCKS,
                            .progress = show_progress,
                            .user = copy };
    bool ok = pipe_run(source, ends, n, &options, &n_bytes, error);
    for (unsigned i = 0; i < n; i++) {
        if (ends[i].error)
            target_drop(run, &run->targets[owner[i]], ends[i].error);
        if (ends[i].stuck)
            copy->ends[owner[i]] = NULL;
        else if (ends[i].error)
            g_clear_pointer(&copy->ends[owner[i]], catalog_disk_free);
    }
    if (!ok)
        g_prefix_error(error, "disk %s, read by %s: ", copy->disk->uuid, source->method);
    return ok;
}

static CatalogReadBack read_back_of(const VmRun *run, const TargetRun *target)
{
    const char *how = setting_text_of_target(run, target, "readBack");
    return strcmp(how, "all") == 0    ? CATALOG_READ_ALL
           : strcmp(how, "none") == 0 ? CATALOG_READ_NONE
                                      : CATALOG_READ_SAMPLE;
}

static void report_read_back(const DiskCopy *copy, unsigned i)
{
    static const char *const words[] = { "sample", "all", "none" };
    const CatalogDisk *end = copy->ends[i];
    task_info(copy->run->targets[i].transfer, "What was written has been read back",
              json_pack("{ss ss si si}", "disk", copy->disk->uuid, "readBack",
                        words[end->read_back], "blocks", (int) end->verified.n_blocks, "verified",
                        (int) end->verified.n_verified));
}

static bool finish_ends(DiskCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        guint64 size_bytes = 0;
        if (!copy->ends[i])
            continue;
        copy->ends[i]->read_back = read_back_of(run, target);
        if (!remote_lock_held(target->lock)) {
            err_set(&why, ERR_BUSY, "the lock of the VM's folder was lost");
            target_drop(run, target, why);
        } else if (!catalog_disk_finish(copy->ends[i], &size_bytes, &why)) {
            target_drop(run, target, why);
        } else {
            target->size_bytes += size_bytes;
            report_read_back(copy, i);
            json_object_set_new(target->vhds, copy->disk->snap_ref,
                                json_string(copy->ends[i]->path));
        }
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

static bool copy_disk(VmRun *run, guint index, GError **error)
{
    DiskCopy copy = { .run = run, .disk = run->disks->pdata[index], .index = index };
    g_autoptr(Source) source = open_source(run, copy.disk, error);
    bool ok = source && open_ends(&copy, error) && run_pipe(&copy, source, error) &&
              finish_ends(&copy, error);
    for (unsigned i = 0; i < run->n_targets; i++)
        catalog_disk_free(copy.ends[i]);
    return ok;
}

bool transfer_disks(VmRun *run, GError **error)
{
    for (guint i = 0; i < run->disks->len; i++)
        if (cancel_check(run->cancel, "backup", error) || !copy_disk(run, i, error))
            return false;
    return true;
}
