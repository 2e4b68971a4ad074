/* Copies of VMs: snapshot, checkpoint, clone, copy, and the way back, revert.
 *
 * The disks come first, one by one; only when all of them are there does the new VM appear, so a
 * failure leaves nothing behind but disks, which are destroyed again. */
#include "sim/guest.h"
#include "base/json_list.h"
#include "base/mutant.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/vm.h"

#include <string.h>

typedef enum { SNAPSHOT, CHECKPOINT, CLONE, COPY } Kind;

/* A device of the source and the disk that its copy shall have. */
typedef struct {
    char *vbd, *source, *vdi; /* source: a disk to be copied, NULL: keep what it has */
} Disk;

static void disk_free(gpointer data)
{
    Disk *disk = data;
    g_free(disk->vbd);
    g_free(disk->source);
    g_free(disk->vdi);
    g_free(disk);
}

/* The devices to copy; those with an ignored disk are left out altogether. */
static GPtrArray *disks_list(const Obj *vm, json_t *ignored)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func(disk_free);
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vbd = obj_follow_nth(vm, "VBDs", i);
        const char *vdi = obj_str(vbd, "VDI");
        if (json_list_has_text(ignored, vdi) &&
            !MUTANT(sim_ignore_vdis)) /* mutant: system:test_sim.Snapshots */
            continue;
        Disk *disk = g_new0(Disk, 1);
        disk->vbd = g_strdup(obj_ref(vbd));
        if (strcmp(obj_str(vbd, "type"), "Disk") == 0 && strcmp(vdi, REF_NULL) != 0)
            disk->source = g_strdup(vdi);
        g_ptr_array_add(disks, disk);
    }
    return disks;
}

static char *disk_copy(Call *call, Kind kind, const char *vdi, const char *sr, GError **error)
{
    switch (kind) {
    case CLONE:
        return storage_vdi_clone(call, vdi, error);
    case COPY:
        return storage_vdi_copy(call, vdi, sr, error);
    default:
        return storage_vdi_snapshot(call, vdi, error);
    }
}

static void disks_undo(Call *call, GPtrArray *disks)
{
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        if (disk->vdi != NULL)
            storage_vdi_destroy(call, disk->vdi, NULL);
    }
}

/* Copies every disk; undoes all of it on the first failure. */
static bool disks_copy(Call *call, Kind kind, GPtrArray *disks, const char *sr, GError **error)
{
    for (guint i = 0; i < disks->len; i++) {
        Disk *disk = disks->pdata[i];
        if (disk->source == NULL)
            continue;
        const Obj *vdi = obj_find(call_sim(call), "VDI", disk->source);
        g_autofree char *home = g_strdup(sr != NULL || vdi == NULL ? sr : obj_str(vdi, "SR"));
        disk->vdi = call_alive(call, error) ? disk_copy(call, kind, disk->source, home, error)
                                            : NULL;
        call_progress(call, 0.9 * (i + 1) / disks->len);
        if (disk->vdi == NULL) {
            disks_undo(call, disks);
            return false;
        }
    }
    return true;
}

/* --- The record --- */

/* What a copy does not take from its source; all else it does. */
static const char not_copied[] =
    "uuid name_label allowed_operations current_operations power_state suspend_VDI resident_on "
    "scheduled_to_be_resident_on domid domarch metrics guest_metrics consoles VIFs VBDs VUSBs "
    "VTPMs VGPUs crash_dumps attached_PCIs snapshots children blobs parent is_a_snapshot "
    "is_default_template is_control_domain snapshot_of snapshot_time snapshot_info "
    "snapshot_metadata transportable_snapshot_id blocked_operations ha_always_run appliance order "
    "start_delay shutdown_delay version protection_policy snapshot_schedule suspend_SR "
    "generation_id requires_reboot pending_guidances last_booted_record";

static void fields_copy(Obj *to, const Obj *from, const char *but)
{
    const Class *cls = obj_table(from);
    for (guint i = 0; i < cls->n_fields; i++)
        if (!enum_has(but, cls->fields[i].name))
            obj_copy_field(to, from, cls->fields[i].name);
}

static void vbd_copy(Obj *vm, const Disk *disk)
{
    const Obj *from = obj_find(obj_sim(vm), "VBD", disk->vbd);
    if (from == NULL)
        return;
    Obj *vbd = obj_new(obj_sim(vm), "VBD");
    fields_copy(vbd, from,
                "uuid VM VDI device currently_attached allowed_operations current_operations");
    obj_put_ref(vbd, "VM", vm);
    obj_put_str(vbd, "VDI", disk->vdi != NULL ? disk->vdi : obj_str(from, "VDI"));
    if (disk->vdi != NULL)
        obj_map_put(vbd, "other_config", "owner", "");
    guest_refresh_device(vbd);
}

static void vif_copy(Obj *vm, const Obj *from, bool new_address)
{
    Obj *vif = obj_new(obj_sim(vm), "VIF");
    fields_copy(vif, from, "uuid VM currently_attached allowed_operations current_operations");
    obj_put_ref(vif, "VM", vm);
    if (new_address) {
        const char *uuid = obj_uuid(vif);
        g_autofree char *mac = g_strdup_printf("02:%.2s:%.2s:%.2s:%.2s:%.2s", uuid, uuid + 2,
                                               uuid + 4, uuid + 6, uuid + 9);
        obj_put_str(vif, "MAC", mac);
        obj_put_bool(vif, "MAC_autogenerated", true);
    }
    guest_refresh_device(vif);
}

static void metrics_copy(Obj *to, const Obj *from, const char *field, const char *cls)
{
    const Obj *old = obj_follow(from, field);
    if (old == NULL)
        return;
    Obj *fresh = obj_new(obj_sim(to), cls);
    fields_copy(fresh, old, "uuid");
    obj_put_ref(to, field, fresh);
}

/* The marks of a snapshot on itself and on its source. */
static void snapshot_link(Obj *snapshot, Obj *vm)
{
    g_autofree char *record = NULL;
    json_t *json = obj_json(vm);
    record = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    obj_put_bool(snapshot, "is_a_snapshot", true);
    obj_put_bool(snapshot, "is_a_template", true);
    obj_put_ref(snapshot, "snapshot_of", vm);
    obj_put_int(snapshot, "snapshot_time", sim_now(obj_sim(vm)));
    obj_put_str(snapshot, "snapshot_metadata", record);
    obj_map_put(snapshot, "snapshot_info", "power-state-at-snapshot", obj_str(vm, "power_state"));
    obj_map_put(snapshot, "snapshot_info", "disk-snapshot-type", "crash_consistent");
    obj_put_str(snapshot, "parent", obj_str(vm, "parent"));
    obj_put_ref(vm, "parent", snapshot);
}

static void clone_renew(Obj *clone, const Obj *vm)
{
    g_autofree char *seed = sim_new_uuid(obj_sim(clone));
    obj_map_put(clone, "other_config", "mac_seed", seed);
    if (obj_bool(vm, "is_a_snapshot"))
        obj_put_bool(clone, "is_a_template", obj_bool(vm, "is_a_template"));
    if (obj_bool(vm, "is_a_template") &&
        obj_map_get(clone, "other_config", "base_template_name") == NULL)
        obj_map_put(clone, "other_config", "base_template_name", obj_str(vm, "name_label"));
}

/* The new VM, everything but its power state. */
static Obj *record_make(Call *call, Kind kind, Obj *vm, GPtrArray *disks)
{
    Sim *sim = call_sim(call);
    bool snapshot = kind == SNAPSHOT || kind == CHECKPOINT;
    Obj *copy = obj_new(sim, "VM");
    obj_put_str(copy, "name_label", call_str(call, 1));
    fields_copy(copy, vm, not_copied);
    obj_map_remove(copy, "other_config", "default_template");
    obj_map_remove(copy, "other_config", "xensource_internal");
    obj_put_int(copy, "domid", -1);
    g_autofree char *generation = g_strdup_printf("%" G_GUINT64_FORMAT ":%" G_GUINT64_FORMAT,
                                                  (guint64) g_random_int() << 16,
                                                  (guint64) g_random_int());
    obj_put_str(copy, "generation_id", generation);
    metrics_copy(copy, vm, "metrics", "VM_metrics");
    metrics_copy(copy, vm, "guest_metrics", "VM_guest_metrics");
    for (guint i = 0; i < disks->len; i++)
        vbd_copy(copy, disks->pdata[i]);
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++)
        vif_copy(copy, obj_follow_nth(vm, "VIFs", i), !snapshot);
    snapshot ? snapshot_link(copy, vm) : clone_renew(copy, vm);
    vm_refresh(copy);
    return copy;
}

/* What a running guest goes on to write after a snapshot, when the pool has a change rate. */
static void guest_goes_on(Call *call, const GPtrArray *disks)
{
    Sim *sim = call_sim(call);
    const SimOptions *options = sim_options(sim);
    for (guint i = 0; options->change_rate > 0 && i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        const Obj *vdi = disk->source == NULL ? NULL : obj_find(sim, "VDI", disk->source);
        if (vdi == NULL)
            continue;
        double bytes = (double) obj_int(vdi, "virtual_size") * options->allocated *
                       options->change_rate;
        storage_guest_write(sim, disk->source, (guint64) bytes, NULL, 0, g_random_int(), NULL);
    }
}

/* The whole of it; the new VM's ref as result. */
static json_t *vm_copy_as(Call *call, Kind kind, const char *op, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *vm = vm_op_begin(call, op, error);
    if (vm == NULL)
        return NULL;
    const char *sr =
        kind == COPY && obj_find(sim, "SR", call_str(call, 2)) != NULL ? call_str(call, 2) : NULL;
    bool running = strcmp(obj_str(vm, "power_state"), "Running") == 0;
    g_autoptr(GPtrArray) disks = disks_list(vm, kind == SNAPSHOT ? call_param(call, 2) : NULL);
    g_autofree char *result = NULL;
    if (disks_copy(call, kind, disks, sr, error)) {
        vm = call_obj(call, 0, "VM", error);
        if (vm == NULL)
            disks_undo(call, disks);
        else
            result = g_strdup(obj_ref(record_make(call, kind, vm, disks)));
    }
    vm_op_end(call, call_str(call, 0));
    if (result != NULL && running)
        guest_goes_on(call, disks);
    return result == NULL ? NULL : json_string(result);
}

static void told(Call *call, const char *name)
{
    Obj *vm = obj_find(call_sim(call), "VM", call_str(call, 0));
    if (vm != NULL)
        message_about(vm, name, 5, obj_str(vm, "name_label"));
}

static json_t *vm_snapshot(Call *call, GError **error)
{
    json_t *result = vm_copy_as(call, SNAPSHOT, "snapshot", error);
    if (result != NULL)
        told(call, "VM_SNAPSHOTTED");
    return result;
}

static json_t *vm_clone(Call *call, GError **error)
{
    json_t *result = vm_copy_as(call, CLONE, "clone", error);
    if (result != NULL)
        told(call, "VM_CLONED");
    return result;
}

static json_t *vm_copy(Call *call, GError **error)
{
    return vm_copy_as(call, COPY, "copy", error);
}

/* With the memory: a suspended snapshot with an image of its own, unless the VM is paused. */
static json_t *vm_checkpoint(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    bool paused = strcmp(obj_str(vm, "power_state"), "Paused") == 0;
    gint64 bytes = obj_int(vm, "memory_dynamic_max");
    json_t *result = vm_copy_as(call, CHECKPOINT, "checkpoint", error);
    const Obj *sr = obj_follow(sim_pool(sim), "suspend_image_SR");
    if (result == NULL || paused)
        return result;
    g_autofree char *image = sr == NULL ? NULL
                                        : storage_vdi_create(call, obj_ref(sr), "Suspend image",
                                                             "suspend", bytes, error);
    Obj *snapshot = obj_find(sim, "VM", json_string_value(result));
    if (image == NULL || snapshot == NULL) {
        if (sr == NULL)
            sim_error(error, "VM_NO_SUSPEND_SR", call_str(call, 0), NULL);
        json_decref(result);
        return NULL;
    }
    obj_put_str(snapshot, "suspend_VDI", image);
    obj_put_str(snapshot, "power_state", "Suspended");
    vm_refresh(snapshot);
    told(call, "VM_CHECKPOINTED");
    return result;
}

/* --- Revert --- */

/* The VM's own disks go; their snapshots' snapshot_of is given to the clones later. */
static void disks_discard(Call *call, const char *vm_ref)
{
    Sim *sim = call_sim(call);
    Obj *vm = obj_find(sim, "VM", vm_ref);
    g_autoptr(GPtrArray) vdis = g_ptr_array_new_with_free_func(g_free);
    while (obj_set_size(vm, "VBDs") > 0) {
        Obj *vbd = obj_follow_nth(vm, "VBDs", 0);
        if (strcmp(obj_str(vbd, "type"), "Disk") == 0)
            g_ptr_array_add(vdis, g_strdup(obj_str(vbd, "VDI")));
        obj_drop(vbd);
    }
    while (obj_set_size(vm, "VIFs") > 0)
        obj_drop(obj_follow_nth(vm, "VIFs", 0));
    for (guint i = 0; i < vdis->len; i++)
        storage_vdi_destroy(call, vdis->pdata[i], NULL);
}

/* All snapshots of the disk that was reverted are now snapshots of the clone. */
static void snapshots_follow(Sim *sim, const GPtrArray *disks, const GPtrArray *former)
{
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        if (disk->vdi == NULL)
            continue;
        for (Obj *vdi = obj_first(sim, "VDI"); vdi != NULL; vdi = obj_next(vdi))
            if (obj_bool(vdi, "is_a_snapshot") &&
                strcmp(obj_str(vdi, "snapshot_of"), former->pdata[i]) == 0)
                obj_put_str(vdi, "snapshot_of", disk->vdi);
    }
}

/* What a revert leaves as it is, beside what no copy takes. */
static const char not_reverted[] = "is_a_template tags affinity ha_restart_priority";

static void revert_record(Obj *vm, const Obj *snapshot, const GPtrArray *disks)
{
    g_autofree char *but = g_strconcat(not_copied, " ", not_reverted, NULL);
    fields_copy(vm, snapshot, but);
    for (guint i = 0; i < disks->len; i++)
        vbd_copy(vm, disks->pdata[i]);
    for (guint i = 0; i < obj_set_size(snapshot, "VIFs"); i++)
        vif_copy(vm, obj_follow_nth(snapshot, "VIFs", i), false);
    obj_put_ref(vm, "parent", snapshot);
    vm_refresh(vm);
}

static bool revert(Call *call, const char *vm_ref, GPtrArray *disks, GError **error)
{
    Sim *sim = call_sim(call);
    g_autoptr(GPtrArray) former = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = disks->pdata[i];
        const Obj *vdi = disk->source == NULL ? NULL : obj_find(sim, "VDI", disk->source);
        g_ptr_array_add(former, g_strdup(vdi == NULL ? "" : obj_str(vdi, "snapshot_of")));
    }
    if (!disks_copy(call, CLONE, disks, NULL, error))
        return false;
    if (obj_find(sim, "VM", vm_ref) != NULL)
        disks_discard(call, vm_ref);
    Obj *vm = obj_find(sim, "VM", vm_ref), *snapshot = call_obj(call, 0, "VM", error);
    if (vm == NULL || snapshot == NULL) {
        disks_undo(call, disks);
        return false;
    }
    revert_record(vm, snapshot, disks);
    snapshots_follow(sim, disks, former);
    return true;
}

static json_t *vm_revert(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *snapshot = vm_op_begin(call, "revert", error);
    if (snapshot == NULL)
        return NULL;
    Obj *vm = obj_follow(snapshot, "snapshot_of");
    g_autofree char *vm_ref = vm == NULL ? NULL : g_strdup(obj_ref(vm));
    bool ok = vm != NULL;
    if (vm == NULL) {
        sim_error(error, "VM_REVERT_FAILED", obj_ref(snapshot), obj_str(snapshot, "snapshot_of"),
                  NULL);
    } else {
        if (strcmp(obj_str(vm, "power_state"), "Halted") != 0)
            guest_stop(vm, "Halted");
        g_autoptr(GPtrArray) disks = disks_list(snapshot, NULL);
        ok = revert(call, vm_ref, disks, error);
    }
    vm_op_end(call, call_str(call, 0));
    vm = obj_find(sim, "VM", vm_ref);
    if (ok && vm != NULL)
        message_about(vm, "VM_SNAPSHOT_REVERTED", 5, obj_str(vm, "name_label"));
    return ok ? call_void() : NULL;
}

const Method snapshot_methods[] = {
    { "VM.snapshot", vm_snapshot }, { "VM.checkpoint", vm_checkpoint }, { "VM.clone", vm_clone },
    { "VM.copy", vm_copy },         { "VM.revert", vm_revert },         { NULL, NULL },
};
