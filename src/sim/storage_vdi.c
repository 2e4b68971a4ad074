/* Disks come, divide, grow and go: the calls of the class VDI that change the tree of files.
 *
 * A snapshot turns the disk's file into a hidden base copy with two empty children, the disk's new
 * file and the snapshot's; a clone does the same. */
#include "sim/storage_disk.h"

#include "base/mutant.h"
#include "sim/inner.h"

#include <string.h>

enum { MAX_CHAIN = 30 };
static const VdiNeeds divide_needs = { .op = "snapshot", .vhd = true };

/* --- Creating --- */

/* What every disk's record says, its own fields aside. */
static void complete_record(Obj *vdi, const Obj *sr)
{
    bool vhd = storage_sr_is_vhd(sr);
    obj_put_bool(vdi, "managed", true);
    obj_put_str(vdi, "location", vhd ? obj_uuid(vdi) : obj_str(vdi, "name_label"));
    if (vhd && g_strcmp0(obj_map_get(vdi, "sm_config", "type"), "raw") != 0) {
        obj_map_put(vdi, "sm_config", "vdi_type", "vhd");
        obj_map_put(vdi, "sm_config", "image-format", "vhd");
    }
}

/* SM rounds the size of a VHD up to whole blocks. */
static gint64 whole_blocks(const Obj *sr, gint64 size)
{
    return storage_sr_is_vhd(sr) ? (size + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES * VHD_BLOCK_BYTES
                                 : size;
}

static bool check_size(Obj *sr, gint64 *size, GError **error)
{
    if (*size <= 0 || *size > (gint64) (2040ll << 30)) {
        storage_backend_error(error, 79,
                              "VDI Invalid size [opterr=VDI size must be between 1 MB and "
                              "2088960 MB]");
        return false;
    }
    *size = whole_blocks(sr, *size);
    return storage_check_new(sr, *size, error);
}

/* Gives a record that has its own fields a file; drops it when it cannot. */
static bool create_file(Obj *vdi, GError **error)
{
    Sim *sim = obj_sim(vdi);
    Obj *sr = obj_follow(vdi, "SR");
    gint64 size = obj_int(vdi, "virtual_size");
    if (!storage_sr_is_vhd(sr)) {
        sim_error(error, "SR_OPERATION_NOT_SUPPORTED", obj_ref(sr), NULL);
    } else if (storage_check_sr(sr, error) && check_size(sr, &size, error)) {
        obj_put_int(vdi, "virtual_size", size);
        complete_record(vdi, sr);
        StoredDisk *disk = storage_add(
            sim, vdi, vhd_node_new(storage_tree(sim_storage(sim)), NULL, (guint64) size));
        storage_publish(sim, disk);
        storage_vdi_refresh(vdi);
        return true;
    }
    obj_drop(vdi);
    return false;
}

char *storage_create(Sim *sim, const char *sr, const char *name_label, const char *type,
                     gint64 virtual_size, GError **error)
{
    Obj *sr_record = obj_get(sim, "SR", sr, error);
    if (!sr_record)
        return NULL;
    Obj *vdi = obj_new(sim, "VDI");
    obj_put_str(vdi, "name_label", name_label);
    obj_put_str(vdi, "type", type);
    obj_put_ref(vdi, "SR", sr_record);
    obj_put_int(vdi, "virtual_size", virtual_size);
    return create_file(vdi, error) ? g_strdup(obj_ref(vdi)) : NULL;
}

char *storage_vdi_create(Call *call, const char *sr, const char *name_label, const char *type,
                         gint64 virtual_size, GError **error)
{
    return storage_create(call_sim(call), sr, name_label, type, virtual_size, error);
}

static json_t *vdi_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *args = call_param(call, 0);
    if (!obj_get(sim, "SR", json_string_value(json_object_get(args, "SR")), error))
        return NULL;
    if (g_strcmp0(json_string_value(json_object_get(args, "type")), "cbt_metadata") == 0) {
        sim_error(error, "VDI_INCOMPATIBLE_TYPE", "", "cbt_metadata", NULL);
        return NULL;
    }
    Obj *vdi = record_create(sim, "VDI", args, error);
    return vdi && create_file(vdi, error) ? json_string(obj_ref(vdi)) : NULL;
}

Obj *storage_seed_vdi(Sim *sim, Obj *sr, const StorageSeed *seed)
{
    VhdTree *tree = storage_tree(sim_storage(sim));
    gint64 size = whole_blocks(sr, seed->virtual_size);
    Obj *vdi = obj_new(sim, "VDI");
    obj_put_str(vdi, "name_label", seed->name_label);
    obj_put_str(vdi, "name_description", seed->name_description ? seed->name_description : "");
    obj_put_str(vdi, "type", seed->type ? seed->type : "user");
    obj_put_ref(vdi, "SR", sr);
    obj_put_int(vdi, "virtual_size", size);
    obj_put_bool(vdi, "read_only", !storage_sr_is_vhd(sr));
    complete_record(vdi, sr);
    guint64 n_blocks = ((guint64) size + VHD_BLOCK_BYTES - 1) / VHD_BLOCK_BYTES;
    guint32 n_allocated = (guint32) ((double) n_blocks * CLAMP(seed->allocated, 0, 1) + 0.5);
    VhdSource generation = VHD_FIRST_GENERATION +
                           (VhdSource) (seed->number % (VHD_FIRST_WRITE - VHD_FIRST_GENERATION));
    StoredDisk *disk =
        storage_add(sim, vdi, vhd_node_new_seeded(tree, (guint64) size, generation, n_allocated));
    storage_publish(sim, disk);
    storage_vdi_refresh(vdi);
    return vdi;
}

/* --- Dividing --- */

Obj *storage_record_like(const Obj *vdi, const Obj *sr)
{
    static const char *const fields[] = { "name_label",   "name_description", "virtual_size",
                                          "type",         "sharable",         "read_only",
                                          "other_config", "xenstore_data",    "tags",
                                          "on_boot",      "allow_caching",    "metadata_of_pool" };
    Obj *copy = obj_new(obj_sim(vdi), "VDI");
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        if (strcmp(fields[i], "other_config") != 0 ||
            !MUTANT(sim_snapshot_forgets_other_config)) /* mutant: sim_storage */
            obj_copy_field(copy, vdi, fields[i]);
    obj_put_ref(copy, "SR", sr);
    complete_record(copy, sr);
    return copy;
}

/* The disk's file becomes a base copy. */
static void make_base(Sim *sim, Obj *vdi, StoredDisk *disk)
{
    Obj *base = obj_new(sim, "VDI");
    obj_put_str(base, "name_label", "base copy");
    obj_copy_field(base, vdi, "virtual_size");
    obj_copy_field(base, vdi, "type");
    obj_put_ref(base, "SR", obj_follow(vdi, "SR"));
    complete_record(base, obj_follow(vdi, "SR"));
    obj_put_bool(base, "managed", false);
    obj_put_bool(base, "read_only", true);
    VhdNode *file = disk->node;
    StoredDisk *hidden = storage_add(sim, base, file);
    storage_hide(sim_storage(sim), hidden);
    storage_bind(disk,
                 vhd_node_new(storage_tree(sim_storage(sim)), file, vhd_node_size_bytes(file)));
    storage_publish_parent(sim, hidden);
    storage_publish(sim, hidden);
}

static bool is_unwritten(const Obj *vdi, const StoredDisk *disk)
{
    return storage_sr_is_thin(obj_follow(vdi, "SR")) && vhd_node_parent(disk->node) &&
           !vhd_node_n_allocated(disk->node);
}

/* A second disk with the content of the first; NULL with an error. */
static Obj *divide(Sim *sim, const char *ref, GError **error)
{
    StoredDisk *disk = storage_disk_with_data(sim, ref, error);
    Obj *vdi = disk ? storage_check(sim, ref, &divide_needs, error) : NULL;
    Obj *sr = vdi ? obj_follow(vdi, "SR") : NULL;
    if (!sr || !storage_check_new(sr, obj_int(vdi, "virtual_size"), error))
        return NULL;
    bool unwritten = is_unwritten(vdi, disk);
    if (!unwritten && vhd_node_depth(disk->node) >= MAX_CHAIN) {
        storage_backend_error(error, 109, "The snapshot chain is too long");
        return NULL;
    }
    if (!unwritten)
        make_base(sim, vdi, disk);
    VhdNode *parent = vhd_node_parent(disk->node);
    Obj *twin = storage_record_like(vdi, sr);
    StoredDisk *second = storage_add(
        sim, twin,
        vhd_node_new(storage_tree(sim_storage(sim)), parent, vhd_node_size_bytes(parent)));
    storage_publish_parent(sim, disk);
    storage_publish_parent(sim, second);
    storage_publish(sim, disk);
    return twin;
}

char *storage_vdi_snapshot(Call *call, const char *ref, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *snapshot = divide(sim, ref, error);
    if (!snapshot)
        return NULL;
    StoredDisk *of = storage_disk(sim, ref), *disk = storage_disk(sim, obj_ref(snapshot));
    obj_put_bool(snapshot, "is_a_snapshot", true);
    obj_put_ref(snapshot, "snapshot_of", obj_find(sim, "VDI", ref));
    obj_put_int(snapshot, "snapshot_time", sim_now(sim));
    if (of->cbt) {
        disk->cbt = of->cbt;
        of->cbt = cbt_log_next(disk->cbt);
        obj_put_bool(snapshot, "cbt_enabled", true);
    }
    storage_publish(sim, disk);
    storage_vdi_refresh(snapshot);
    return g_strdup(obj_ref(snapshot));
}

char *storage_vdi_clone(Call *call, const char *ref, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *clone = divide(sim, ref, error);
    if (!clone)
        return NULL;
    storage_publish(sim, storage_disk(sim, obj_ref(clone)));
    storage_vdi_refresh(clone);
    return g_strdup(obj_ref(clone));
}

static json_t *to_json(char *ref)
{
    json_t *value = ref ? json_string(ref) : NULL;
    g_free(ref);
    return value;
}

static json_t *vdi_snapshot(Call *call, GError **error)
{
    return to_json(storage_vdi_snapshot(call, call_str(call, 0), error));
}

static json_t *vdi_clone(Call *call, GError **error)
{
    return to_json(storage_vdi_clone(call, call_str(call, 0), error));
}

/* --- Going --- */

static void drop_vbds(Obj *vdi)
{
    while (obj_set_size(vdi, "VBDs")) {
        Obj *vbd = obj_follow_nth(vdi, "VBDs", 0);
        if (!vbd)
            return;
        obj_drop(vbd);
    }
}

bool storage_drop(Sim *sim, const char *ref, GError **error)
{
    static const VdiNeeds needs = { .op = "destroy", .idle = true, .vhd = true };
    Obj *vdi = storage_check(sim, ref, &needs, error);
    if (!vdi)
        return false;
    drop_vbds(vdi);
    storage_remove(sim, storage_disk(sim, ref));
    obj_drop(vdi);
    storage_gc_kick(sim_storage(sim));
    return true;
}

bool storage_vdi_destroy(Call *call, const char *ref, GError **error)
{
    return storage_drop(call_sim(call), ref, error);
}

static json_t *vdi_destroy(Call *call, GError **error)
{
    return storage_vdi_destroy(call, call_str(call, 0), error) ? call_void() : NULL;
}

/* The snapshot's data goes, its change log stays; waits a little for whoever still reads it. */
static json_t *vdi_data_destroy(Call *call, GError **error)
{
    static const VdiNeeds needs = { .op = "data_destroy", .vhd = true };
    enum { WAIT_MS = 4000, STEP_MS = 100 };
    Sim *sim = call_sim(call);
    g_autofree char *ref = g_strdup(call_str(call, 0));
    for (guint waited = 0;; waited += STEP_MS) {
        Obj *vdi = storage_check(sim, ref, &needs, error);
        StoredDisk *disk = vdi ? storage_disk_with_data(sim, ref, error) : NULL;
        if (!disk)
            return NULL;
        if (!disk->cbt)
            sim_error(error, "VDI_NO_CBT_METADATA", ref, NULL);
        else if (!obj_bool(vdi, "is_a_snapshot"))
            sim_error(error, "OPERATION_NOT_ALLOWED", "VDI is not a snapshot", NULL);
        else if (storage_is_attached(vdi, false) && waited >= WAIT_MS)
            sim_error(error, "VDI_IN_USE", ref, "data_destroy", NULL);
        else if (!storage_is_attached(vdi, false))
            break;
        if (waited >= WAIT_MS || (error && *error))
            return NULL;
        sim_sleep(sim, STEP_MS);
    }
    Obj *vdi = obj_find(sim, "VDI", ref);
    StoredDisk *disk = storage_disk(sim, ref);
    drop_vbds(vdi);
    vhd_node_free(disk->node);
    disk->node = NULL;
    obj_put_str(vdi, "type", "cbt_metadata");
    obj_map_remove(vdi, "sm_config", "vhd-parent");
    storage_publish(sim, disk);
    storage_vdi_refresh(vdi);
    storage_gc_kick(sim_storage(sim));
    return call_void();
}

/* --- Growing --- */

static json_t *vdi_resize(Call *call, GError **error)
{
    static const VdiNeeds needs = { .op = "resize", .idle = true, .vhd = true };
    Sim *sim = call_sim(call);
    const char *ref = call_str(call, 0);
    gint64 size = call_int(call, 1);
    StoredDisk *disk = storage_disk_with_data(sim, ref, error);
    Obj *vdi = disk ? storage_check(sim, ref, &needs, error) : NULL;
    if (!vdi)
        return NULL;
    gint64 former = obj_int(vdi, "virtual_size");
    if (size < former) {
        storage_backend_error(error, 79, "VDI Invalid size [opterr=shrinking not allowed]");
        return NULL;
    }
    if (!check_size(obj_follow(vdi, "SR"), &size, error))
        return NULL;
    vhd_node_resize(disk->node, (guint64) size);
    obj_put_int(vdi, "virtual_size", size);
    storage_sr(sim, disk->sr)->virtual_bytes += size - former;
    storage_publish(sim, disk);
    return call_void();
}

/* --- Fields that only calls set --- */

static json_t *vdi_set_field(Call *call, GError **error)
{
    Obj *vdi = call_obj(call, 0, "VDI", error);
    const char *field = call_method(call) + strlen("VDI.set_");
    if (!vdi || !obj_put_json(vdi, field, call_param(call, 1), error))
        return NULL;
    storage_vdi_refresh(vdi);
    return call_void();
}

static json_t *vdi_update(Call *call, GError **error)
{
    return call_obj(call, 0, "VDI", error) ? call_void() : NULL;
}

const Method storage_vdi_methods[] = {
    { "VDI.create", vdi_create },
    { "VDI.snapshot", vdi_snapshot },
    { "VDI.clone", vdi_clone },
    { "VDI.destroy", vdi_destroy },
    { "VDI.forget", vdi_destroy },
    { "VDI.data_destroy", vdi_data_destroy },
    { "VDI.resize", vdi_resize },
    { "VDI.resize_online", vdi_resize },
    { "VDI.update", vdi_update },
    { "VDI.set_name_label", vdi_set_field },
    { "VDI.set_name_description", vdi_set_field },
    { "VDI.set_sharable", vdi_set_field },
    { "VDI.set_read_only", vdi_set_field },
    { "VDI.set_on_boot", vdi_set_field },
    { "VDI.set_allow_caching", vdi_set_field },
    { NULL, NULL },
};
