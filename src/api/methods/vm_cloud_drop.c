/* The end of cloud-init's drive: it waits until the VM runs, then until its tools report (or have
 * had their time), then for a while that lets cloud-init finish. */
#include "api/methods/vm_cloud.h"
#include "api/parts.h"
#include "base/json_text.h"
#include "base/log.h"

enum { LOOK_MS = 1000 };

static gint64 time_of(json_t *record, const char *key)
{
    return json_integer_value(json_object_get(record, key));
}

bool vm_cloud_drive_lose(VmChange *vm, const char *vdi, GError **error)
{
    g_autofree char *uuid =
        xapi_call_string(vm->xapi, "VDI.get_uuid", json_pack("[s]", vdi), error);
    if (!uuid)
        return false;
    json_t *record = json_pack("{s:s, s:s, s:s, s:I}", "pool", api_object_text(vm->base, "$pool"),
                               "vm", vm_change_text(vm, "uuid"), "vdi", uuid, "begun",
                               (json_int_t) (g_get_real_time() / 1000));
    g_autofree char *id =
        duty_add(call_parts(vm->call)->duties, &vm_cloud_drive_duty, record, false, error);
    return id != NULL;
}

/* --- Taking it away --- */

static bool drop_device(Xapi *xapi, json_t *vbd, GError **error)
{
    json_t *attached = xapi_call(xapi, "VBD.get_currently_attached", json_pack("[O]", vbd), error);
    bool ok = attached && (!json_is_true(attached) ||
                           xapi_do(xapi, "VBD.unplug", json_pack("[O]", vbd), error));
    json_decref(attached);
    return ok && xapi_do(xapi, "VBD.destroy", json_pack("[O]", vbd), error);
}

static bool drop_drive(Xapi *xapi, const char *uuid, GError **error)
{
    g_autofree char *vdi = xapi_call_string(xapi, "VDI.get_by_uuid", json_pack("[s]", uuid), error);
    json_t *vbds = vdi ? xapi_call(xapi, "VDI.get_VBDs", json_pack("[s]", vdi), error) : NULL, *vbd;
    bool ok = vbds != NULL;
    size_t i;
    json_array_foreach (vbds, i, vbd)
        ok = ok && drop_device(xapi, vbd, error);
    json_decref(vbds);
    return ok && xapi_do(xapi, "VDI.destroy", json_pack("[s]", vdi), error);
}

static unsigned drop(Link *link, json_t *record)
{
    g_autoptr(GError) error = NULL;
    if (!drop_drive(pool_xapi(link_pool(link)), json_text(record, "vdi"), &error))
        log_warning("api", "the cloud-init drive of VM %s stays: %s", json_text(record, "vm"),
                    error->message);
    return DUTY_DONE;
}

/* --- Waiting --- */

/* When the condition held for the first time, kept in the record; 0: it never did. */
static gint64 first_time(json_t *record, const char *key, bool holds, gint64 now_ms)
{
    if (!time_of(record, key) && holds)
        json_object_set_new(record, key, json_integer(now_ms));
    return time_of(record, key);
}

static unsigned wait_for(const ApiParts *parts, Link *link, json_t *vm, json_t *record,
                         gint64 now_ms)
{
    bool runs = g_str_equal(json_text(vm, "power_state"), "Running");
    gint64 running = first_time(record, "running", runs, now_ms);
    if (!running && now_ms - time_of(record, "begun") > VM_CLOUD_TOOLS_MS) {
        log_warning("api", "VM %s was not started: it keeps its cloud-init drive",
                    json_text(record, "vm"));
        return DUTY_DONE;
    }
    bool reported = json_is_true(json_object_get(vm, "pvDriversDetected"));
    gint64 ready = first_time(
        record, "ready", running && (reported || now_ms - running > VM_CLOUD_TOOLS_MS), now_ms);
    return ready && now_ms - ready >= parts->cloud_drive_ms ? drop(link, record) : LOOK_MS;
}

static unsigned look(const ApiParts *parts, json_t *record, gint64 now_ms)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(parts->servers, json_text(record, "pool"), &inventory);
    if (!link || pool_status(link_pool(link)) != POOL_CONNECTED)
        return LOOK_MS;
    json_t *vm = inventory_object(inventory, json_text(record, "vm"));
    unsigned again_ms = vm ? wait_for(parts, link, vm, record, now_ms) : DUTY_DONE;
    json_decref(vm);
    return again_ms;
}

const DutyKind vm_cloud_drive_duty = { "vm.cloudDrive", look };
