/* One disk of the snapshot, read once and written to all targets. Several threads do this for one
 * VM: what they share is under the run's lock. */
#include "work/private.h"

#include "base/error.h"

#include <string.h>

typedef struct {
    VmRun *run;
    VmDisk *disk;
    CatalogDisk *ends[PIPE_MAX_WRITERS]; /* by target, NULL: dropped */
    Cancel *cancel;                      /* of all disks' transfer */
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
    pthread_mutex_lock(&run->lock);
    for (unsigned i = 0; i < run->n_targets; i++)
        if (run->targets[i].export)
            task_info(run->targets[i].export,
                      nbd ? "Transfer data using NBD" : "Transfer data using the VHD export",
                      json_incref(data));
    pthread_mutex_unlock(&run->lock);
    json_decref(data);
}

static Source *open_once(const DiskCopy *copy, const guint8 *have, GPtrArray *notes, GError **error)
{
    VmRun *run = copy->run;
    const VmDisk *disk = copy->disk;
    SourceRequest request = {
        .xapi = run->xapi,
        .vdi = disk->snap_ref,
        .base = disk->base ? disk->base->ref : NULL,
        .size_bytes = disk_size(disk),
        .prefer_nbd = setting_bool(run->settings, "preferNbd"),
        .n_connections =
            (unsigned) CLAMP(setting_int(run->settings, "nbdConcurrency", 1), 1, PIPE_MAX_READERS),
        .have = have,
        .cancel = copy->cancel,
    };
    return source_open(&request, notes, error);
}

/* A delta that no way gives becomes a full backup of that disk, with a warning. */
static Source *open_source(const DiskCopy *copy, const guint8 *have, GError **error)
{
    VmRun *run = copy->run;
    VmDisk *disk = copy->disk;
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    GError *why = NULL;
    Source *source = open_once(copy, have, notes, &why);
    if (!source && disk->base && !cancel_is_set(copy->cancel)) {
        task_warning(run->task, "the changes of a disk could not be read: full backup of it",
                     json_pack("{ss ss}", "disk", disk->uuid, "error", why->message));
        g_clear_error(&why);
        disk->base = NULL;
        source = open_once(copy, NULL, notes, &why);
    }
    if (source) {
        report_source(run, disk, source, notes);
        return source;
    }
    g_prefix_error(&why, "disk %s: ", disk->uuid);
    g_propagate_error(error, why);
    return NULL;
}

static bool set_info(const DiskCopy *copy, DiskInfo *info, GError **error)
{
    *info =
        (DiskInfo){ .size_bytes = disk_size(copy->disk), .timestamp_s = copy->run->time_ms / 1000 };
    if (disk_uid_parse(copy->disk->snap_uuid, &info->uid))
        return true;
    err_set(error, ERR_PROTOCOL, "snapshot %s has no proper uuid", copy->disk->snap_uuid);
    return false;
}

/* Those that are not open already. */
static bool open_ends(DiskCopy *copy, const DiskInfo *info, GError **error)
{
    VmRun *run = copy->run;
    VmDisk *disk = copy->disk;
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        if (!target_is_left(run, target) || target->committed || copy->ends[i])
            continue;
        copy->ends[i] = catalog_disk_begin(target->target->catalog, run->vm_uuid, run->job_id,
                                           disk->uuid, run->time_ms, info,
                                           disk->base ? disk->parents[i] : NULL, &why);
        if (!copy->ends[i])
            target_drop(run, target, why);
        progress_follow(run->progress, disk, target, copy->ends[i]);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

static void show_progress(guint32 n_done, guint32 n_total, void *user)
{
    DiskCopy *copy = user;
    VmRun *run = copy->run;
    double sum = 0;
    pthread_mutex_lock(&run->lock);
    copy->disk->part = n_total ? (double) n_done / n_total : 1;
    for (guint i = 0; i < run->disks->len; i++)
        sum += ((VmDisk *) run->disks->pdata[i])->part;
    for (unsigned i = 0; i < run->n_targets; i++)
        task_progress(run->targets[i].transfer, 100 * sum / run->disks->len);
    pthread_mutex_unlock(&run->lock);
}

static void free_end(void *disk)
{
    catalog_disk_free(disk);
}

/* The pipe's ends in the order of the targets that are left; owner[n]: which. */
static unsigned pipe_ends(DiskCopy *copy, PipeEnd *ends, unsigned *owner)
{
    unsigned n = 0;
    for (unsigned i = 0; i < copy->run->n_targets; i++) {
        const TargetRun *target = &copy->run->targets[i];
        if (!copy->ends[i] || copy->ends[i]->done)
            continue;
        owner[n] = i;
        ends[n++] = late_pipe_end(target, copy->ends[i]->writer, copy->ends[i], free_end);
    }
    return n;
}

PipeOptions transfer_options(const VmRun *run, Cancel *cancel)
{
    return (PipeOptions){
        .cancel = cancel,
        .stall_timeout_ms =
            (unsigned) CLAMP(setting_int(run->settings, "stallTimeout", 0), 0, G_MAXINT),
        .spool_blocks = (unsigned) CLAMP(
            setting_int(run->settings, "spoolBlocks", PIPE_SPOOL_BLOCKS), 0, PIPE_MAX_SPOOL),
        .throttle = run->context->throttle,
    };
}

static bool run_pipe(DiskCopy *copy, Source *source, GError **error)
{
    VmRun *run = copy->run;
    PipeEnd ends[PIPE_MAX_WRITERS] = { 0 };
    unsigned owner[PIPE_MAX_WRITERS], n = pipe_ends(copy, ends, owner);
    guint64 n_bytes;
    PipeOptions options = transfer_options(run, copy->cancel);
    options.progress = show_progress;
    options.user = copy;
    if (n == 0)
        return targets_error(run, error);
    bool ok = pipe_run(source, ends, n, &options, &n_bytes, error);
    for (unsigned i = 0; i < n; i++)
        if (!late_settle(run, &run->targets[owner[i]], &ends[i], copy->ends[owner[i]], free_end))
            copy->ends[owner[i]] = NULL;
    if (!ok)
        g_prefix_error(error, "disk %s, read by %s: ", copy->disk->uuid, source->method);
    return ok;
}

CatalogReadBack read_back_of(const VmRun *run, const TargetRun *target)
{
    const char *how = setting_text_of_target(run, target, "readBack");
    return strcmp(how, "all") == 0    ? CATALOG_READ_ALL
           : strcmp(how, "none") == 0 ? CATALOG_READ_NONE
                                      : CATALOG_READ_SAMPLE;
}

/* With the run's lock held. */
static void report_read_back(const DiskCopy *copy, unsigned i)
{
    static const char *const words[] = { "sample", "all", "none" };
    const CatalogDisk *end = copy->ends[i];
    task_info(copy->run->targets[i].transfer, "What was written has been read back",
              json_pack("{ss ss si si}", "disk", copy->disk->uuid, "readBack",
                        words[end->read_back], "blocks", (int) end->verified.n_blocks, "verified",
                        (int) end->verified.n_verified));
}

static bool finish_end(DiskCopy *copy, unsigned index, GError **error)
{
    VmRun *run = copy->run;
    TargetRun *target = &run->targets[index];
    CatalogDisk *end = copy->ends[index];
    guint64 size_bytes = 0;
    if (!remote_lock_held(target->lock)) {
        err_set(error, ERR_BUSY, "the lock of the VM's folder was lost");
        return false;
    }
    end->read_back = read_back_of(run, target);
    if (!catalog_disk_finish(end, &size_bytes, error))
        return false;
    pthread_mutex_lock(&run->lock);
    target->size_bytes += size_bytes;
    report_read_back(copy, index);
    json_object_set_new(target->vhds, copy->disk->snap_ref, json_string(end->path));
    pthread_mutex_unlock(&run->lock);
    return true;
}

static bool finish_ends(DiskCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    for (unsigned i = 0; i < run->n_targets; i++) {
        GError *why = NULL;
        if (copy->ends[i] && target_is_left(run, &run->targets[i]) && !finish_end(copy, i, &why))
            target_drop(run, &run->targets[i], why);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

/* Those of a transfer that failed are kept until it is known whether it is gone on with. */
static void close_ends(DiskCopy *copy, bool ok)
{
    VmRun *run = copy->run;
    for (unsigned i = 0; i < run->n_targets; i++) {
        CatalogDisk *end = g_steal_pointer(&copy->ends[i]);
        if (ok || !end || !run->context->may_go_on || late_is_stuck(run->targets[i].target)) {
            late_release(run->targets[i].target, end, free_end);
            continue;
        }
        pthread_mutex_lock(&run->lock);
        g_ptr_array_add(run->kept, end);
        pthread_mutex_unlock(&run->lock);
    }
}

/* The source, without the blocks that all ends have from before an interruption. When it cannot
 * give the changes that they hold, they are begun anew. */
static Source *open_rest(DiskCopy *copy, const DiskInfo *info, unsigned n_continued, GError **error)
{
    const JobVdi *base = copy->disk->base;
    guint32 n_blocks = (guint32) ((info->size_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);
    g_autofree guint8 *have = n_continued ? ends_common(copy->run, copy->ends, n_blocks) : NULL;
    Source *source = open_source(copy, have, error);
    if (!source || copy->disk->base == base || n_continued == 0)
        return source;
    for (unsigned i = 0; i < copy->run->n_targets; i++) /* at once: their names are used again */
        g_clear_pointer(&copy->ends[i], catalog_disk_free);
    return source; /* of a full backup: nothing was left out */
}

bool transfer_disk(VmRun *run, guint index, Cancel *cancel, GError **error)
{
    DiskCopy copy = { .run = run, .disk = run->disks->pdata[index], .cancel = cancel };
    DiskInfo info;
    unsigned n_continued;
    if (!set_info(&copy, &info, error))
        return false;
    ends_continue(run, copy.disk, &info, copy.ends, &n_continued);
    bool done = run->resumed && ends_all_done(run, copy.ends);
    g_autoptr(Source) source = done ? NULL : open_rest(&copy, &info, n_continued, error);
    bool ok =
        (done || (source && open_ends(&copy, &info, error) && run_pipe(&copy, source, error))) &&
        finish_ends(&copy, error);
    close_ends(&copy, ok);
    return ok;
}
