/* VMs made, changed and unmade; their power is in power.c, their copies in snapshot.c. */
#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/vm.h"

#include <string.h>

/* --- Creation --- */

/* A VM may be created suspended, with its memory in a disk: all of it must be there. */
static bool suspended_is_whole(json_t *record)
{
    static const char *const needed[] = { "suspend_VDI", "last_booted_record",
                                          "last_boot_CPU_flags" };
    for (guint i = 0; i < G_N_ELEMENTS(needed); i++)
        if (json_object_get(record, needed[i]) == NULL)
            return false;
    return true;
}

static json_t *vm_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *record = call_param(call, 0);
    const char *state = json_string_value(json_object_get(record, "power_state"));
    Obj *vm = record_create(sim, "VM", record, error);
    if (vm == NULL)
        return NULL;
    bool suspended = g_strcmp0(state, "Suspended") == 0;
    if (suspended && !suspended_is_whole(record)) {
        sim_error(error, "VM_BAD_POWER_STATE", obj_ref(vm), "halted", "suspended", NULL);
        obj_drop(vm);
        return NULL;
    }
    obj_put_str(vm, "power_state", suspended ? "Suspended" : "Halted");
    obj_map_clear(vm, "blocked_operations"); /* a constructor cannot block */
    obj_put_int(vm, "domid", -1);
    if (obj_map_get(vm, "other_config", "mac_seed") == NULL) {
        g_autofree char *seed = sim_new_uuid(sim);
        obj_map_put(vm, "other_config", "mac_seed", seed);
    }
    Obj *metrics = obj_new(sim, "VM_metrics");
    obj_put_int(metrics, "install_time", sim_now(sim));
    obj_put_str(metrics, "current_domain_type", "unspecified");
    obj_put_ref(vm, "metrics", metrics);
    vm_refresh(vm);
    return json_string(obj_ref(vm));
}

/* --- Destruction --- */

static void drop_followed(Obj *obj)
{
    if (obj != NULL)
        obj_drop(obj);
}

static void drop_all(Obj *vm, const char *set)
{
    while (obj_set_size(vm, set) > 0)
        obj_drop(obj_follow_nth(vm, set, 0));
}

void vm_forget(Obj *vm)
{
    Obj *parent = obj_follow(vm, "parent");
    while (obj_set_size(vm, "children") > 0)
        obj_put_ref(obj_follow_nth(vm, "children", 0), "parent", parent);
    drop_all(vm, "VBDs");
    drop_all(vm, "VIFs");
    drop_all(vm, "VTPMs");
    drop_all(vm, "VUSBs");
    drop_all(vm, "consoles");
    drop_followed(obj_follow(vm, "metrics"));
    drop_followed(obj_follow(vm, "guest_metrics"));
    obj_drop(vm);
}

/* The disks stay, and so do the snapshots, whose snapshot_of dangles. */
static json_t *vm_destroy(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *vm = vm_op_begin(call, "destroy", error);
    if (vm == NULL)
        return NULL;
    g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++)
        g_ptr_array_add(disks, g_strdup(obj_str(obj_follow_nth(vm, "VBDs", i), "VDI")));
    vm_forget(vm);
    for (guint i = 0; i < disks->len; i++) {
        Obj *vdi = obj_find(sim, "VDI", disks->pdata[i]);
        if (vdi != NULL)
            storage_vdi_refresh(vdi);
    }
    return call_void();
}

/* --- Fields with rules --- */

static json_t *vm_set_is_a_template(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    bool value = call_bool(call, 1);
    if (value && !obj_bool(vm, "is_a_template") && !vm_may(vm, "make_into_template", error))
        return NULL;
    if (obj_bool(vm, "is_default_template") && !value)
        obj_put_bool(vm, "is_default_template", false);
    obj_put_bool(vm, "is_a_template", value);
    vm_refresh(vm);
    return call_void();
}

static json_t *refreshed(Obj *vm)
{
    if (vm == NULL)
        return NULL;
    vm_refresh(vm);
    return call_void();
}

static json_t *vm_set_blocked_operations(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    return vm != NULL && obj_put_json(vm, "blocked_operations", call_param(call, 1), error)
               ? refreshed(vm)
               : NULL;
}

static json_t *vm_add_to_blocked_operations(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    const char *op = call_str(call, 1);
    if (vm == NULL)
        return NULL;
    if (!enum_has(enum_values("vm_operations"), op)) {
        sim_error(error, "INVALID_VALUE", "blocked_operations", op, NULL);
        return NULL;
    }
    if (obj_map_get(vm, "blocked_operations", op) != NULL) {
        sim_error(error, "MAP_DUPLICATE_KEY", "VM", "blocked_operations", obj_ref(vm), op, NULL);
        return NULL;
    }
    obj_map_put(vm, "blocked_operations", op, call_str(call, 2));
    return refreshed(vm);
}

static json_t *vm_remove_from_blocked_operations(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm != NULL)
        obj_map_remove(vm, "blocked_operations", call_str(call, 1));
    return refreshed(vm);
}

/* --- Memory and processors --- */

typedef struct {
    gint64 static_min, dynamic_min, dynamic_max, static_max;
} Memory;

static Memory memory_of(const Obj *vm)
{
    return (Memory){ obj_int(vm, "memory_static_min"), obj_int(vm, "memory_dynamic_min"),
                     obj_int(vm, "memory_dynamic_max"), obj_int(vm, "memory_static_max") };
}

static json_t *memory_put(Obj *vm, Memory m, const char *op, GError **error)
{
    bool dom0 = obj_bool(vm, "is_control_domain"); /* from the next start of its host on */
    if (!dom0 && !vm_may(vm, op, error))
        return NULL;
    if (m.static_min > m.dynamic_min || m.dynamic_min > m.dynamic_max ||
        m.dynamic_max > m.static_max || m.static_min < 0) {
        sim_error(error, "MEMORY_CONSTRAINT_VIOLATION",
                  "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= "
                  "static_max",
                  NULL);
        return NULL;
    }
    obj_put_int(vm, "memory_static_min", m.static_min);
    obj_put_int(vm, "memory_dynamic_min", m.dynamic_min);
    obj_put_int(vm, "memory_dynamic_max", m.dynamic_max);
    obj_put_int(vm, "memory_static_max", m.static_max);
    obj_put_int(vm, "memory_target", m.dynamic_max);
    return call_void();
}

static json_t *vm_set_memory_limits(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    Memory m = { call_int(call, 1), call_int(call, 3), call_int(call, 4), call_int(call, 2) };
    return vm == NULL ? NULL : memory_put(vm, m, "changing_memory_limits", error);
}

static json_t *vm_set_memory_dynamic_range(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    Memory m = memory_of(vm);
    m.dynamic_min = call_int(call, 1);
    m.dynamic_max = call_int(call, 2);
    return memory_put(vm, m, "changing_dynamic_range", error);
}

static json_t *vm_set_memory_static_range(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    Memory m = memory_of(vm);
    m.static_min = call_int(call, 1);
    m.static_max = call_int(call, 2);
    return memory_put(vm, m, "changing_static_range", error);
}

static json_t *vm_set_memory(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    Memory m = memory_of(vm);
    m.dynamic_min = m.dynamic_max = m.static_max = call_int(call, 1);
    m.static_min = MIN(m.static_min, m.static_max);
    return memory_put(vm, m, "changing_memory_limits", error);
}

/* VM.set_memory_<limit> */
static json_t *vm_set_memory_limit(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    Memory m = memory_of(vm);
    const char *limit = call_method(call) + strlen("VM.set_memory_");
    bool is_static = g_str_has_prefix(limit, "static");
    *(g_str_has_suffix(limit, "min") ? is_static ? &m.static_min : &m.dynamic_min
      : is_static                    ? &m.static_max
                                     : &m.dynamic_max) = call_int(call, 1);
    return memory_put(vm, m, is_static ? "changing_static_range" : "changing_dynamic_range", error);
}

static json_t *vm_set_VCPUs_max(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    gint64 n = call_int(call, 1);
    if (vm == NULL || !vm_may(vm, "changing_VCPUs", error))
        return NULL;
    if (n < 1 || n < obj_int(vm, "VCPUs_at_startup")) {
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, n);
        sim_error(error, "INVALID_VALUE", "VCPUs_max", text, NULL);
        return NULL;
    }
    obj_put_int(vm, "VCPUs_max", n);
    return call_void();
}

static json_t *vm_set_VCPUs_at_startup(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    gint64 n = call_int(call, 1);
    if (vm == NULL || !vm_may(vm, "changing_VCPUs", error))
        return NULL;
    if (n < 1 || n > obj_int(vm, "VCPUs_max")) {
        g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, n);
        sim_error(error, "INVALID_VALUE", "VCPUs_at_startup", text, NULL);
        return NULL;
    }
    obj_put_int(vm, "VCPUs_at_startup", n);
    return call_void();
}

static json_t *vm_set_VCPUs_number_live(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL || !vm_may(vm, "changing_VCPUs_live", error))
        return NULL;
    obj_put_int(obj_follow(vm, "metrics"), "VCPUs_number", call_int(call, 1));
    obj_put_int(vm, "VCPUs_at_startup", call_int(call, 1));
    return call_void();
}

/* What the firmware tells the guest of its machine: once, or never. */
static json_t *bios_strings_put(Obj *vm, json_t *strings, GError **error)
{
    static const char keys[] =
        "bios-vendor bios-version system-manufacturer system-product-name system-version "
        "system-serial-number enclosure-asset-tag baseboard-manufacturer baseboard-product-name "
        "baseboard-version baseboard-serial-number baseboard-asset-tag "
        "baseboard-location-in-chassis";
    const char *key;
    json_t *value;
    if (obj_map_size(vm, "bios_strings") > 0) {
        sim_error(error, "VM_BIOS_STRINGS_ALREADY_SET", NULL);
        return NULL;
    }
    json_object_foreach (strings, key, value)
        if (!enum_has(keys, key)) {
            sim_error(error, "INVALID_VALUE", "bios_strings", key, NULL);
            return NULL;
        }
    return obj_put_json(vm, "bios_strings", strings, error) ? call_void() : NULL;
}

static json_t *vm_copy_bios_strings(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    Obj *host = vm == NULL ? NULL : call_obj(call, 1, "host", error);
    if (host == NULL)
        return NULL;
    json_t *strings = obj_field_json(host, "bios_strings");
    json_t *result = bios_strings_put(vm, strings, error);
    json_decref(strings);
    return result;
}

static json_t *vm_set_bios_strings(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    return vm == NULL ? NULL : bios_strings_put(vm, call_param(call, 1), error);
}

static json_t *vm_compute_memory_overhead(Call *call, GError **error)
{
    const Obj *vm = call_obj(call, 0, "VM", error);
    return vm == NULL ? NULL : json_integer(obj_int(vm, "memory_overhead"));
}

static json_t *vm_maximise_memory(Call *call, GError **error)
{
    const Obj *vm = call_obj(call, 0, "VM", error);
    return vm == NULL ? NULL : json_integer(call_int(call, 1) - obj_int(vm, "memory_overhead"));
}

/* --- Provisioning --- */

/* One <disk …/> of a template: a VDI and its VBD. */
static bool disk_provision(Call *call, const char *vm_ref, const char *device, const char *size,
                           const char *sr, const char *type, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *home = *sr == '\0' ? obj_follow(sim_pool(sim), "default_SR") : obj_find_any(sim, "SR", sr);
    if (home == NULL) {
        sim_error(error, "DEFAULT_SR_NOT_FOUND", sr, NULL);
        return false;
    }
    g_autofree char *vdi = storage_vdi_create(call, obj_ref(home),
                                              "Created by template provisioner", type,
                                              g_ascii_strtoll(size, NULL, 10), error);
    Obj *vm = vdi == NULL ? NULL : obj_get(sim, "VM", vm_ref, error);
    if (vm == NULL)
        return false;
    Obj *vbd = obj_new(sim, "VBD");
    obj_put_ref(vbd, "VM", vm);
    obj_put_str(vbd, "VDI", vdi);
    obj_put_str(vbd, "userdevice", device);
    obj_put_str(vbd, "type", "Disk");
    obj_put_str(vbd, "mode", "RW");
    obj_put_bool(vbd, "bootable", strcmp(device, "0") == 0);
    obj_put_bool(vbd, "unpluggable", true);
    obj_map_put(vbd, "other_config", "owner", "");
    guest_refresh_device(vbd);
    return true;
}

/* other_config.disks: <provision><disk device= size= sr= bootable= type=/></provision> */
static bool disks_provision(Call *call, const char *vm_ref, const char *xml, GError **error)
{
    g_autoptr(GRegex) disk = g_regex_new("<disk\\s[^>]*>", 0, 0, NULL);
    g_autoptr(GRegex) attribute = g_regex_new("(\\w+)=\"([^\"]*)\"", 0, 0, NULL);
    g_autoptr(GMatchInfo) at = NULL;
    for (g_regex_match(disk, xml, 0, &at); g_match_info_matches(at); g_match_info_next(at, NULL)) {
        g_autofree char *element = g_match_info_fetch(at, 0);
        g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_autoptr(GMatchInfo) pair = NULL;
        for (g_regex_match(attribute, element, 0, &pair); g_match_info_matches(pair);
             g_match_info_next(pair, NULL))
            g_hash_table_insert(set, g_match_info_fetch(pair, 1), g_match_info_fetch(pair, 2));
        const char *size = g_hash_table_lookup(set, "size"), *sr = g_hash_table_lookup(set, "sr");
        const char *device = g_hash_table_lookup(set, "device");
        const char *type = g_hash_table_lookup(set, "type");
        if (size != NULL &&
            !disk_provision(call, vm_ref, device == NULL ? "0" : device, size, sr == NULL ? "" : sr,
                            type == NULL ? "user" : type, error))
            return false;
    }
    return true;
}

static json_t *vm_provision(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *vm = vm_op_begin(call, "provision", error);
    if (vm == NULL)
        return NULL;
    const char *disks = obj_map_get(vm, "other_config", "disks");
    g_autofree char *xml = g_strdup(disks == NULL ? "" : disks);
    bool ok = disks_provision(call, call_str(call, 0), xml, error);
    vm = obj_find(sim, "VM", call_str(call, 0));
    if (ok && vm != NULL) {
        obj_map_remove(vm, "other_config", "disks");
        obj_put_bool(vm, "is_a_template", false);
        obj_put_bool(vm, "is_default_template", false);
    }
    vm_op_end(call, call_str(call, 0));
    return ok ? call_void() : NULL;
}

const Method vm_methods[] = {
    { "VM.create", vm_create },
    { "VM.destroy", vm_destroy },
    { "VM.provision", vm_provision },
    { "VM.set_is_a_template", vm_set_is_a_template },
    { "VM.set_blocked_operations", vm_set_blocked_operations },
    { "VM.add_to_blocked_operations", vm_add_to_blocked_operations },
    { "VM.remove_from_blocked_operations", vm_remove_from_blocked_operations },
    { "VM.set_memory_limits", vm_set_memory_limits },
    { "VM.set_memory_dynamic_range", vm_set_memory_dynamic_range },
    { "VM.set_memory_static_range", vm_set_memory_static_range },
    { "VM.set_memory_static_min", vm_set_memory_limit },
    { "VM.set_memory_static_max", vm_set_memory_limit },
    { "VM.set_memory_dynamic_min", vm_set_memory_limit },
    { "VM.set_memory_dynamic_max", vm_set_memory_limit },
    { "VM.set_memory", vm_set_memory },
    { "VM.set_VCPUs_max", vm_set_VCPUs_max },
    { "VM.set_VCPUs_at_startup", vm_set_VCPUs_at_startup },
    { "VM.set_VCPUs_number_live", vm_set_VCPUs_number_live },
    { "VM.copy_bios_strings", vm_copy_bios_strings },
    { "VM.set_bios_strings", vm_set_bios_strings },
    { "VM.compute_memory_overhead", vm_compute_memory_overhead },
    { "VM.maximise_memory", vm_maximise_memory },
    { NULL, NULL },
};
