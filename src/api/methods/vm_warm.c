/* vm.warmMigration: a machine moves to another storage or pool while it runs, but for the last
 * moments: its disks are copied from a snapshot, then it is shut down, and what it wrote meanwhile
 * follows. Whatever fails before the end, the machine is where it was, and runs if it ran. */
#include "api/conduit.h"
#include "api/method.h"
#include "api/methods/vm_birth.h"
#include "api/methods/vm_devices.h"
#include "api/methods/vm_parts.h"
#include "api/methods/vm_power.h"
#include "base/json_text.h"
#include "base/log.h"

#include <string.h>

#define NULL_REF "OpaqueRef:NULL"

typedef struct {
    char *vbd;            /* reference here */
    char *source, *first; /* references: the disk, and its first snapshot */
    char *copy;           /* reference there */
} WarmDisk;

typedef struct {
    ApiCall *call;
    const ApiObject *vm, *sr;
    Xapi *here, *there;
    char *snapshot; /* reference */
    char *made;     /* the machine there */
    GArray *disks;  /* WarmDisk */
    VmBirth birth;
    bool stopped;
} Warm;

static void disk_clear(void *data)
{
    WarmDisk *disk = data;
    g_free(disk->vbd);
    g_free(disk->source);
    g_free(disk->first);
    g_free(disk->copy);
}

static void warm_clear(Warm *warm)
{
    g_free(warm->snapshot);
    g_free(warm->made);
    g_array_unref(warm->disks);
    vm_birth_clear(&warm->birth);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Warm, warm_clear)

static WarmDisk *disk_at(const Warm *warm, guint i)
{
    return &g_array_index(warm->disks, WarmDisk, i);
}

/* --- Its disks --- */

static bool is_disk(json_t *vbd)
{
    return g_str_equal(json_text(vbd, "type"), "Disk") && *json_text(vbd, "VDI") &&
           !g_str_equal(json_text(vbd, "VDI"), NULL_REF);
}

/* Disks of the machine with their snapshots: both have the same position. */
static bool list_disks(Warm *warm, GError **error)
{
    json_t *now = vm_block_devices(warm->here, warm->vm->ref, error), *vbd;
    json_t *then = now ? vm_block_devices(warm->here, warm->snapshot, error) : NULL;
    size_t i;
    bool ok = then != NULL;
    json_array_foreach (now, i, vbd) {
        json_t *frozen = ok && is_disk(vbd) ? vbd_at(then, json_text(vbd, "userdevice")) : NULL;
        WarmDisk disk = { g_strdup(json_text(vbd, "ref")), g_strdup(json_text(vbd, "VDI")),
                          g_strdup(json_text(frozen, "VDI")), NULL };
        if (frozen)
            g_array_append_val(warm->disks, disk);
        else
            disk_clear(&disk);
    }
    json_decref(now);
    json_decref(then);
    return ok;
}

static bool make_copy(const Warm *warm, WarmDisk *disk, GError **error)
{
    json_t *record = xapi_call(warm->here, "VDI.get_record", json_pack("[s]", disk->source), error);
    json_t *size = json_object_get(record, "virtual_size");
    NewDisk wanted = { .name_label = json_text(record, "name_label"),
                       .name_description = json_text(record, "name_description"),
                       .sr = warm->sr->ref,
                       .birth_id = warm->birth.id,
                       .size_bytes = json_is_string(size)
                                         ? g_ascii_strtoll(json_string_value(size), NULL, 10)
                                         : (gint64) json_number_value(size) };
    disk->copy = record ? disk_create(warm->there, &wanted, error) : NULL;
    json_decref(record);
    return disk->copy != NULL;
}

/* --- Their content --- */

typedef struct {
    Xapi *xapi;
    const char *vdi, *base; /* references; base NULL: everything */
} Reading;

static bool feed(Conduit *conduit, void *user, GError **error)
{
    const Reading *reading = user;
    return xapi_export_vdi(reading->xapi, reading->vdi, reading->base, "vhd", conduit_write,
                           conduit, NULL, error);
}

static bool pour(const Warm *warm, const Reading *reading, const char *copy, GError **error)
{
    g_autoptr(Conduit) conduit = conduit_new(feed, (void *) reading, error);
    return conduit &&
           xapi_import_vdi(warm->there, copy, "vhd", conduit_read, -1, conduit, NULL, error);
}

static bool copy_disks(Warm *warm, GError **error)
{
    for (guint i = 0; i < warm->disks->len; i++) {
        WarmDisk *disk = disk_at(warm, i);
        if (!make_copy(warm, disk, error) ||
            !pour(warm, &(Reading){ warm->here, disk->first, NULL }, disk->copy, error))
            return false;
    }
    return true;
}

/* The machine is off: nobody writes any more. */
static bool copy_rest(const Warm *warm, GError **error)
{
    for (guint i = 0; i < warm->disks->len; i++) {
        const WarmDisk *disk = disk_at(warm, i);
        if (!pour(warm, &(Reading){ warm->here, disk->source, disk->first }, disk->copy, error))
            return false;
    }
    return true;
}

/* --- The machine there --- */

/* What VM.create takes of a record, and what a machine in another pool keeps of it. */
static const char *const kept[] = {
    "name_description",
    "user_version",
    "memory_static_max",
    "memory_dynamic_max",
    "memory_dynamic_min",
    "memory_static_min",
    "VCPUs_params",
    "VCPUs_max",
    "VCPUs_at_startup",
    "actions_after_crash",
    "actions_after_reboot",
    "actions_after_shutdown",
    "PV_bootloader",
    "PV_kernel",
    "PV_ramdisk",
    "PV_args",
    "PV_bootloader_args",
    "PV_legacy_args",
    "HVM_boot_policy",
    "HVM_boot_params",
    "HVM_shadow_multiplier",
    "platform",
    "PCI_bus",
    "other_config",
    "recommendations",
    "xenstore_data",
    "hardware_platform_version",
    "has_vendor_device",
    "domain_type",
    "tags",
};

static json_t *record_there(const Warm *warm, json_t *from)
{
    json_t *record = json_pack("{s:s, s:b, s:s}", "name_label", warm->birth.name, "is_a_template",
                               0, "affinity", NULL_REF);
    for (guint i = 0; i < G_N_ELEMENTS(kept); i++)
        if (json_object_get(from, kept[i]))
            json_object_set(record, kept[i], json_object_get(from, kept[i]));
    return record;
}

/* The network of the same name, else that of the management. */
static char *network_there(const Warm *warm, json_t *vif, GError **error)
{
    g_autofree char *name = xapi_call_string(warm->here, "network.get_name_label",
                                             json_pack("[s]", json_text(vif, "network")), error);
    json_t *named =
        name ? xapi_call(warm->there, "network.get_by_name_label", json_pack("[s]", name), error)
             : NULL;
    const char *first = json_string_value(json_array_get(named, 0));
    char *ref = !named ? NULL : first ? g_strdup(first) : management_network(warm->there, error);
    json_decref(named);
    return ref;
}

static bool make_vif(const Warm *warm, json_t *ref, GError **error)
{
    json_t *vif = xapi_call(warm->here, "VIF.get_record", json_pack("[O]", ref), error);
    g_autofree char *network = vif ? network_there(warm, vif, error) : NULL;
    bool ok = false;
    if (network) {
        json_object_set_new(vif, "network", json_string(network));
        json_object_set_new(vif, "VM", json_string(warm->made));
        json_object_set_new(vif, "currently_attached", json_false());
        ok = xapi_do(warm->there, "VIF.create", json_pack("[O]", vif), error);
    }
    json_decref(vif);
    return ok;
}

static bool make_vbds(const Warm *warm, GError **error)
{
    bool ok = true;
    for (guint i = 0; ok && i < warm->disks->len; i++) {
        const WarmDisk *disk = disk_at(warm, i);
        json_t *vbd = xapi_call(warm->here, "VBD.get_record", json_pack("[s]", disk->vbd), error);
        NewVbd wanted = { .vm = warm->made,
                          .vdi = disk->copy,
                          .position = json_text(vbd, "userdevice"),
                          .mode = json_text(vbd, "mode"),
                          .bootable = json_is_true(json_object_get(vbd, "bootable")) };
        ok = vbd && vbd_create(warm->there, &wanted, error) &&
             disk_settle(warm->there, disk->copy, error);
        json_decref(vbd);
    }
    return ok;
}

static bool make_machine(Warm *warm, GError **error)
{
    json_t *from = xapi_call(warm->here, "VM.get_record", json_pack("[s]", warm->vm->ref), error);
    if (!from)
        return false;
    warm->made = xapi_call_string(warm->there, "VM.create",
                                  json_pack("[o]", record_there(warm, from)), error);
    bool ok = warm->made && make_vbds(warm, error);
    size_t i;
    json_t *vif;
    json_array_foreach (json_object_get(from, "VIFs"), i, vif)
        ok = ok && make_vif(warm, vif, error);
    json_decref(from);
    return ok;
}

/* --- The whole --- */

static bool begin(Warm *warm, GError **error)
{
    g_autofree char *name =
        g_strdup_printf("[Warm migration] %s", api_object_text(warm->vm, "name_label"));
    warm->snapshot = xapi_call_task(warm->here, "VM.snapshot",
                                    json_pack("[s, s]", warm->vm->ref, name), NULL, NULL, NULL,
                                    error);
    return warm->snapshot &&
           vm_birth_begin(&warm->birth, call_parts(warm->call)->duties,
                          api_object_text(warm->sr, "$pool"),
                          api_object_text(warm->vm, "name_label"), error) &&
           list_disks(warm, error);
}

static bool stop(Warm *warm, GError **error)
{
    g_autofree char *state =
        xapi_call_string(warm->here, "VM.get_power_state", json_pack("[s]", warm->vm->ref), error);
    if (!state || g_str_equal(state, "Halted"))
        return state != NULL;
    warm->stopped = vm_power_off(warm->vm, &(PowerOff){ .hard = false }, error);
    return warm->stopped;
}

static bool move(Warm *warm, GError **error)
{
    const char *name = api_object_text(warm->vm, "name_label");
    return begin(warm, error) && copy_disks(warm, error) && make_machine(warm, error) &&
           stop(warm, error) && copy_rest(warm, error) &&
           xapi_do(warm->there, "VM.set_name_label", json_pack("[s, s]", warm->made, name), error);
}

/* The one that stays here shall not run beside the one over there. */
static bool end_here(const Warm *warm, GError **error)
{
    static const char *const operations[] = { "start", "start_on" };
    if (call_bool(warm->call, "deleteSourceVm"))
        return vm_erase(warm->here, warm->vm->ref, true, error);
    for (guint i = 0; i < G_N_ELEMENTS(operations); i++)
        if (!xapi_do(warm->here, "VM.add_to_blocked_operations",
                     json_pack("[s, s, s]", warm->vm->ref, operations[i],
                               "the VM was moved by a warm migration"),
                     error))
            return false;
    return true;
}

static void take_back(Warm *warm)
{
    for (guint i = 0; i < warm->disks->len; i++) {
        const WarmDisk *disk = disk_at(warm, i);
        if (disk->copy && !warm->made)
            disk_drop(warm->there, disk->copy, NULL);
    }
    if (warm->birth.id)
        vm_birth_undo(&warm->birth, warm->there, warm->made);
    g_autoptr(GError) error = NULL;
    if (warm->stopped && !vm_power_on(warm->vm, NULL, false, &error))
        log_warning("api", "VM %s stays off after its warm migration failed: %s", warm->vm->id,
                    error->message);
}

static bool run(Warm *warm, GError **error)
{
    bool ok = move(warm, error);
    if (ok)
        vm_birth_done(&warm->birth);
    else
        take_back(warm);
    if (warm->snapshot)
        vm_unmake(warm->here, warm->snapshot);
    if (!ok)
        return false;
    if (call_bool(warm->call, "startDestinationVm") &&
        !xapi_do(warm->there, "VM.start", json_pack("[s, b, b]", warm->made, 0, 0), error))
        return false;
    return end_here(warm, error);
}

static json_t *warm_migration(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm"), *sr = call_object(call, "sr");
    g_auto(Warm) warm = { .call = call, .vm = vm, .sr = sr };
    warm.here = api_object_xapi(vm);
    warm.there = api_object_xapi(sr);
    warm.disks = g_array_new(FALSE, TRUE, sizeof(WarmDisk));
    g_array_set_clear_func(warm.disks, disk_clear);
    run(&warm, error);
    api_object_barrier(vm);
    api_object_barrier(sr);
    return NULL;
}

const Method methods_vm_warm[] = {
    { "vm.warmMigration", warm_migration,
      PARAMS(REQ(ID("vm", "VM", "administrate")), REQ(ID("sr", "SR", "administrate")),
             REQ(BOOL("startDestinationVm")), REQ(BOOL("deleteSourceVm"))),
      .long_running = true,
      .example = "vm=$SPARE_VM sr=$SR startDestinationVm=false deleteSourceVm=true",
      .summary = "Move a virtual machine that runs until the last moment to another storage or "
                 "pool." },
    { NULL },
};
