/* What an operation on a disk demands of it and of its SR before anything happens. */
#include "sim/storage_disk.h"

bool storage_check_sr(const Obj *sr, GError **error)
{
    if (!obj_set_size(sr, "PBDs")) {
        sim_error(error, "SR_HAS_NO_PBDS", obj_ref(sr), NULL);
        return false;
    }
    for (guint i = 0; i < obj_set_size(sr, "PBDs"); i++) {
        const Obj *pbd = obj_follow_nth(sr, "PBDs", i);
        if (pbd && obj_bool(pbd, "currently_attached"))
            return true;
    }
    sim_error(error, "SR_NOT_ATTACHED", obj_ref(sr), NULL);
    return false;
}

Obj *storage_check(Sim *sim, const char *vdi, const VdiNeeds *needs, GError **error)
{
    Obj *record = obj_get(sim, "VDI", vdi, error);
    if (!record || !storage_disk_get(sim, vdi, error))
        return NULL;
    const Obj *sr = obj_get(sim, "SR", obj_str(record, "SR"), error);
    if (!sr)
        return NULL;
    if (!obj_bool(record, "managed"))
        sim_error(error, "VDI_NOT_MANAGED", vdi, NULL);
    else if (!storage_check_sr(sr, error))
        return NULL;
    else if (needs->vhd && !storage_sr_is_vhd(sr))
        sim_error(error, "SR_OPERATION_NOT_SUPPORTED", obj_ref(sr), NULL);
    else if (needs->idle && storage_is_attached(record, false))
        sim_error(error, "VDI_IN_USE", vdi, needs->op, NULL);
    else
        return record;
    return NULL;
}
