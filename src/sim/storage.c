/* The table of disks, and the space they take on their SRs. */
#include "sim/storage_disk.h"

#include "sim/nbd.h"

#include <string.h>

struct Storage {
    Sim *sim;
    Overlay *overlay;
    VhdTree *tree;
    GHashTable *disks;  /* VDI ref → StoredDisk */
    GHashTable *hidden; /* those of them that are base copies */
    GHashTable *srs;    /* SR ref → StoredSr */
    StorageGc *gc;
    Nbd *nbd; /* NULL: never asked for */
};

static void disk_free(gpointer data)
{
    StoredDisk *disk = data;
    g_free(disk->vdi);
    g_free(disk->sr);
    g_free(disk);
}

Storage *storage_new(Sim *sim)
{
    g_autoptr(GError) error = NULL;
    Storage *storage = g_new0(Storage, 1);
    storage->sim = sim;
    storage->overlay = overlay_new(sim_data_dir(sim), &error);
    if (!storage->overlay)
        g_error("%s", error->message);
    storage->tree = vhd_tree_new(sim_seed(sim), storage->overlay);
    storage->disks = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, disk_free);
    storage->hidden = g_hash_table_new(g_str_hash, g_str_equal);
    storage->srs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    storage->gc = storage_gc_new(sim);
    return storage;
}

void storage_free(Storage *storage)
{
    if (!storage)
        return;
    sim_nbd_free(storage->nbd);
    storage_gc_free(storage->gc);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, storage->disks);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        cbt_log_drop(((StoredDisk *) value)->cbt);
    g_hash_table_unref(storage->hidden);
    g_hash_table_unref(storage->disks);
    g_hash_table_unref(storage->srs);
    vhd_tree_free(storage->tree);
    overlay_free(storage->overlay);
    g_free(storage);
}

Nbd *sim_nbd(Sim *sim, GError **error)
{
    Storage *storage = sim_storage(sim);
    if (!storage->nbd)
        storage->nbd = sim_nbd_new(sim, error);
    return storage->nbd;
}

VhdTree *storage_tree(Storage *storage)
{
    return storage->tree;
}

Overlay *storage_overlay(Storage *storage)
{
    return storage->overlay;
}

GHashTable *storage_hidden(Storage *storage)
{
    return storage->hidden;
}

void storage_gc_kick(Storage *storage)
{
    storage_gc_wake(storage->gc);
}

void storage_backend_error(GError **error, guint number, const char *text)
{
    char code[32];
    g_snprintf(code, sizeof code, "SR_BACKEND_FAILURE_%u", number);
    sim_error(error, code, "", text, "", NULL);
}

/* --- The table --- */

StoredDisk *storage_disk(Sim *sim, const char *vdi)
{
    return g_hash_table_lookup(sim_storage(sim)->disks, vdi);
}

StoredDisk *storage_disk_get(Sim *sim, const char *vdi, GError **error)
{
    StoredDisk *disk = vdi ? storage_disk(sim, vdi) : NULL;
    if (!disk)
        sim_error(error, "HANDLE_INVALID", "VDI", vdi ? vdi : REF_NULL, NULL);
    return disk;
}

StoredDisk *storage_disk_with_data(Sim *sim, const char *vdi, GError **error)
{
    StoredDisk *disk = storage_disk_get(sim, vdi, error);
    if (!disk || disk->node)
        return disk;
    const Obj *record = obj_find(sim, "VDI", vdi);
    sim_error(error, "VDI_INCOMPATIBLE_TYPE", vdi, record ? obj_str(record, "type") : "", NULL);
    return NULL;
}

StoredSr *storage_sr(Sim *sim, const char *sr)
{
    Storage *storage = sim_storage(sim);
    StoredSr *stored = g_hash_table_lookup(storage->srs, sr);
    if (!stored) {
        stored = g_new0(StoredSr, 1);
        g_hash_table_insert(storage->srs, g_strdup(sr), stored);
    }
    return stored;
}

StoredDisk *storage_add(Sim *sim, Obj *vdi, VhdNode *node)
{
    StoredDisk *disk = g_new0(StoredDisk, 1);
    const Obj *sr = obj_follow(vdi, "SR");
    disk->vdi = g_strdup(obj_ref(vdi));
    disk->sr = g_strdup(obj_str(vdi, "SR"));
    disk->is_file = (sr && !storage_sr_is_vhd(sr)) ||
                    g_strcmp0(obj_map_get(vdi, "sm_config", "type"), "raw") == 0;
    if (node)
        storage_bind(disk, node);
    g_hash_table_replace(sim_storage(sim)->disks, disk->vdi, disk);
    storage_sr(sim, disk->sr)->virtual_bytes += obj_int(vdi, "virtual_size");
    return disk;
}

void storage_bind(StoredDisk *disk, VhdNode *node)
{
    disk->node = node;
    vhd_node_set_owner(node, disk);
}

void storage_hide(Storage *storage, StoredDisk *disk)
{
    const Obj *record = obj_find(storage->sim, "VDI", disk->vdi);
    storage_sr(storage->sim, disk->sr)->virtual_bytes -= obj_int(record, "virtual_size");
    disk->hidden = true;
    g_hash_table_insert(storage->hidden, disk->vdi, disk);
}

void storage_remove(Sim *sim, StoredDisk *disk)
{
    Storage *storage = sim_storage(sim);
    StoredSr *sr = storage_sr(sim, disk->sr);
    const Obj *record = obj_find(sim, "VDI", disk->vdi);
    if (disk->node)
        vhd_node_free(disk->node);
    cbt_log_drop(disk->cbt);
    sr->used_bytes -= disk->counted_bytes;
    if (record && !disk->hidden)
        sr->virtual_bytes -= obj_int(record, "virtual_size");
    Obj *sr_record = obj_find(sim, "SR", disk->sr);
    if (sr_record) {
        obj_put_int(sr_record, "physical_utilisation", sr->used_bytes + sr->taken_bytes);
        obj_put_int(sr_record, "virtual_allocation", sr->virtual_bytes);
    }
    g_hash_table_remove(storage->hidden, disk->vdi);
    g_hash_table_remove(storage->disks, disk->vdi);
}

void storage_publish_parent(Sim *sim, const StoredDisk *disk)
{
    Obj *record = obj_find(sim, "VDI", disk->vdi);
    const VhdNode *parent = vhd_node_parent(disk->node);
    const StoredDisk *owner = parent ? vhd_node_owner(parent) : NULL;
    const Obj *of = owner ? obj_find(sim, "VDI", owner->vdi) : NULL;
    if (record && of)
        obj_map_put(record, "sm_config", "vhd-parent", obj_uuid(of));
    else if (record)
        obj_map_remove(record, "sm_config", "vhd-parent");
}

/* --- Space --- */

static bool type_is_among(const Obj *sr, const char *const *types)
{
    return g_strv_contains(types, obj_str(sr, "type"));
}

bool storage_sr_is_vhd(const Obj *sr)
{
    static const char *const others[] = { "iso", "udev", "dummy", "lvhd_raw", NULL };
    return !type_is_among(sr, others);
}

bool storage_sr_is_thin(const Obj *sr)
{
    static const char *const thick[] = { "lvm", "lvmoiscsi", "lvmohba", "lvmofcoe", NULL };
    return !type_is_among(sr, thick);
}

#define EXTENT_BYTES (4ll << 20) /* of LVM */

static gint64 vhd_frame_bytes(guint64 size_bytes)
{
    guint64 n_blocks = (size_bytes + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES;
    return (gint64) (2048 + (n_blocks * 4 + 511) / 512 * 512 + 512);
}

static gint64 vhd_bytes(guint64 size_bytes, guint32 n_allocated)
{
    return vhd_frame_bytes(size_bytes) + (gint64) n_allocated * (VHD_BLOCK_BYTES + 512);
}

static gint64 to_extents(gint64 bytes)
{
    return (bytes + EXTENT_BYTES - 1) / EXTENT_BYTES * EXTENT_BYTES;
}

gint64 storage_use_bytes(const Obj *sr, const StoredDisk *disk)
{
    if (!disk->node)
        return 0;
    guint64 size = vhd_node_size_bytes(disk->node);
    if (disk->is_file)
        return (gint64) size;
    const Obj *vdi = obj_find(obj_sim(sr), "VDI", disk->vdi);
    bool inflated = !storage_sr_is_thin(sr) && !disk->hidden && vdi &&
                    !obj_bool(vdi, "is_a_snapshot");
    if (inflated)
        return to_extents(vhd_bytes(size, vhd_node_n_blocks(disk->node)));
    gint64 bytes = vhd_bytes(size, vhd_node_n_allocated(disk->node));
    return storage_sr_is_thin(sr) ? bytes : to_extents(bytes);
}

void storage_count(Sim *sim, StoredDisk *disk)
{
    const Obj *sr = obj_find(sim, "SR", disk->sr);
    gint64 now = sr ? storage_use_bytes(sr, disk) : 0;
    storage_sr(sim, disk->sr)->used_bytes += now - disk->counted_bytes;
    disk->counted_bytes = now;
}

void storage_publish(Sim *sim, StoredDisk *disk)
{
    storage_count(sim, disk);
    Obj *vdi = obj_find(sim, "VDI", disk->vdi), *sr = obj_find(sim, "SR", disk->sr);
    const StoredSr *stored = storage_sr(sim, disk->sr);
    if (vdi)
        obj_put_int(vdi, "physical_utilisation", disk->counted_bytes);
    if (sr) {
        obj_put_int(sr, "physical_utilisation", stored->used_bytes + stored->taken_bytes);
        obj_put_int(sr, "virtual_allocation", stored->virtual_bytes);
    }
}

bool storage_check_space(Obj *sr, gint64 more_bytes, GError **error)
{
    const StoredSr *stored = storage_sr(obj_sim(sr), obj_ref(sr));
    gint64 size = obj_int(sr, "physical_size");
    if (size <= 0 || more_bytes <= size - stored->used_bytes - stored->taken_bytes)
        return true;
    storage_backend_error(error, 44, "There is insufficient space");
    return false;
}

bool storage_check_new(Obj *sr, gint64 virtual_size, GError **error)
{
    guint32 n_blocks = (guint32) ((guint64) virtual_size / VHD_BLOCK_BYTES);
    gint64 bytes = storage_sr_is_thin(sr) ? vhd_frame_bytes((guint64) virtual_size)
                                          : to_extents(vhd_bytes((guint64) virtual_size, n_blocks));
    return storage_check_space(sr, bytes, error);
}

bool storage_sr_fill(Sim *sim, const char *ref, gint64 left_bytes, GError **error)
{
    Obj *sr = obj_get(sim, "SR", ref, error);
    if (!sr)
        return false;
    StoredSr *stored = storage_sr(sim, ref);
    gint64 free_bytes = obj_int(sr, "physical_size") - stored->used_bytes;
    stored->taken_bytes = left_bytes < 0 ? 0 : MAX(free_bytes - left_bytes, 0);
    obj_put_int(sr, "physical_utilisation", stored->used_bytes + stored->taken_bytes);
    return true;
}
