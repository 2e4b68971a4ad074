/* The point's JSON, field for field as XO writes it (version 2.0.0), so that either restores what
 * the other wrote. It is written last: a point exists when its JSON does. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

/* The snapshot's VIFs with what a restore needs to find their networks. */
static json_t *vifs_of(VmRun *run, GError **error)
{
    json_t *vifs = json_object(), *ref;
    size_t i;
    json_array_foreach (json_object_get(run->snapshot, "VIFs"), i, ref) {
        json_t *vif = get_record(run->xapi, "VIF", json_string_value(ref), error);
        json_t *network = vif ? get_record(run->xapi, "network", json_text(vif, "network"), error)
                              : NULL;
        if (!network) {
            json_decref(vif);
            json_decref(vifs);
            return NULL;
        }
        json_object_set(vif, "$network$uuid", json_object_get(network, "uuid"));
        json_object_set(vif, "$network$name_label", json_object_get(network, "name_label"));
        json_t *pif_ref = json_array_get(json_object_get(network, "PIFs"), 0);
        json_t *pif = pif_ref ? get_record(run->xapi, "PIF", json_string_value(pif_ref), NULL)
                              : NULL;
        json_t *vlan = json_object_get(pif, "VLAN");
        json_object_set_new(vif, "$network$VLAN", vlan ? json_incref(vlan) : json_integer(-1));
        json_object_set_new(vifs, json_string_value(ref), vif);
        json_decref(pif);
        json_decref(network);
    }
    return vifs;
}

/* The snapshot's record as it was before our keys, and the live disk it belongs to. */
static json_t *vdi_of(VmRun *run, const VmDisk *disk, GError **error)
{
    json_t *sr = get_record(run->xapi, "SR", json_text(disk->snap_vdi, "SR"), error);
    if (!sr)
        return NULL;
    json_t *vdi = json_copy(disk->snap_vdi);
    json_t *config = config_with(disk->snap_vdi, NULL);
    json_object_set_new(config, KEY_VM, json_string(run->vm_uuid));
    if (disk->base)
        json_object_set_new(config, KEY_BASE, json_string(disk->base->uuid));
    json_object_set_new(vdi, "other_config", config);
    json_object_set_new(vdi, "$snapshot_of$uuid", json_string(disk->uuid));
    json_object_set(vdi, "$SR$uuid", json_object_get(sr, "uuid"));
    json_decref(sr);
    return vdi;
}

/* A record without the mark, which is nobody's business after the run. */
static json_t *without_mark(json_t *record)
{
    json_t *copy = json_copy(record);
    json_t *config = json_copy(json_object_get(record, "other_config"));
    json_object_del(config, OWNER_MARK);
    json_object_set_new(copy, "other_config", config ? config : json_object());
    return copy;
}

static bool add_disks(VmRun *run, json_t *metadata, GError **error)
{
    json_t *vdis = json_object(), *vbds = json_object(), *differencing = json_object();
    json_object_set_new(metadata, "vdis", vdis);
    json_object_set_new(metadata, "vbds", vbds);
    json_object_set_new(metadata, "isVhdDifferencing", differencing);
    for (guint i = 0; i < run->disks->len; i++) {
        VmDisk *disk = run->disks->pdata[i];
        json_t *vdi = vdi_of(run, disk, error);
        if (!vdi)
            return false;
        json_object_set_new(vdis, disk->snap_ref, vdi);
        json_object_set(vbds, disk->snap_vbd_ref, disk->snap_vbd);
        json_object_set_new(differencing, disk->snap_ref, json_boolean(disk->base != NULL));
    }
    return true;
}

static json_t *make(VmRun *run, GError **error)
{
    json_t *vifs = vifs_of(run, error);
    if (!vifs)
        return NULL;
    json_t *metadata = json_pack(
        "{ss ss ss ss sI sb so so so s[] s[]}", "mode", "delta", "version", "2.0.0", "jobId",
        run->job_id, "scheduleId", run->context->schedule_id, "timestamp",
        (json_int_t) run->time_ms, "includeNonNbdQcow2Fix", 1, "vm", without_mark(run->vm),
        "vmSnapshot", without_mark(run->snapshot), "vifs", vifs, "vtpms", "tags");
    if (!add_disks(run, metadata, error))
        g_clear_pointer(&metadata, json_decref);
    return metadata;
}

static json_t *make_full(const VmRun *run)
{
    return json_pack("{ss ss ss sI ss so so s[]}", "jobId", run->job_id, "mode", "full",
                     "scheduleId", run->context->schedule_id, "timestamp",
                     (json_int_t) run->time_ms, "version", "2.0.0", "vm", without_mark(run->vm),
                     "vmSnapshot", without_mark(run->snapshot ? run->snapshot : run->vm), "tags");
}

static bool commit(VmRun *run, TargetRun *target, json_t *metadata, GError **error)
{
    if (run->full)
        json_object_set_new(metadata, "xva", json_string(target->xva));
    else
        json_object_set(metadata, "vhds", target->vhds);
    json_object_set_new(metadata, "size", json_integer((json_int_t) target->size_bytes));
    CRASH_POINT(work_commit);
    g_autofree char *path =
        catalog_commit(target->target->catalog, run->vm_uuid, run->time_ms, metadata, error);
    return path;
}

bool metadata_commit(VmRun *run, GError **error)
{
    json_t *metadata = run->full ? make_full(run) : make(run, error);
    if (!metadata)
        return false;
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        if (target->error)
            continue;
        if (!target->committed && !commit(run, target, metadata, &why))
            target_drop(run, target, why);
        else
            task_end(g_steal_pointer(&target->transfer),
                     json_pack("{sI}", "size", (json_int_t) target->size_bytes));
    }
    json_decref(metadata);
    return targets_left(run) > 0 || targets_error(run, error);
}
