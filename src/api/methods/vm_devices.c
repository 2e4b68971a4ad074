/* Devices: each is one record given to the pool, with XO's defaults. */
#include "api/methods/vm_devices.h"
#include "api/methods/vm_birth.h"
#include "base/error.h"

#include <string.h>

/* --- Disks --- */

char *disk_create(Xapi *xapi, const NewDisk *disk, GError **error)
{
    const char *description = disk->name_description ? disk->name_description : "";
    json_t *record = json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:{s:s*}, s:{}, s:{}, s:[]}",
                               "name_label", disk->name_label, "name_description", description,
                               "SR", disk->sr, "virtual_size", (json_int_t) disk->size_bytes,
                               "type", "user", "sharable", 0, "read_only", 0, "other_config",
                               VM_BIRTH_MARK, disk->birth_id, "xenstore_data", "sm_config", "tags");
    return xapi_call_task(xapi, "VDI.create", json_pack("[o]", record), NULL, NULL, NULL, error);
}

bool disk_mark(Xapi *xapi, const char *vdi, const char *birth_id, GError **error)
{
    return xapi_do(xapi, "VDI.add_to_other_config",
                   json_pack("[s, s, s]", vdi, VM_BIRTH_MARK, birth_id), error);
}

bool disk_settle(Xapi *xapi, const char *vdi, GError **error)
{
    return xapi_do(xapi, "VDI.remove_from_other_config", json_pack("[s, s]", vdi, VM_BIRTH_MARK),
                   error);
}

bool disk_drop(Xapi *xapi, const char *vdi, GError **error)
{
    enum { TRIES = 60, STEP_MS = 500 };
    for (unsigned i = 1;; i++) {
        g_autoptr(GError) failure = NULL;
        if (xapi_do(xapi, "VDI.destroy", json_pack("[s]", vdi), &failure))
            return true;
        if (i == TRIES || !g_str_equal(err_xapi_code(failure), "VDI_IN_USE")) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_usleep(STEP_MS * 1000);
    }
}

bool vbd_create(Xapi *xapi, const NewVbd *vbd, GError **error)
{
    bool cd = g_strcmp0(vbd->type, "CD") == 0;
    const char *mode = vbd->mode ? vbd->mode : cd ? "RO" : "RW";
    json_t *record = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:b, s:b, s:{}, s:s, s:{}}", "VM",
                               vbd->vm, "VDI", vbd->vdi ? vbd->vdi : "OpaqueRef:NULL", "userdevice",
                               vbd->position ? vbd->position : "autodetect", "bootable",
                               vbd->bootable, "mode", mode, "type", cd ? "CD" : "Disk",
                               "unpluggable", 1, "empty", vbd->empty, "other_config",
                               "qos_algorithm_type", "", "qos_algorithm_params");
    g_autofree char *ref = xapi_call_string(xapi, "VBD.create", json_pack("[o]", record), error);
    if (!ref || !vbd->plug)
        return ref != NULL;
    if (xapi_do(xapi, "VBD.plug", json_pack("[s]", ref), error))
        return true;
    xapi_do(xapi, "VBD.destroy", json_pack("[s]", ref), NULL);
    return false;
}

/* The records of the devices that a field of the VM lists. */
static json_t *devices_of(Xapi *xapi, const char *vm, const char *cls, GError **error)
{
    g_autofree char *list_verb = g_strdup_printf("VM.get_%ss", cls);
    g_autofree char *record_verb = g_strdup_printf("%s.get_record", cls);
    json_t *refs = xapi_call(xapi, list_verb, json_pack("[s]", vm), error), *ref;
    json_t *devices = refs ? json_array() : NULL;
    size_t i;
    json_array_foreach (refs, i, ref) {
        json_t *device = xapi_call(xapi, record_verb, json_pack("[O]", ref), error);
        if (!device) {
            g_clear_pointer(&devices, json_decref);
            break;
        }
        json_object_set(device, "ref", ref);
        json_array_append_new(devices, device);
    }
    json_decref(refs);
    return devices;
}

json_t *vm_block_devices(Xapi *xapi, const char *vm, GError **error)
{
    return devices_of(xapi, vm, "VBD", error);
}

static bool is(json_t *record, const char *field, const char *text)
{
    return g_strcmp0(json_string_value(json_object_get(record, field)), text) == 0;
}

json_t *vbd_at(json_t *devices, const char *position)
{
    size_t i;
    json_t *device;
    json_array_foreach (devices, i, device)
        if (is(device, "userdevice", position))
            return device;
    return NULL;
}

/* --- The drive --- */

static bool fill_drive(Xapi *xapi, json_t *drive, const char *vdi, const InsertCd *how,
                       GError **error)
{
    json_t *ref = json_object_get(drive, "ref");
    if (!how->keep && !json_is_true(json_object_get(drive, "empty")) &&
        !xapi_do(xapi, "VBD.eject", json_pack("[O]", ref), error))
        return false;
    return xapi_do(xapi, "VBD.insert", json_pack("[O, s]", ref, vdi), error) &&
           xapi_do(xapi, "VBD.set_bootable", json_pack("[O, b]", ref, how->bootable), error);
}

/* Drives are usually the fourth device. */
bool vm_insert_cd(Xapi *xapi, const char *vm, const char *vdi, const InsertCd *how, GError **error)
{
    json_t *devices = vm_block_devices(xapi, vm, error), *device, *drive = NULL;
    size_t i;
    json_array_foreach (devices, i, device)
        if (is(device, "type", "CD"))
            drive = device;
    NewVbd made = { .vm = vm,
                    .vdi = vdi,
                    .type = "CD",
                    .bootable = how->bootable,
                    .position = vbd_at(devices, "3") ? NULL : "3" };
    bool ok = devices &&
              (drive ? fill_drive(xapi, drive, vdi, how, error) : vbd_create(xapi, &made, error));
    json_decref(devices);
    return ok;
}

bool vm_eject_cd(Xapi *xapi, const char *vm, GError **error)
{
    json_t *devices = vm_block_devices(xapi, vm, error), *device;
    bool ok = devices != NULL;
    size_t i;
    json_array_foreach (devices, i, device)
        if (ok && is(device, "type", "CD") && !json_is_true(json_object_get(device, "empty")))
            ok =
                xapi_do(xapi, "VBD.eject", json_pack("[O]", json_object_get(device, "ref")), error);
    json_decref(devices);
    return ok;
}

/* --- Network interfaces --- */

char *management_network(Xapi *xapi, GError **error)
{
    json_t *pifs = xapi_call(xapi, "PIF.get_all_records", NULL, error), *pif;
    char *network = NULL;
    const char *ref;
    json_object_foreach (pifs, ref, pif)
        if (!network && json_is_true(json_object_get(pif, "management")))
            network = g_strdup(json_string_value(json_object_get(pif, "network")));
    if (pifs && !network)
        err_set(error, ERR_NOT_FOUND, "the pool has no management network");
    json_decref(pifs);
    return network;
}

static json_t *list_or_empty(json_t *wanted, const char *key)
{
    json_t *list = json_object_get(wanted, key);
    return json_is_array(list) ? json_incref(list) : json_array();
}

bool vif_create(Xapi *xapi, const char *vm, const ApiObject *network, const char *device,
                json_t *wanted, char **ref, GError **error)
{
    const char *mac = json_string_value(json_object_get(wanted, "mac"));
    json_t *v4 = list_or_empty(wanted, "allowedIpv4Addresses");
    json_t *v6 = list_or_empty(wanted, "allowedIpv6Addresses");
    bool locked = json_array_size(v4) + json_array_size(v6) > 0;
    json_t *mtu = json_object_get(network->view, "MTU");
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:{}, s:s, s:{}, s:s, s:o, s:o}", "device", device,
                  "network", network->ref, "VM", vm, "MAC", mac ? mac : "", "MTU",
                  mtu ? json_integer_value(mtu) : (json_int_t) 1500, "other_config",
                  "qos_algorithm_type", "", "qos_algorithm_params", "locking_mode",
                  locked ? "locked" : "network_default", "ipv4_allowed", v4, "ipv6_allowed", v6);
    g_autofree char *made = xapi_call_string(xapi, "VIF.create", json_pack("[o]", record), error);
    bool ok = made != NULL;
    if (ref)
        *ref = g_steal_pointer(&made);
    return ok;
}
