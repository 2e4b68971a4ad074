/* Whether a target has room for what is about to come. The estimate must not refuse what would fit:
 * it counts what is allocated in the pool, and a quarter of that where blocks are compressed. */
#include "work/private.h"

#include "base/error.h"

enum { MARGIN_BYTES = 16 << 20, COMPRESSION = 4 };

/* Where disks are allocated in full, what a leaf takes says nothing about what has changed. */
static bool is_thick(Xapi *xapi, json_t *vdi)
{
    json_t *sr = get_record(xapi, "SR", json_text(vdi, "SR"), NULL);
    bool thick = !sr || g_str_has_prefix(json_text(sr, "type"), "lvm");
    json_decref(sr);
    return thick;
}

static guint64 disk_bytes(VmRun *run, const VmDisk *disk)
{
    if (!disk->base)
        return chain_bytes(run->xapi, disk->record);
    if (is_thick(run->xapi, disk->record))
        return 0;
    guint64 virtual_bytes = json_integer_value(json_object_get(disk->record, "virtual_size"));
    guint64 leaf_bytes = json_integer_value(json_object_get(disk->record, "physical_utilisation"));
    return MIN(leaf_bytes, virtual_bytes);
}

bool sr_check_space(Xapi *xapi, const char *sr_uuid, guint64 need_bytes, GError **error)
{
    g_autofree char *ref =
        xapi_call_string(xapi, "SR.get_by_uuid", json_pack("[s]", sr_uuid), error);
    json_t *sr = ref ? get_record(xapi, "SR", ref, error) : NULL;
    if (!sr) {
        g_prefix_error(error, "SR %s: ", sr_uuid);
        return false;
    }
    gint64 size_bytes = json_integer_value(json_object_get(sr, "physical_size"));
    gint64 free_bytes = size_bytes -
                        json_integer_value(json_object_get(sr, "physical_utilisation"));
    bool fits = size_bytes <= 0 || (free_bytes >= 0 && (guint64) free_bytes >= need_bytes);
    if (!fits) {
        g_autofree char *need = g_format_size_full(need_bytes, G_FORMAT_SIZE_IEC_UNITS);
        g_autofree char *have = g_format_size_full(MAX(free_bytes, 0), G_FORMAT_SIZE_IEC_UNITS);
        err_set(error, ERR_NO_SPACE, "SR %s (%s) has %s of space left, the disks need %s", sr_uuid,
                json_text(sr, "name_label"), have, need);
    }
    json_decref(sr);
    return fits;
}

bool work_check_space(const WorkTarget *target, guint64 need_bytes, GError **error)
{
    RemoteSpace space = { 0 };
    if (!remote_space(target->remote, &space, error))
        return false;
    if (space.size_bytes == 0 || space.available_bytes >= need_bytes)
        return true;
    g_autofree char *need = g_format_size_full(need_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *have = g_format_size_full(space.available_bytes, G_FORMAT_SIZE_IEC_UNITS);
    err_set(error, ERR_NO_SPACE, "%s has %s free, the backup needs about %s",
            remote_name(target->remote), have, need);
    return false;
}

static bool is_compressed(const VmRun *run, const TargetRun *target)
{
    if (run->full)
        return *json_text(run->context->job, "compression");
    json_t *directory = remote_option(target->target->remote, "useVhdDirectory");
    bool is_directory = json_is_true(directory);
    json_decref(directory);
    return is_directory;
}

bool targets_check_space(VmRun *run, GError **error)
{
    guint64 need_bytes = 0;
    for (guint i = 0; i < run->disks->len; i++)
        need_bytes += disk_bytes(run, run->disks->pdata[i]);
    for (unsigned i = 0; i < run->n_targets; i++) {
        TargetRun *target = &run->targets[i];
        GError *why = NULL;
        guint64 need = is_compressed(run, target) ? need_bytes / COMPRESSION : need_bytes;
        if (!target->error && !work_check_space(target->target, need + MARGIN_BYTES, &why))
            target_drop(run, target, why);
    }
    return targets_left(run) > 0 || targets_error(run, error);
}
