/* pci.*, pusb.*, vusb.*, vtpm.*, and what of vm.* goes with them: devices of hosts that machines
 * may have, and chips that only machines have. */
#include "api/method.h"
#include "api/methods/host_power.h"
#include "api/objects.h"
#include "base/json_list.h"
#include "base/mutant.h"

#include <string.h>

/* One call on the object that `id` names, seen by everybody when it is answered. */
static json_t *act(ApiCall *call, const char *method, json_t *more, GError **error)
{
    const ApiObject *object = call_object(call, "id");
    if (api_object_do(object, method, more, error))
        api_object_barrier(object);
    return NULL;
}

/* --- pci.* --- */

static GPtrArray *devices(ApiCall *call, GError **error)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    json_t *id;
    size_t i;
    json_array_foreach (call_get(call, "pcis"), i, id) {
        const ApiObject *pci = call_find(call, json_string_value(id), "PCI", "administrate", error);
        if (!pci)
            return NULL;
        const ApiObject *first = list->len ? list->pdata[0] : pci;
        if (!g_str_equal(api_object_text(pci, "$host"), api_object_text(first, "$host"))) {
            api_error_invalid(error, "pcis: all PCI devices must be of the same host, which will "
                                     "be restarted");
            return NULL;
        }
        g_ptr_array_add(list, (void *) pci);
    }
    if (list->len)
        return g_steal_pointer(&list);
    api_error_invalid(error, "pcis: name at least one PCI device");
    return NULL;
}

/* All of them or, with an error, none. */
static bool change_access(const GPtrArray *list, bool disable, GError **error)
{
    const char *forth = disable ? "PCI.disable_dom0_access" : "PCI.enable_dom0_access";
    const char *back = disable ? "PCI.enable_dom0_access" : "PCI.disable_dom0_access";
    guint n = 0;
    while (n < list->len && api_object_do(list->pdata[n], forth, NULL, error))
        n++;
    bool ok = n == list->len;
    while (!ok && n-- > 0)
        api_object_do(list->pdata[n], back, NULL, NULL);
    return ok;
}

/* It is so after the restart of the host. When that cannot be, nothing stays changed. */
static json_t *disable_access(ApiCall *call, GError **error)
{
    bool disable = call_bool(call, "disable");
    g_autoptr(GPtrArray) list = devices(call, error);
    const ApiObject *host = list ? call_find(call, api_object_text(list->pdata[0], "$host"), "host",
                                             "administrate", error)
                                 : NULL;
    if (!host || !change_access(list, disable, error))
        return NULL;
    if (!host_restart(host, call_bool(call, "forceReboot"), error) &&
        !MUTANT(pci_stays_taken)) /* mutant: system:test_pool_methods.Methods.test_pci_refused */
        change_access(list, !disable, NULL);
    return NULL;
}

static json_t *access_status(ApiCall *call, GError **error)
{
    const ApiObject *pci = call_object(call, "id");
    return xapi_call(api_object_xapi(pci), "PCI.get_dom0_access_status", json_pack("[s]", pci->ref),
                     error);
}

/* --- PCI devices of machines: other_config "pci", "0/0000:04:00.0,0/0000:05:00.0" --- */

static bool put_devices(const ApiObject *vm, json_t *ids, GError **error)
{
    g_autoptr(GString) text = g_string_new(NULL);
    json_t *id;
    size_t i;
    json_array_foreach (ids, i, id)
        g_string_append_printf(text, "%s0/%s", i ? "," : "", json_string_value(id));
    return api_object_do(vm, "VM.remove_from_other_config", json_pack("[s]", "pci"), error) &&
           (text->len == 0 || api_object_do(vm, "VM.add_to_other_config",
                                            json_pack("[s, s]", "pci", text->str), error));
}

/* Adds the addresses of the devices that the call names. */
static bool add_devices(ApiCall *call, const ApiObject *vm, json_t *ids, GError **error)
{
    json_t *id;
    size_t i;
    json_array_foreach (call_get(call, "pcis"), i, id) {
        const ApiObject *pci = call_find(call, json_string_value(id), "PCI", "administrate", error);
        if (!pci)
            return false;
        if (pci->link != vm->link) {
            api_error_invalid(error, "pcis: %s is not of the pool of VM %s", pci->id, vm->id);
            return false;
        }
        if (!json_list_has_text(ids, api_object_text(pci, "pci_id")))
            json_array_append_new(ids, json_string(api_object_text(pci, "pci_id")));
    }
    return true;
}

static json_t *attach_pcis(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    json_t *now = json_object_get(vm->view, "attachedPcis");
    json_t *ids = now ? json_copy(now) : json_array();
    if (add_devices(call, vm, ids, error) && put_devices(vm, ids, error))
        api_object_barrier(vm);
    json_decref(ids);
    return NULL;
}

static json_t *detach_pcis(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    json_t *left = json_array(), *id;
    size_t i;
    json_array_foreach (json_object_get(vm->view, "attachedPcis"), i, id)
        if (!json_list_has_text(call_get(call, "pciIds"), json_string_value(id)))
            json_array_append(left, id);
    if (put_devices(vm, left, error))
        api_object_barrier(vm);
    json_decref(left);
    return NULL;
}

/* --- Secure boot --- */

static json_t *readiness(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    return xapi_call(api_object_xapi(vm), "VM.get_secureboot_readiness", json_pack("[s]", vm->ref),
                     error);
}

/* --- pusb.*, vusb.* --- */

static json_t *scan(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    if (api_object_do(host, "PUSB.scan", NULL, error))
        api_object_barrier(host);
    return NULL;
}

static json_t *set_usb(ApiCall *call, GError **error)
{
    json_t *enabled = call_get(call, "enabled");
    const ApiObject *usb = call_object(call, "id");
    if (!enabled || json_equal(enabled, json_object_get(usb->view, "passthroughEnabled")))
        return NULL;
    return act(call, "PUSB.set_passthrough_enabled", json_pack("[O]", enabled), error);
}

static json_t *give_usb(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vmId"), *group = call_object(call, "usbGroupId");
    if (vm->link != group->link) {
        api_error_invalid(error, "usbGroupId: %s is not of the pool of VM %s", group->id, vm->id);
        return NULL;
    }
    g_autofree char *ref = xapi_call_string(api_object_xapi(vm), "VUSB.create",
                                            json_pack("[s, s, {}]", vm->ref, group->ref), error);
    return ref ? api_object_made(vm, "VUSB", ref, error) : NULL;
}

static json_t *unplug_usb(ApiCall *call, GError **error)
{
    return act(call, "VUSB.unplug", NULL, error);
}

static json_t *take_usb(ApiCall *call, GError **error)
{
    return act(call, "VUSB.destroy", NULL, error);
}

/* --- vtpm.* --- */

/* XO's answer is the reference, which no other method takes: the id says more. */
static json_t *give_tpm(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    g_autofree char *ref = xapi_call_string(api_object_xapi(vm), "VTPM.create",
                                            json_pack("[s, b]", vm->ref, 0), error);
    return ref ? api_object_made(vm, "VTPM", ref, error) : NULL;
}

static json_t *take_tpm(ApiCall *call, GError **error)
{
    return act(call, "VTPM.destroy", NULL, error);
}

#define OF(type) REQ(ID("id", type, "administrate"))

const Method methods_hardware[] = {
    { "pci.disableDom0Access", disable_access,
      PARAMS(REQ(ARR("pcis", P_STRING), .words = "devices of one host"),
             REQ(BOOL("disable"), .words = "false: gives them back"),
             OPT(BOOL("forceReboot"), .words = "also when its machines cannot move")),
      .access = ACCESS_USER, .long_running = true,
      .example = "pcis=json:\"[\\\"$MEMBER_PCI\\\"]\" disable=true",
      .summary = "Take PCI devices from a host for its machines, and restart the host." },
    { "pci.getDom0AccessStatus", access_status, PARAMS(REQ(ID("id", "PCI", "view"))),
      .access = ACCESS_USER, .example = "id=$PCI",
      .summary = "Whether a PCI device is its host's: enabled, disabled, or so after a restart." },
    { "vm.attachPcis", attach_pcis,
      PARAMS(OF("VM"), REQ(ARR("pcis", P_STRING), .words = "devices that their host has given up")),
      .access = ACCESS_USER, .example = "id=$VM pcis=json:\"[\\\"$PCI\\\"]\"",
      .summary = "Give PCI devices of a host to a machine, from its next start on." },
    { "vm.detachPcis", detach_pcis,
      PARAMS(OF("VM"), REQ(ARR("pciIds", P_STRING), .words = "addresses: \"0000:04:00.0\"")),
      .access = ACCESS_USER, .example = "id=$VM pciIds=json:'[\"0000:04:00.0\"]'",
      .summary = "Take PCI devices from a machine, from its next start on." },
    { "vm.getSecurebootReadiness", readiness,
      PARAMS(REQ(ID("id", "VM", "view")),
             DEF("false", BOOL("forceRefresh"), .words = "needs not be said: nothing is kept")),
      .access = ACCESS_USER, .example = "id=$VM",
      .summary = "Whether a machine can start with secure boot, or why not." },
    { "pusb.scan", scan, PARAMS(REQ(ID("host", "host", "operate"))), .access = ACCESS_USER,
      .example = "host=$HOST", .summary = "Look for USB devices of a host." },
    { "pusb.set", set_usb, PARAMS(OF("PUSB"), OPT(BOOL("enabled"))), .access = ACCESS_USER,
      .example = "id=$USB enabled=true", .summary = "Let machines have a USB device of a host." },
    { "vusb.create", give_usb,
      PARAMS(REQ(ID("vmId", "VM", "administrate")),
             REQ(ID("usbGroupId", "USB_group", "administrate"))),
      .access = ACCESS_USER, .example = "vmId=$VM usbGroupId=$USB_GROUP",
      .summary = "Give a USB device to a halted machine, from its next start on." },
    { "vusb.unplug", unplug_usb, PARAMS(OF("VUSB")), .access = ACCESS_USER,
      .example = "id=$PLUGGED_VUSB",
      .summary = "Take a USB device from a machine until its next start." },
    { "vusb.destroy", take_usb, PARAMS(OF("VUSB")), .access = ACCESS_USER,
      .example = "id=$SPARE_VUSB", .summary = "Take a USB device from a machine for good." },
    { "vtpm.create", give_tpm, PARAMS(OF("VM")), .access = ACCESS_USER, .example = "id=$SPARE_VM",
      .summary = "Give a halted machine a TPM." },
    { "vtpm.destroy", take_tpm, PARAMS(OF("VTPM")), .access = ACCESS_USER,
      .example = "id=$SPARE_VTPM",
      .summary = "Take the TPM from a halted machine, with the keys in it." },
    { NULL },
};
