/* Changed block tracking: its calls. The logs themselves are cbt.h. */
#include "sim/storage_disk.h"

#include <string.h>

/* The disk that tracking is switched for. */
static StoredDisk *switchable(Call *call, const char *op, Obj **vdi, GError **error)
{
    const VdiNeeds needs = { .op = op, .vhd = true };
    Sim *sim = call_sim(call);
    const char *ref = call_str(call, 0);
    StoredDisk *disk = storage_disk_with_data(sim, ref, error);
    *vdi = disk ? storage_check(sim, ref, &needs, error) : NULL;
    if (!*vdi)
        return NULL;
    if (obj_bool(*vdi, "is_a_snapshot")) {
        g_autofree char *text = g_strdup_printf("VDI is a snapshot: %s", ref);
        sim_error(error, "OPERATION_NOT_ALLOWED", text, NULL);
        return NULL;
    }
    if (strcmp(obj_str(*vdi, "on_boot"), "reset") == 0) {
        sim_error(error, "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION", NULL);
        return NULL;
    }
    return disk;
}

static json_t *vdi_enable_cbt(Call *call, GError **error)
{
    Obj *vdi;
    StoredDisk *disk = switchable(call, "enable_cbt", &vdi, error);
    if (!disk)
        return NULL;
    if (!disk->cbt)
        disk->cbt = cbt_log_new();
    obj_put_bool(vdi, "cbt_enabled", true);
    storage_vdi_refresh(vdi);
    return call_void();
}

static json_t *vdi_disable_cbt(Call *call, GError **error)
{
    Obj *vdi;
    StoredDisk *disk = switchable(call, "disable_cbt", &vdi, error);
    if (!disk)
        return NULL;
    g_clear_pointer(&disk->cbt, cbt_log_drop);
    obj_put_bool(vdi, "cbt_enabled", false);
    storage_vdi_refresh(vdi);
    return call_void();
}

static json_t *vdi_list_changed_blocks(Call *call, GError **error)
{
    static const VdiNeeds needs = { .op = "list_changed_blocks", .vhd = true };
    Sim *sim = call_sim(call);
    const Obj *from = storage_check(sim, call_str(call, 0), &needs, error);
    const Obj *to = from ? storage_check(sim, call_str(call, 1), &needs, error) : NULL;
    if (!to)
        return NULL;
    if (!obj_bool(to, "is_a_snapshot") && storage_is_attached(to, false)) {
        sim_error(error, "VDI_IN_USE", obj_ref(to), "list_changed_blocks", NULL);
        return NULL;
    }
    const CbtLog *old = storage_disk(sim, obj_ref(from))->cbt;
    const CbtLog *new = storage_disk(sim, obj_ref(to))->cbt;
    g_autofree char *bits =
        old && new ? cbt_changed(old, new, (guint64) obj_int(to, "virtual_size")) : NULL;
    if (!bits) {
        storage_backend_error(error, 460,
                              "Failed to calculate changed blocks for given VDIs. "
                              "[opterr=Source and target VDI are unrelated]");
        return NULL;
    }
    return json_string(bits);
}

bool storage_cbt_break(Sim *sim, const char *vdi, GError **error)
{
    StoredDisk *disk = storage_disk_get(sim, vdi, error);
    if (!disk)
        return false;
    if (!disk->cbt) {
        sim_error(error, "VDI_NO_CBT_METADATA", vdi, NULL);
        return false;
    }
    cbt_log_break(disk->cbt);
    return true;
}

const Method storage_cbt_methods[] = {
    { "VDI.enable_cbt", vdi_enable_cbt },
    { "VDI.disable_cbt", vdi_disable_cbt },
    { "VDI.list_changed_blocks", vdi_list_changed_blocks },
    { NULL, NULL },
};
