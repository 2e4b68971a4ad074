/* What is plugged into a host: PCI devices that its own system may leave to guests, and USB devices
 * with the groups through which a guest gets one. What a host has at its USB ports is what its
 * other_config says, looked at by PUSB.scan (docs/simulator.md). */
#include "sim/hardware.h"

#include "sim/lifecycle.h"
#include "sim/population.h"

#include <string.h>

enum { MAX_VUSBS = 6 };

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

/* --- PCI --- */

/* The record of a PCI device does not say who has it: this key does. */
#define DOM0_ACCESS "sim:dom0-access"

static const char *access_of(const Obj *pci)
{
    const char *access = obj_map_get(pci, "other_config", DOM0_ACCESS);
    return access == NULL ? "enabled" : access;
}

/* `now` when it is so, also `until` the next start of the host; else `soon`, which is then. */
static json_t *ask_access(Call *call, const char *now, const char *until, const char *soon,
                          GError **error)
{
    Obj *pci = call_obj(call, 0, "PCI", error);
    if (pci == NULL)
        return NULL;
    bool is_so = strcmp(access_of(pci), now) == 0 || strcmp(access_of(pci), until) == 0;
    obj_map_put(pci, "other_config", DOM0_ACCESS, is_so ? now : soon);
    return json_string(access_of(pci));
}

static json_t *pci_disable(Call *call, GError **error)
{
    return ask_access(call, "disabled", "enable_on_reboot", "disable_on_reboot", error);
}

static json_t *pci_enable(Call *call, GError **error)
{
    return ask_access(call, "enabled", "disable_on_reboot", "enable_on_reboot", error);
}

static json_t *pci_status(Call *call, GError **error)
{
    const Obj *pci = call_obj(call, 0, "PCI", error);
    return pci == NULL ? NULL : json_string(access_of(pci));
}

void hardware_booted(Obj *host)
{
    for (guint i = 0; i < obj_set_size(host, "PCIs"); i++) {
        Obj *pci = obj_follow_nth(host, "PCIs", i);
        if (strcmp(access_of(pci), "disable_on_reboot") == 0)
            obj_map_put(pci, "other_config", DOM0_ACCESS, "disabled");
        else if (strcmp(access_of(pci), "enable_on_reboot") == 0)
            obj_map_put(pci, "other_config", DOM0_ACCESS, "enabled");
    }
}

void hardware_add(Obj *host)
{
    Obj *pci = obj_new(obj_sim(host), "PCI");
    population_fill(pci, "{\"class_name\": \"Ethernet controller\", \"vendor_name\": \"Intel "
                         "Corporation\", \"device_name\": \"I350 Gigabit Network Connection\", "
                         "\"pci_id\": \"0000:04:00.0\", \"driver_name\": \"igb\"}");
    obj_put_ref(pci, "host", host);
}

/* --- USB --- */

/* With its group, when no other is in it. */
static void pusb_drop(Obj *pusb)
{
    Obj *group = obj_follow(pusb, "USB_group");
    obj_drop(pusb);
    if (group != NULL && obj_set_size(group, "PUSBs") == 0 && obj_set_size(group, "VUSBs") == 0)
        obj_drop(group);
}

void hardware_drop(Obj *host)
{
    while (obj_set_size(host, "PCIs") > 0)
        obj_drop(obj_follow_nth(host, "PCIs", 0));
    while (obj_set_size(host, "PUSBs") > 0)
        pusb_drop(obj_follow_nth(host, "PUSBs", 0));
}

static const char *text_of(json_t *device, const char *name)
{
    const char *text = json_string_value(json_object_get(device, name));
    return text == NULL ? "" : text;
}

static Obj *pusb_at(const Obj *host, const char *path)
{
    for (guint i = 0; i < obj_set_size(host, "PUSBs"); i++) {
        Obj *pusb = obj_follow_nth(host, "PUSBs", i);
        if (strcmp(obj_str(pusb, "path"), path) == 0)
            return pusb;
    }
    return NULL;
}

static void pusb_add(Obj *host, json_t *device)
{
    static const char *const fields[] = {
        "path",         "vendor_id", "vendor_desc", "product_id",
        "product_desc", "serial",    "version",     "description"
    };
    if (pusb_at(host, text_of(device, "path")) != NULL)
        return;
    Obj *pusb = obj_new(obj_sim(host), "PUSB");
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        obj_put_str(pusb, fields[i], text_of(device, fields[i]));
    obj_put_float(pusb, "speed", 480);
    obj_put_ref(pusb, "host", host);
}

static bool is_there(json_t *devices, const char *path)
{
    size_t i;
    json_t *device;
    json_array_foreach (devices, i, device)
        if (strcmp(text_of(device, "path"), path) == 0)
            return true;
    return false;
}

/* other_config "sim:usb" of the host: a list of {path, vendor_id, product_id, product_desc, …}. */
static json_t *pusb_scan(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    const char *text = host == NULL ? NULL : obj_map_get(host, "other_config", "sim:usb");
    json_t *devices = text == NULL ? NULL : json_loads(text, 0, NULL), *device;
    size_t n;
    if (host == NULL)
        return NULL;
    json_array_foreach (devices, n, device)
        pusb_add(host, device);
    for (guint i = obj_set_size(host, "PUSBs"); i-- > 0;) {
        Obj *pusb = obj_follow_nth(host, "PUSBs", i);
        if (!is_there(devices, obj_str(pusb, "path")))
            pusb_drop(pusb);
    }
    json_decref(devices);
    return call_void();
}

static void group_make(Obj *pusb)
{
    g_autofree char *name = g_strdup_printf("Group of %s %s USBs", obj_str(pusb, "vendor_id"),
                                            obj_str(pusb, "product_id"));
    Obj *group = obj_new(obj_sim(pusb), "USB_group");
    obj_put_str(group, "name_label", name);
    obj_put_ref(pusb, "USB_group", group);
}

static json_t *pusb_set_passthrough(Call *call, GError **error)
{
    Obj *pusb = call_obj(call, 0, "PUSB", error);
    Obj *group = pusb == NULL ? NULL : obj_follow(pusb, "USB_group");
    bool on = call_bool(call, 1);
    if (pusb == NULL)
        return NULL;
    if (!on && group != NULL && obj_set_size(group, "VUSBs") > 0)
        return refuse(error, "USB_GROUP_CONFLICT", group);
    if (on && group == NULL)
        group_make(pusb);
    if (!on && group != NULL) {
        obj_put_ref(pusb, "USB_group", NULL);
        obj_drop(group);
    }
    obj_put_bool(pusb, "passthrough_enabled", on);
    return call_void();
}

/* --- What a guest has of it --- */

static json_t *vusb_create(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    Obj *group = vm == NULL ? NULL : call_obj(call, 1, "USB_group", error);
    if (group == NULL || !vm_is_halted(vm, error))
        return NULL;
    if (obj_set_size(group, "VUSBs") > 0)
        return refuse(error, "USB_GROUP_CONFLICT", group);
    if (obj_set_size(vm, "VUSBs") >= MAX_VUSBS) {
        sim_error(error, "TOO_MANY_VUSBS", G_STRINGIFY(6), NULL);
        return NULL;
    }
    Obj *vusb = obj_new(call_sim(call), "VUSB");
    obj_put_ref(vusb, "VM", vm);
    obj_put_ref(vusb, "USB_group", group);
    return json_string(obj_ref(vusb));
}

static json_t *vusb_unplug(Call *call, GError **error)
{
    Obj *vusb = call_obj(call, 0, "VUSB", error);
    if (vusb == NULL)
        return NULL;
    if (!obj_bool(vusb, "currently_attached"))
        return refuse(error, "DEVICE_ALREADY_DETACHED", vusb);
    obj_put_bool(vusb, "currently_attached", false);
    return call_void();
}

static json_t *vusb_destroy(Call *call, GError **error)
{
    Obj *vusb = call_obj(call, 0, "VUSB", error);
    if (vusb == NULL)
        return NULL;
    if (obj_bool(vusb, "currently_attached")) {
        sim_error(error, "OPERATION_NOT_ALLOWED", "The USB device is still attached to its VM",
                  NULL);
        return NULL;
    }
    obj_drop(vusb);
    return call_void();
}

/* --- Secure boot --- */

static json_t *secureboot_readiness(Call *call, GError **error)
{
    const Obj *vm = call_obj(call, 0, "VM", error);
    const char *firmware = vm == NULL ? NULL : obj_map_get(vm, "HVM_boot_params", "firmware");
    const char *wanted = vm == NULL ? NULL : obj_map_get(vm, "platform", "secureboot");
    if (vm == NULL)
        return NULL;
    if (g_strcmp0(firmware, "uefi") != 0)
        return json_string("not_supported");
    return json_string(g_strcmp0(wanted, "true") == 0 ? "ready" : "disabled");
}

const Method hardware_methods[] = {
    { "VM.get_secureboot_readiness", secureboot_readiness },
    { "PCI.disable_dom0_access", pci_disable },
    { "PCI.enable_dom0_access", pci_enable },
    { "PCI.get_dom0_access_status", pci_status },
    { "PUSB.scan", pusb_scan },
    { "PUSB.set_passthrough_enabled", pusb_set_passthrough },
    { "VUSB.create", vusb_create },
    { "VUSB.unplug", vusb_unplug },
    { "VUSB.destroy", vusb_destroy },
    { NULL, NULL },
};
