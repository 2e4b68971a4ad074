/* While a disk is read or written over the network, dom0 has it attached, and others see that. */
#include "sim/storage_io.h"

#include "sim/storage_disk.h"

#include <string.h>

static bool is_shown(Sim *sim)
{
    return g_strcmp0(obj_map_get(sim_pool(sim), "other_config", "sim:transfer-vbd"), "false") != 0;
}

static Obj *new_vbd(Sim *sim, const Obj *dom0, Obj *vdi, bool rw)
{
    Obj *vbd = obj_new(sim, "VBD");
    char device[16];
    g_snprintf(device, sizeof device, "%u", obj_set_size(dom0, "VBDs"));
    obj_put_ref(vbd, "VM", dom0);
    obj_put_ref(vbd, "VDI", vdi);
    obj_put_str(vbd, "userdevice", device);
    g_autofree char *name =
        g_strdup_printf("sm/backend/%s/%s", obj_uuid(obj_follow(vdi, "SR")), obj_uuid(vdi));
    obj_put_str(vbd, "device", name);
    obj_put_str(vbd, "mode", rw ? "RW" : "RO");
    obj_put_str(vbd, "type", "Disk");
    obj_put_bool(vbd, "unpluggable", true);
    obj_put_bool(vbd, "currently_attached", true);
    return vbd;
}

/* With the lock. */
static char *attach(Sim *sim, const char *ref, bool rw, GError **error)
{
    Obj *vdi = obj_get(sim, "VDI", ref, error);
    if (!vdi || !storage_disk_with_data(sim, ref, error))
        return NULL;
    const Obj *sr = obj_follow(vdi, "SR");
    if (!sr || !storage_check_sr(sr, error))
        return NULL;
    if (!obj_bool(vdi, "sharable") && storage_is_attached(vdi, !rw)) {
        sim_error(error, "VDI_IN_USE", ref, "attach", NULL);
        return NULL;
    }
    const Obj *dom0 = obj_follow(sim_master(sim), "control_domain");
    if (!dom0 || !is_shown(sim))
        return g_strdup("");
    char *vbd = g_strdup(obj_ref(new_vbd(sim, dom0, vdi, rw)));
    storage_vdi_refresh(vdi);
    return vbd;
}

char *storage_attach(Sim *sim, const char *vdi, bool rw, GError **error)
{
    sim_lock(sim);
    char *vbd = attach(sim, vdi, rw, error);
    sim_unlock(sim);
    return vbd;
}

void storage_detach(Sim *sim, const char *ref, guint after_ms)
{
    sim_lock(sim);
    Obj *vbd = obj_find(sim, "VBD", ref);
    if (vbd && after_ms) {
        sim_sleep(sim, after_ms);
        vbd = obj_find(sim, "VBD", ref);
    }
    if (vbd) {
        Obj *vdi = obj_follow(vbd, "VDI");
        obj_drop(vbd);
        if (vdi)
            storage_vdi_refresh(vdi);
    }
    sim_unlock(sim);
}
