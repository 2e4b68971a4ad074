/* The calls of SRs that concern their disks. */
#include "sim/storage_disk.h"

static json_t *sr_scan(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *sr = call_obj(call, 0, "SR", error);
    if (!sr || !storage_check_sr(sr, error))
        return NULL;
    const StoredSr *stored = storage_sr(sim, obj_ref(sr));
    obj_put_int(sr, "physical_utilisation", stored->used_bytes + stored->taken_bytes);
    obj_put_int(sr, "virtual_allocation", stored->virtual_bytes);
    storage_gc_kick(sim_storage(sim));
    return call_void();
}

const Method storage_sr_methods[] = {
    { "SR.scan", sr_scan },
    { NULL, NULL },
};
