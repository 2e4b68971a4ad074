/* Full copies: a disk's content in a chain of its own, on any SR, or into an existing disk. */
#include "sim/storage_disk.h"

#include "sim/seed.h"

#include <string.h>

/* A copy under way; refs, because the lock is dropped between blocks. */
typedef struct {
    Call *call;
    Sim *sim;
    const char *from, *base; /* base NULL: everything */
    char *into;
    bool made; /* `into` was made for this */
    guint8 *present;
    guint32 n_present;
} Copy;

enum { BLOCKS_PER_TURN = 16 };

/* A cell of the overlay is copied to a slot of its own; all else is only a number. */
static bool copy_source(Copy *copy, VhdSource *source, GError **error)
{
    Storage *storage = sim_storage(copy->sim);
    Overlay *overlay = storage_overlay(storage);
    if (!vhd_source_is_overlay(*source))
        return true;
    g_autofree guint8 *cell = g_malloc(SEED_CELL_BYTES);
    guint32 slot;
    if (!vhd_source_read(storage_tree(storage), *source, 0, cell, error) ||
        !overlay_take(overlay, &slot, error))
        return false;
    *source = vhd_source_overlay(slot);
    if (overlay_write(overlay, slot, cell, error))
        return true;
    overlay_give(overlay, slot);
    return false;
}

static bool copy_block(Copy *copy, guint32 block, GError **error)
{
    const StoredDisk *from = storage_disk_with_data(copy->sim, copy->from, error);
    StoredDisk *into = from ? storage_disk_with_data(copy->sim, copy->into, error) : NULL;
    Obj *sr = into ? obj_get(copy->sim, "SR", into->sr, error) : NULL;
    if (!sr || (!vhd_node_holds(into->node, block) &&
                !storage_check_space(sr, VHD_BLOCK_BYTES + 512, error)))
        return false;
    VhdSource sources[VHD_BLOCK_CELLS];
    vhd_chain_sources(from->node, block, sources);
    for (guint i = 0; i < VHD_BLOCK_CELLS; i++) {
        guint64 cell = (guint64) block * VHD_BLOCK_CELLS + i;
        if (!copy_source(copy, &sources[i], error))
            return false;
        vhd_node_put(into->node, cell, sources[i]);
        cbt_log_mark(into->cbt, cell);
    }
    storage_count(copy->sim, into);
    return true;
}

static bool copy_blocks(Copy *copy, guint32 n_blocks, GError **error)
{
    guint32 done = 0;
    for (guint32 block = 0; block < n_blocks; block++) {
        if (!(copy->present[block / 8] >> (block % 8) & 1))
            continue;
        if (!copy_block(copy, block, error))
            return false;
        if (++done % BLOCKS_PER_TURN)
            continue;
        call_progress(copy->call, (double) done / copy->n_present);
        sim_unlock(copy->sim);
        sim_lock(copy->sim);
        if (!call_alive(copy->call, error))
            return false;
    }
    return true;
}

/* The disk that takes the copy, in copy->into. */
static bool choose_target(Copy *copy, const Obj *vdi, const char *sr, const char *into,
                          GError **error)
{
    Obj *target = *into ? obj_get(copy->sim, "VDI", into, error) : NULL;
    if (*into && (!target || !storage_disk_with_data(copy->sim, into, error)))
        return false;
    if (target && obj_bool(target, "read_only")) {
        sim_error(error, "VDI_READONLY", into, NULL);
        return false;
    }
    if (target && obj_int(target, "virtual_size") < obj_int(vdi, "virtual_size")) {
        g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, obj_int(vdi, "virtual_size"));
        sim_error(error, "VDI_TOO_SMALL", into, size, NULL);
        return false;
    }
    if (!target) {
        Obj *record = obj_get(copy->sim, "SR", sr, error);
        if (!record || !storage_check_sr(record, error) ||
            !storage_check_new(record, obj_int(vdi, "virtual_size"), error))
            return false;
        target = storage_record_like(vdi, record);
        storage_add(copy->sim, target,
                    vhd_node_new(storage_tree(sim_storage(copy->sim)), NULL,
                                 (guint64) obj_int(vdi, "virtual_size")));
        copy->made = true;
    }
    copy->into = g_strdup(obj_ref(target));
    return true;
}

static bool find_difference(Copy *copy, guint32 *n_blocks, GError **error)
{
    const StoredDisk *from = storage_disk_with_data(copy->sim, copy->from, error);
    const StoredDisk *base =
        from && copy->base ? storage_disk_with_data(copy->sim, copy->base, error) : NULL;
    if (!from || (copy->base && !base))
        return false;
    *n_blocks = vhd_node_n_blocks(from->node);
    copy->present = vhd_chain_diff(from->node, base ? base->node : NULL, &copy->n_present);
    return true;
}

static void mark_source(Copy *copy, bool on)
{
    Obj *vdi = obj_find(copy->sim, "VDI", copy->from);
    if (vdi && on)
        obj_map_put(vdi, "current_operations", call_task(copy->call), "copy");
    else if (vdi)
        obj_map_remove(vdi, "current_operations", call_task(copy->call));
}

/* Ends the copy: a disk that was made for one that failed goes again. */
static char *finish(Copy *copy, bool ok)
{
    StoredDisk *into = storage_disk(copy->sim, copy->into);
    Obj *record = obj_find(copy->sim, "VDI", copy->into);
    g_free(copy->present);
    if (ok && into && record) {
        storage_publish(copy->sim, into);
        storage_vdi_refresh(record);
        return copy->into;
    }
    if (copy->made && into)
        storage_remove(copy->sim, into);
    if (copy->made && record)
        obj_drop(record);
    g_free(copy->into);
    return NULL;
}

/* sr, base and into: refs, "" or OpaqueRef:NULL for none. Refused while somebody writes, unless
 * live. */
static char *copy_disk(Call *call, const char *from, const char *sr, const char *base,
                       const char *into, bool live, GError **error)
{
    static const VdiNeeds needs = { .op = "copy" };
    Sim *sim = call_sim(call);
    Copy copy = { .call = call, .sim = sim, .from = from, .base = *base ? base : NULL };
    Obj *vdi = storage_check(sim, from, &needs, error);
    if (!vdi)
        return NULL;
    if (!live && storage_is_attached(vdi, true)) {
        sim_error(error, "VDI_IN_USE", from, "copy", NULL);
        return NULL;
    }
    g_autofree char *own_sr = g_strdup(obj_str(vdi, "SR"));
    if (!choose_target(&copy, vdi, *sr ? sr : own_sr, into, error))
        return NULL;
    guint32 n_blocks;
    mark_source(&copy, true);
    bool ok = find_difference(&copy, &n_blocks, error) && copy_blocks(&copy, n_blocks, error);
    mark_source(&copy, false);
    return finish(&copy, ok);
}

char *storage_vdi_copy(Call *call, const char *vdi, const char *sr, GError **error)
{
    return copy_disk(call, vdi, sr ? sr : "", "", "", false, error);
}

/* A reference parameter, "" for none. */
static const char *ref_param(Call *call, guint i)
{
    const char *ref = call_str(call, i);
    return strcmp(ref, REF_NULL) == 0 ? "" : ref;
}

static json_t *vdi_copy(Call *call, GError **error)
{
    g_autofree char *ref = copy_disk(call, call_str(call, 0), ref_param(call, 1),
                                     ref_param(call, 2), ref_param(call, 3), false, error);
    return ref ? json_string(ref) : NULL;
}

static bool check_migration(const Obj *vdi, GError **error)
{
    if (!storage_is_attached(vdi, false))
        sim_error(error, "VDI_NEEDS_VM_FOR_MIGRATE", obj_ref(vdi), NULL);
    else if (obj_bool(vdi, "cbt_enabled"))
        sim_error(error, "VDI_CBT_ENABLED", obj_ref(vdi), NULL);
    else
        return true;
    return false;
}

/* What has the disk has its copy from now on. */
static void hand_over(Obj *vdi, Obj *moved)
{
    while (obj_set_size(vdi, "VBDs") && obj_follow_nth(vdi, "VBDs", 0))
        obj_put_ref(obj_follow_nth(vdi, "VBDs", 0), "VDI", moved);
    if (obj_bool(vdi, "is_a_snapshot")) {
        obj_put_bool(moved, "is_a_snapshot", true);
        obj_put_str(moved, "snapshot_of", obj_str(vdi, "snapshot_of"));
        obj_put_int(moved, "snapshot_time", obj_int(vdi, "snapshot_time"));
    }
    storage_vdi_refresh(moved);
}

/* Copied, its VBDs turned to the copy, the old one gone; the copy's ref. */
static char *move_disk(Call *call, const char *from, const char *sr, GError **error)
{
    Sim *sim = call_sim(call);
    g_autofree char *into = copy_disk(call, from, sr, "", "", true, error);
    Obj *vdi = into ? obj_get(sim, "VDI", from, error) : NULL;
    if (!vdi)
        return NULL;
    hand_over(vdi, obj_find(sim, "VDI", into));
    return storage_vdi_destroy(call, from, error) ? g_steal_pointer(&into) : NULL;
}

/* Refs of the snapshots that are not on that SR. */
static GPtrArray *snapshots_elsewhere(Sim *sim, const char *vdi, const char *sr)
{
    GPtrArray *refs = g_ptr_array_new_with_free_func(g_free);
    for (Obj *at = obj_first(sim, "VDI"); at; at = obj_next(at))
        if (obj_bool(at, "is_a_snapshot") && strcmp(obj_str(at, "snapshot_of"), vdi) == 0 &&
            strcmp(obj_str(at, "SR"), sr) != 0 && storage_disk_with_data(sim, obj_ref(at), NULL))
            g_ptr_array_add(refs, g_strdup(obj_ref(at)));
    return refs;
}

char *storage_vdi_move(Call *call, const char *from, const char *sr, GError **error)
{
    Sim *sim = call_sim(call);
    g_autoptr(GPtrArray) snapshots = snapshots_elsewhere(sim, from, sr);
    char *into = move_disk(call, from, sr, error);
    for (guint i = 0; into && i < snapshots->len; i++) {
        g_autofree char *snapshot = move_disk(call, snapshots->pdata[i], sr, NULL);
        Obj *record = snapshot ? obj_find(sim, "VDI", snapshot) : NULL;
        if (record)
            obj_put_str(record, "snapshot_of", into);
    }
    return into;
}

/* Moves a disk under its running VM. */
static json_t *vdi_pool_migrate(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    g_autofree char *from = g_strdup(call_str(call, 0));
    Obj *vdi = obj_get(sim, "VDI", from, error);
    if (!vdi || !check_migration(vdi, error) || !obj_get(sim, "SR", call_str(call, 1), error))
        return NULL;
    g_autofree char *into = storage_vdi_move(call, from, call_str(call, 1), error);
    return into ? json_string(into) : NULL;
}

const Method storage_copy_methods[] = {
    { "VDI.copy", vdi_copy },
    { "VDI.pool_migrate", vdi_pool_migrate },
    { NULL, NULL },
};
