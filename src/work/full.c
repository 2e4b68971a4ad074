/* The transfer of a full backup: the whole VM as one archive (XVA), read once, checked as it comes,
 * and written to all targets. How long it is, is known at its end. */
#include "work/private.h"

#include "base/error.h"
#include "catalog/archive.h"
#include "pipe/archive.h"

#include <string.h>

/* A target's end of the pipe: pieces of the stream into a file. */
typedef struct {
    DiskWriter base;
    CatalogArchive *archive;
    Source *source; /* not looked at once the pipe has ended */
} ArchiveEnd;

typedef struct {
    VmRun *run;
    Source *source;
    ArchiveEnd *ends[PIPE_MAX_WRITERS]; /* by target, NULL: dropped */
    guint64 expected_bytes;             /* at most */
} FullCopy;

static bool put_piece(DiskWriter *base, guint32 piece, const void *data, GError **error)
{
    ArchiveEnd *end = (ArchiveEnd *) base;
    gsize n = source_archive_piece_bytes(end->source, piece);
    return catalog_archive_write(end->archive, piece * (guint64) DISK_BLOCK_BYTES, data, n, error);
}

static const struct disk_writer_ops end_ops = { .put_block = put_piece };

static void end_free(void *data)
{
    ArchiveEnd *end = data;
    if (end)
        catalog_archive_free(end->archive);
    g_free(end);
}

/* What the pool is asked for; "compression" of the job. */
static const char *compression_of(const VmRun *run)
{
    const char *wanted = json_text(run->context->job, "compression");
    return strcmp(wanted, "native") == 0 ? "true" : strcmp(wanted, "zstd") == 0 ? "zstd" : "false";
}

static bool open_ends(FullCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        if (!target_is_left(run, target))
            continue;
        CatalogArchive *archive =
            catalog_archive_begin(target->target->catalog, run->vm_uuid, run->time_ms, &why);
        if (!archive) {
            target_drop(run, target, why);
            continue;
        }
        copy->ends[i] = g_new0(ArchiveEnd, 1);
        copy->ends[i]->base.ops = &end_ops;
        copy->ends[i]->base.info.n_blocks = G_MAXUINT32; /* known at the end */
        copy->ends[i]->archive = archive;
        copy->ends[i]->source = copy->source;
        g_free(target->xva);
        target->xva = g_strdup(catalog_archive_path(archive));
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

/* Against the most that an archive without compression can be, so that it never runs backwards. */
static void show_progress(guint32 n_done, guint32 n_total, void *user)
{
    FullCopy *copy = user;
    VmRun *run = copy->run;
    double done = (double) source_archive_bytes(copy->source);
    pthread_mutex_lock(&run->lock);
    for (unsigned i = 0; i < run->n_targets; i++)
        task_progress(run->targets[i].transfer,
                      100 * MIN(done / (double) MAX(copy->expected_bytes, 1), 1));
    pthread_mutex_unlock(&run->lock);
}

static unsigned pipe_ends(FullCopy *copy, PipeEnd *ends, unsigned *owner)
{
    unsigned n = 0;
    for (unsigned i = 0; i < copy->run->n_targets; i++) {
        const TargetRun *target = &copy->run->targets[i];
        if (!copy->ends[i])
            continue;
        owner[n] = i;
        ends[n++] = late_pipe_end(target, &copy->ends[i]->base, copy->ends[i], end_free);
    }
    return n;
}

static bool run_pipe(FullCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    PipeEnd ends[PIPE_MAX_WRITERS] = { 0 };
    unsigned owner[PIPE_MAX_WRITERS], n = pipe_ends(copy, ends, owner);
    guint64 n_bytes;
    PipeOptions options = transfer_options(run, run->cancel);
    options.progress = show_progress;
    options.user = copy;
    if (n == 0)
        return targets_error(run, error);
    bool ok = pipe_run(copy->source, ends, n, &options, &n_bytes, error);
    for (unsigned i = 0; i < n; i++)
        if (!late_settle(run, &run->targets[owner[i]], &ends[i], copy->ends[owner[i]], end_free))
            copy->ends[owner[i]] = NULL;
    return ok;
}

/* An archive that is whole may still lack a disk that was wanted. */
static bool check_disks(const FullCopy *copy, GError **error)
{
    const XvaInfo *info = source_archive_info(copy->source);
    for (guint i = 0; i < copy->run->disks->len; i++) {
        const VmDisk *disk = copy->run->disks->pdata[i];
        const char *uuid = disk->snap_uuid ? disk->snap_uuid : disk->uuid;
        bool found = false;
        for (guint j = 0; j < info->disks->len; j++)
            found = found || (strcmp(xva_info_disk(info, j)->uuid, uuid) == 0 &&
                              xva_info_disk(info, j)->attached);
        if (!found) {
            err_set(error, ERR_CORRUPT, "the archive that the pool sent lacks the disk %s", uuid);
            return false;
        }
    }
    return true;
}

static bool finish_end(FullCopy *copy, unsigned index, GError **error)
{
    TargetRun *target = &copy->run->targets[index];
    if (!remote_lock_held(target->lock)) {
        err_set(error, ERR_BUSY, "the lock of the VM's folder was lost");
        return false;
    }
    target->size_bytes = source_archive_bytes(copy->source);
    return catalog_archive_finish(copy->ends[index]->archive, target->size_bytes,
                                  source_archive_md5(copy->source), read_back_of(copy->run, target),
                                  error);
}

static bool finish_ends(FullCopy *copy, GError **error)
{
    VmRun *run = copy->run;
    for (unsigned i = 0; i < run->n_targets; i++) {
        GError *why = NULL;
        if (copy->ends[i] && target_is_left(run, &run->targets[i]) && !finish_end(copy, i, &why))
            target_drop(run, &run->targets[i], why);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}

/* XO's estimate: the disks in chunks, each with two headers and a checksum. */
static guint64 most_bytes(const VmRun *run)
{
    guint64 sum = 1 << 20;
    for (guint i = 0; i < run->disks->len; i++) {
        const VmDisk *disk = run->disks->pdata[i];
        guint64 size = json_integer_value(json_object_get(disk->record, "virtual_size"));
        sum += (size + XVA_CHUNK_BYTES - 1) / XVA_CHUNK_BYTES * (XVA_CHUNK_BYTES + 1536);
    }
    return sum;
}

static bool copy_all(FullCopy *copy, GError **error)
{
    return open_ends(copy, error) && run_pipe(copy, error) && check_disks(copy, error) &&
           finish_ends(copy, error);
}

bool transfer_archive(VmRun *run, GError **error)
{
    FullCopy copy = { .run = run, .expected_bytes = most_bytes(run) };
    const char *ref = run->snapshot_ref ? run->snapshot_ref : run->vm_ref;
    if (!streams_take(run->context->streams, run->cancel, error))
        return false;
    copy.source = source_archive(run->xapi, ref, compression_of(run), run->cancel);
    bool ok = copy_all(&copy, error);
    for (unsigned i = 0; i < run->n_targets; i++)
        late_release(run->targets[i].target, copy.ends[i], end_free);
    source_close(copy.source);
    streams_give(run->context->streams);
    return ok;
}

/* --- Whether there is a snapshot --- */

static bool leaves_disks_out(VmRun *run)
{
    size_t i;
    json_t *ref;
    guint n_disks = 0;
    json_array_foreach (json_object_get(run->vm, "VBDs"), i, ref) {
        json_t *vbd = get_record(run->xapi, "VBD", json_string_value(ref), NULL);
        n_disks += strcmp(json_text(vbd, "type"), "Disk") == 0 && is_ref(json_text(vbd, "VDI"));
        json_decref(vbd);
    }
    return n_disks != run->disks->len;
}

bool full_wants_snapshot(VmRun *run)
{
    return strcmp(json_text(run->vm, "power_state"), "Halted") != 0 ||
           setting_bool(run->settings, "unconditionalSnapshot") ||
           setting_int(run->settings, "snapshotRetention", 0) != 0 || leaves_disks_out(run);
}
