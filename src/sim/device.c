/* Virtual block devices and network interfaces of VMs. */
#include "base/mutant.h"
#include "base/json_text.h"
#include "sim/guest.h"
#include "sim/inner.h"

#include <string.h>

enum { MAX_VBDS = 255, MAX_VIFS = 7 };

static bool is_running(const Obj *vm)
{
    const char *state = obj_str(vm, "power_state");
    return strcmp(state, "Running") == 0 || strcmp(state, "Paused") == 0;
}

/* Whether a device of the VM has this position already. `set` VBDs with userdevice, VIFs with
 * device. */
static bool position_taken(const Obj *vm, const char *set, const char *field, const char *position)
{
    for (guint i = 0; i < obj_set_size(vm, set); i++)
        if (strcmp(obj_str(obj_follow_nth(vm, set, i), field), position) == 0)
            return true;
    return false;
}

/* "3", or as a guest calls it, "xvdb". */
static bool position_is_valid(const char *wanted, int max)
{
    return g_regex_match_simple("^(\\d{1,3}|(xvd|sd|hd)[a-z]{1,2}\\d{0,2})$", wanted, 0, 0) &&
           g_ascii_strtoull(wanted, NULL, 10) <= (guint64) max;
}

/* The first free position, or the one asked for; "" with an error. */
static char *position_choose(Obj *vm, const char *set, const char *field, const char *wanted,
                             int max, GError **error)
{
    if (strcmp(wanted, "autodetect") != 0 && *wanted != '\0') {
        if (!position_is_valid(wanted, max) &&
            !MUTANT(sim_any_device)) /* mutant: system:test_refusals.Refusals.test_disks */
            sim_error(error, "INVALID_DEVICE", wanted, NULL);
        else if (position_taken(vm, set, field, wanted))
            sim_error(error, "DEVICE_ALREADY_EXISTS", wanted, NULL);
        else
            return g_strdup(wanted);
        return NULL;
    }
    for (int i = 0; i <= max; i++) {
        g_autofree char *position = g_strdup_printf("%d", i);
        if (!position_taken(vm, set, field, position))
            return g_steal_pointer(&position);
    }
    sim_error(error, "INVALID_DEVICE", wanted, NULL);
    return NULL;
}

static json_t *free_positions(Call *call, const char *set, const char *field, int max,
                              GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    json_t *list = json_array();
    for (int i = 0; i <= max; i++) {
        g_autofree char *position = g_strdup_printf("%d", i);
        if (!position_taken(vm, set, field, position))
            json_array_append_new(list, json_string(position));
    }
    return list;
}

static json_t *vm_get_allowed_VBD_devices(Call *call, GError **error)
{
    return free_positions(call, "VBDs", "userdevice", MAX_VBDS, error);
}

static json_t *vm_get_allowed_VIF_devices(Call *call, GError **error)
{
    return free_positions(call, "VIFs", "device", MAX_VIFS - 1, error);
}

/* --- VBD --- */

/* The references of a new VBD. */
static bool vbd_check(Sim *sim, json_t *record, GError **error)
{
    bool empty = json_is_true(json_object_get(record, "empty"));
    bool cd = strcmp(json_text(record, "type"), "CD") == 0;
    bool writable = strcmp(json_text(record, "mode"), "RW") == 0;
    if (obj_get(sim, "VM", json_text(record, "VM"), error) == NULL)
        return false;
    if (cd && writable) {
        sim_error(error, "VBD_CDS_MUST_BE_READONLY", NULL);
        return false;
    }
    if (empty)
        return true;
    Obj *vdi = obj_get(sim, "VDI", json_text(record, "VDI"), error);
    if (vdi != NULL && writable && obj_bool(vdi, "read_only")) {
        sim_error(error, "VDI_READONLY", obj_ref(vdi), NULL);
        return false;
    }
    return vdi != NULL;
}

static json_t *vbd_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *record = call_param(call, 0);
    if (!vbd_check(sim, record, error))
        return NULL;
    Obj *vm = obj_find(sim, "VM", json_text(record, "VM"));
    g_autofree char *position =
        position_choose(vm, "VBDs", "userdevice", json_text(record, "userdevice"), MAX_VBDS, error);
    Obj *vbd = position == NULL ? NULL : record_create(sim, "VBD", record, error);
    if (vbd == NULL)
        return NULL;
    obj_put_str(vbd, "userdevice", position);
    if (obj_bool(vbd, "empty"))
        obj_put_ref(vbd, "VDI", NULL);
    if (strcmp(obj_str(vm, "power_state"), "Suspended") != 0) {
        obj_put_bool(vbd, "currently_attached", false);
        obj_put_str(vbd, "device", "");
    }
    guest_refresh_device(vbd);
    return json_string(obj_ref(vbd));
}

static json_t *device_destroy(Call *call, const char *cls, GError **error)
{
    Obj *device = call_obj(call, 0, cls, error);
    if (device == NULL)
        return NULL;
    Obj *vm = obj_follow(device, "VM");
    if (obj_bool(device, "currently_attached") && vm != NULL && is_running(vm)) {
        g_autofree char *why =
            g_strdup_printf("%s '%s' still attached to '%s'", cls, obj_uuid(device), obj_uuid(vm));
        sim_error(error, "OPERATION_NOT_ALLOWED", why, NULL);
        return NULL;
    }
    Obj *vdi = strcmp(cls, "VBD") == 0 ? obj_follow(device, "VDI") : NULL;
    g_autofree char *disk = vdi == NULL ? NULL : g_strdup(obj_ref(vdi));
    obj_drop(device);
    vdi = obj_find(call_sim(call), "VDI", disk);
    if (vdi != NULL)
        storage_vdi_refresh(vdi);
    return call_void();
}

static json_t *vbd_destroy(Call *call, GError **error)
{
    return device_destroy(call, "VBD", error);
}

/* The disk of a VBD that is to be attached may be in use elsewhere. */
static bool disk_free(Obj *vbd, GError **error)
{
    Obj *vdi = obj_follow(vbd, "VDI");
    if (vdi == NULL || obj_bool(vdi, "sharable"))
        return true;
    bool writes = strcmp(obj_str(vbd, "mode"), "RW") == 0;
    for (guint i = 0; i < obj_set_size(vdi, "VBDs"); i++) {
        Obj *other = obj_follow_nth(vdi, "VBDs", i);
        if (other != vbd && obj_bool(other, "currently_attached") &&
            (writes || strcmp(obj_str(other, "mode"), "RW") == 0)) {
            sim_error(error, "VDI_IN_USE", obj_ref(vdi), "attach", NULL);
            return false;
        }
    }
    return true;
}

static json_t *device_plug(Call *call, const char *cls, GError **error)
{
    Obj *device = call_obj(call, 0, cls, error);
    Obj *vm = device == NULL ? NULL : obj_follow(device, "VM");
    if (vm == NULL)
        return NULL;
    if (!is_running(vm)) {
        g_autofree char *state = g_ascii_strdown(obj_str(vm, "power_state"), -1);
        sim_error(error, "VM_BAD_POWER_STATE", obj_ref(vm), "running", state, NULL);
    } else if (obj_bool(device, "currently_attached")) {
        sim_error(error, "DEVICE_ALREADY_ATTACHED", obj_ref(device), NULL);
    } else if (strcmp(cls, "VIF") == 0 || disk_free(device, error)) {
        guest_attach(device);
        return call_void();
    }
    return NULL;
}

static json_t *device_unplug(Call *call, const char *cls, bool force, GError **error)
{
    Obj *device = call_obj(call, 0, cls, error);
    if (device == NULL)
        return NULL;
    if (!obj_bool(device, "currently_attached")) {
        if (force)
            return call_void();
        sim_error(error, "DEVICE_ALREADY_DETACHED", obj_ref(device), NULL);
        return NULL;
    }
    guest_detach(device);
    return call_void();
}

static json_t *vbd_plug(Call *call, GError **error)
{
    return device_plug(call, "VBD", error);
}

static json_t *vbd_unplug(Call *call, GError **error)
{
    return device_unplug(call, "VBD", false, error);
}

static json_t *vbd_unplug_force(Call *call, GError **error)
{
    return device_unplug(call, "VBD", true, error);
}

static json_t *vbd_insert(Call *call, GError **error)
{
    Obj *vbd = call_obj(call, 0, "VBD", error);
    Obj *vdi = vbd == NULL ? NULL : call_obj(call, 1, "VDI", error);
    if (vdi == NULL)
        return NULL;
    if (strcmp(obj_str(vbd, "type"), "CD") != 0) {
        sim_error(error, "VBD_NOT_REMOVABLE_MEDIA", obj_ref(vbd), NULL);
        return NULL;
    }
    if (!obj_bool(vbd, "empty")) {
        sim_error(error, "VBD_NOT_EMPTY", obj_ref(vbd), NULL);
        return NULL;
    }
    obj_put_ref(vbd, "VDI", vdi);
    obj_put_bool(vbd, "empty", false);
    Obj *vm = obj_follow(vbd, "VM");
    if (vm != NULL && is_running(vm))
        guest_attach(vbd);
    guest_refresh_device(vbd);
    return call_void();
}

static json_t *vbd_eject(Call *call, GError **error)
{
    Obj *vbd = call_obj(call, 0, "VBD", error);
    if (vbd == NULL)
        return NULL;
    if (strcmp(obj_str(vbd, "type"), "CD") != 0) {
        sim_error(error, "VBD_NOT_REMOVABLE_MEDIA", obj_ref(vbd), NULL);
        return NULL;
    }
    if (obj_bool(vbd, "empty")) {
        sim_error(error, "VBD_IS_EMPTY", obj_ref(vbd), NULL);
        return NULL;
    }
    obj_put_ref(vbd, "VDI", NULL);
    obj_put_bool(vbd, "empty", true);
    guest_refresh_device(vbd);
    return call_void();
}

static json_t *vbd_set_mode(Call *call, GError **error)
{
    Obj *vbd = call_obj(call, 0, "VBD", error);
    return vbd != NULL && obj_put_json(vbd, "mode", call_param(call, 1), error) ? call_void()
                                                                                : NULL;
}

/* --- VIF --- */

/* From the seed that the VM carries, so that a restored VM can have its addresses again. */
static char *mac_generate(const Obj *vm, const char *device)
{
    const char *seed = obj_map_get(vm, "other_config", "mac_seed");
    g_autofree char *text = g_strconcat(seed == NULL ? obj_uuid(vm) : seed, "|", device, NULL);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    return g_strdup_printf("02:%.2s:%.2s:%.2s:%.2s:%.2s", hash, hash + 2, hash + 4, hash + 6,
                           hash + 8);
}

static bool mac_check(const char *mac, GError **error)
{
    if (*mac == '\0' || g_regex_match_simple("^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$", mac, 0, 0))
        return true;
    sim_error(error, "MAC_INVALID", mac, NULL);
    return false;
}

static json_t *vif_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *record = call_param(call, 0);
    const char *mac = json_text(record, "MAC");
    Obj *vm = obj_get(sim, "VM", json_text(record, "VM"), error);
    if (vm == NULL || obj_get(sim, "network", json_text(record, "network"), error) == NULL ||
        !mac_check(mac, error))
        return NULL;
    g_autofree char *position =
        position_choose(vm, "VIFs", "device", json_text(record, "device"), MAX_VIFS - 1, error);
    Obj *vif = position == NULL ? NULL : record_create(sim, "VIF", record, error);
    if (vif == NULL)
        return NULL;
    g_autofree char *made = *mac == '\0' ? mac_generate(vm, position) : g_ascii_strdown(mac, -1);
    obj_put_str(vif, "device", position);
    obj_put_str(vif, "MAC", made);
    obj_put_bool(vif, "MAC_autogenerated", *mac == '\0');
    if (strcmp(obj_str(vm, "power_state"), "Suspended") != 0)
        obj_put_bool(vif, "currently_attached", false);
    guest_refresh_device(vif);
    return json_string(obj_ref(vif));
}

static json_t *vif_destroy(Call *call, GError **error)
{
    return device_destroy(call, "VIF", error);
}

static json_t *vif_plug(Call *call, GError **error)
{
    return device_plug(call, "VIF", error);
}

static json_t *vif_unplug(Call *call, GError **error)
{
    return device_unplug(call, "VIF", false, error);
}

static json_t *vif_unplug_force(Call *call, GError **error)
{
    return device_unplug(call, "VIF", true, error);
}

static json_t *vif_move(Call *call, GError **error)
{
    Obj *vif = call_obj(call, 0, "VIF", error);
    Obj *network = vif == NULL ? NULL : call_obj(call, 1, "network", error);
    if (network == NULL)
        return NULL;
    obj_put_ref(vif, "network", network);
    return call_void();
}

/* VIF.set_x for the fields that only this call may write. */
static json_t *vif_set(Call *call, GError **error)
{
    Obj *vif = call_obj(call, 0, "VIF", error);
    const char *field = strchr(call_method(call), '.') + strlen(".set_");
    return vif != NULL && obj_put_json(vif, field, call_param(call, 1), error) ? call_void() : NULL;
}

const Method device_methods[] = {
    { "VM.get_allowed_VBD_devices", vm_get_allowed_VBD_devices },
    { "VM.get_allowed_VIF_devices", vm_get_allowed_VIF_devices },
    { "VBD.create", vbd_create },
    { "VBD.destroy", vbd_destroy },
    { "VBD.plug", vbd_plug },
    { "VBD.unplug", vbd_unplug },
    { "VBD.unplug_force", vbd_unplug_force },
    { "VBD.insert", vbd_insert },
    { "VBD.eject", vbd_eject },
    { "VBD.set_mode", vbd_set_mode },
    { "VIF.create", vif_create },
    { "VIF.destroy", vif_destroy },
    { "VIF.plug", vif_plug },
    { "VIF.unplug", vif_unplug },
    { "VIF.unplug_force", vif_unplug_force },
    { "VIF.move", vif_move },
    { "VIF.set_locking_mode", vif_set },
    { "VIF.set_ipv4_allowed", vif_set },
    { "VIF.set_ipv6_allowed", vif_set },
    { NULL, NULL },
};
