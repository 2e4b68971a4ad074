/* The ends of a disk that an earlier worker had begun to write: found again by what it told, and
 * gone on with. What cannot be is written anew, and the log says why. */
#include "work/private.h"

#include "base/error.h"

static bool wants(VmRun *run, unsigned i)
{
    return target_is_left(run, &run->targets[i]) && !run->targets[i].committed;
}

static CatalogDisk *continue_end(VmRun *run, VmDisk *disk, const DiskInfo *info, unsigned i)
{
    TargetRun *target = &run->targets[i];
    g_autoptr(GBytes) rows = NULL;
    g_autoptr(GError) why = NULL;
    const char *place = progress_find(run->progress, disk, target, &rows);
    if (!place)
        return NULL;
    CatalogDisk *end = catalog_disk_continue(
        target->target->catalog, run->vm_uuid, run->job_id, disk->uuid, run->time_ms, info,
        disk->base ? disk->parents[i] : NULL, place, rows, &why);
    if (!end)
        task_warning(run->task, "a half-written disk could not be gone on with: it starts anew",
                     json_pack("{ss ss}", "disk", disk->uuid, "error", why->message));
    return end;
}

void ends_continue(VmRun *run, VmDisk *disk, const DiskInfo *info, CatalogDisk **ends, unsigned *n)
{
    *n = 0;
    for (unsigned i = 0; run->resumed && i < run->n_targets; i++) {
        if (wants(run, i))
            ends[i] = continue_end(run, disk, info, i);
        progress_follow(run->progress, disk, &run->targets[i], ends[i]);
        *n += ends[i] != NULL;
    }
}

bool ends_all_done(VmRun *run, CatalogDisk *const *ends)
{
    for (unsigned i = 0; i < run->n_targets; i++)
        if (wants(run, i) && !(ends[i] && ends[i]->done))
            return false;
    return true;
}

guint8 *ends_common(VmRun *run, CatalogDisk *const *ends, guint32 n_blocks)
{
    guint8 hash[16];
    g_autofree guint8 *have = g_malloc(MAX(n_blocks, 1));
    for (guint32 block = 0; block < n_blocks; block++) {
        have[block] = 1;
        for (unsigned i = 0; i < run->n_targets && have[block]; i++)
            if (wants(run, i))
                have[block] = ends[i] && (ends[i]->done || catalog_disk_hash(ends[i], block, hash));
    }
    return g_steal_pointer(&have);
}
