/* The VM of a restore: made from the stored record, its disks and interfaces attached, named and
 * tagged as XO does. */
#include "work/restore.h"

#include "base/error.h"

#include <string.h>
#include <time.h>

/* Fields of a VM record that VM.create takes. Sent as stored, or as the default when an old or
 * partial record lacks them. */
static const struct {
    const char *name, *otherwise; /* JSON */
} vm_fields[] = {
    { "name_description", "\"\"" },
    { "user_version", "1" },
    { "is_a_template", "false" },
    { "affinity", "\"OpaqueRef:NULL\"" },
    { "memory_static_max", "1073741824" },
    { "memory_dynamic_max", "1073741824" },
    { "memory_dynamic_min", "1073741824" },
    { "memory_static_min", "536870912" },
    { "VCPUs_params", "{}" },
    { "VCPUs_max", "1" },
    { "VCPUs_at_startup", "1" },
    { "actions_after_shutdown", "\"destroy\"" },
    { "actions_after_reboot", "\"restart\"" },
    { "actions_after_crash", "\"restart\"" },
    { "PV_bootloader", "\"\"" },
    { "PV_kernel", "\"\"" },
    { "PV_ramdisk", "\"\"" },
    { "PV_args", "\"\"" },
    { "PV_bootloader_args", "\"\"" },
    { "PV_legacy_args", "\"\"" },
    { "HVM_boot_policy", "\"BIOS order\"" },
    { "HVM_boot_params", "{}" },
    { "HVM_shadow_multiplier", "1.0" },
    { "platform", "{}" },
    { "PCI_bus", "\"\"" },
    { "recommendations", "\"\"" },
    { "xenstore_data", "{}" },
    { "ha_restart_priority", "\"\"" },
    { "hardware_platform_version", "0" },
    { "has_vendor_device", "false" },
    { "domain_type", "\"unspecified\"" },
    { "order", "0" },
    { "start_delay", "0" },
    { "shutdown_delay", "0" },
};

/* Restored disks are new: what only holds in the pool they came from is left out. */
static json_t *vm_record(const Restore *restore)
{
    json_t *from = json_object_get(restore->point, "vm"), *record = json_object();
    for (gsize i = 0; i < G_N_ELEMENTS(vm_fields); i++) {
        json_t *value = json_object_get(from, vm_fields[i].name);
        json_object_set_new(record, vm_fields[i].name,
                            value ? json_incref(value)
                                  : json_loads(vm_fields[i].otherwise, JSON_DECODE_ANY, NULL));
    }
    g_autofree char *name = g_strdup_printf("[Importing…] %s", json_text(from, "name_label"));
    json_object_set_new(record, "name_label", json_string(name));
    json_object_set_new(record, "affinity", json_string(NULL_REF));
    json_object_set_new(record, "is_a_template", json_false());
    json_object_set_new(record, "ha_always_run", json_false());
    json_t *tags = json_object_get(from, "tags");
    json_object_set_new(record, "tags", tags ? json_copy(tags) : json_array());
    json_t *config = config_with(from, NULL);
    json_object_set_new(config, OWNER_MARK, json_string(restore->mark));
    if (setting_bool(restore->settings, "newMacAddresses"))
        json_object_del(config, "mac_seed");
    json_object_set_new(record, "other_config", config);
    return record;
}

bool restore_create_vm(Restore *restore, GError **error)
{
    restore->vm_ref =
        xapi_call_string(restore->xapi, "VM.create", json_pack("[o]", vm_record(restore)), error);
    return restore->vm_ref &&
           xapi_do(restore->xapi, "VM.add_to_blocked_operations",
                   json_pack("[sss]", restore->vm_ref, "start", "the VM is being restored"), error);
}

static const RestoreDisk *disk_of(const Restore *restore, const char *key)
{
    for (guint i = 0; i < restore->disks->len; i++) {
        const RestoreDisk *disk = restore->disks->pdata[i];
        if (strcmp(disk->key, key) == 0)
            return disk;
    }
    return NULL;
}

static json_t *member(json_t *record, const char *name, json_t *otherwise)
{
    json_t *value = json_object_get(record, name);
    if (!value)
        return otherwise;
    json_decref(otherwise);
    return json_incref(value);
}

bool restore_create_vbds(Restore *restore, GError **error)
{
    const char *key;
    json_t *vbd;
    json_object_foreach (json_object_get(restore->point, "vbds"), key, vbd) {
        const RestoreDisk *disk = disk_of(restore, json_text(vbd, "VDI"));
        if (!disk)
            continue;
        json_t *record = json_pack(
            "{ss ss so so so ss sb so so so so}", "VM", restore->vm_ref, "VDI", disk->ref,
            "userdevice", member(vbd, "userdevice", json_string("autodetect")), "bootable",
            member(vbd, "bootable", json_false()), "mode", member(vbd, "mode", json_string("RW")),
            "type", "Disk", "empty", 0, "unpluggable", member(vbd, "unpluggable", json_true()),
            "other_config", member(vbd, "other_config", json_object()), "qos_algorithm_type",
            member(vbd, "qos_algorithm_type", json_string("")), "qos_algorithm_params",
            member(vbd, "qos_algorithm_params", json_object()));
        g_autofree char *ref =
            xapi_call_string(restore->xapi, "VBD.create", json_pack("[o]", record), error);
        if (!ref)
            return false;
    }
    return true;
}

/* --- Interfaces --- */

typedef struct {
    json_t *vif;
    char *best;
    unsigned score; /* 4 the same network, 3 VLAN and name, 2 VLAN, 1 any with a card */
} Match;

typedef struct {
    GHashTable *vlans; /* PIF reference → VLAN + 2 */
    GPtrArray *matches;
} Networks;

static void see_pif(const char *cls, const char *ref, json_t *record, void *user)
{
    gint64 vlan = json_integer_value(json_object_get(record, "VLAN"));
    g_hash_table_insert(((Networks *) user)->vlans, g_strdup(ref),
                        GINT_TO_POINTER((gint) vlan + 2));
    json_decref(record);
}

static unsigned score(Networks *networks, json_t *vif, json_t *network)
{
    const char *uuid = json_text(vif, "$network$uuid");
    if (*uuid && strcmp(uuid, json_text(network, "uuid")) == 0)
        return 4;
    json_t *pif = json_array_get(json_object_get(network, "PIFs"), 0);
    gint vlan = pif ? GPOINTER_TO_INT(g_hash_table_lookup(networks->vlans, json_string_value(pif)))
                    : 0;
    json_t *wanted = json_object_get(vif, "$network$VLAN");
    if (!vlan)
        return 0;
    if (!json_is_integer(wanted) || json_integer_value(wanted) != vlan - 2)
        return 1;
    return strcmp(json_text(vif, "$network$name_label"), json_text(network, "name_label")) == 0 ? 3
                                                                                                : 2;
}

static void see_network(const char *cls, const char *ref, json_t *record, void *user)
{
    Networks *networks = user;
    for (guint i = 0; i < networks->matches->len; i++) {
        Match *match = networks->matches->pdata[i];
        unsigned now = score(networks, match->vif, record);
        if (now <= match->score)
            continue;
        g_free(match->best);
        match->best = g_strdup(ref);
        match->score = now;
    }
    json_decref(record);
}

static bool create_vif(Restore *restore, const Match *match, GError **error)
{
    json_t *vif = match->vif;
    bool fresh = setting_bool(restore->settings, "newMacAddresses");
    json_t *record =
        json_pack("{ss ss so ss so so so so so so so}", "VM", restore->vm_ref, "network",
                  match->best, "device", member(vif, "device", json_string("0")), "MAC",
                  fresh ? "" : json_text(vif, "MAC"), "MTU", member(vif, "MTU", json_integer(1500)),
                  "other_config", member(vif, "other_config", json_object()), "locking_mode",
                  member(vif, "locking_mode", json_string("network_default")), "ipv4_allowed",
                  member(vif, "ipv4_allowed", json_array()), "ipv6_allowed",
                  member(vif, "ipv6_allowed", json_array()), "qos_algorithm_type",
                  member(vif, "qos_algorithm_type", json_string("")), "qos_algorithm_params",
                  member(vif, "qos_algorithm_params", json_object()));
    /* Old records have it as text. */
    json_t *mtu = json_object_get(record, "MTU");
    if (json_is_string(mtu))
        json_object_set_new(record, "MTU",
                            json_integer(g_ascii_strtoll(json_string_value(mtu), NULL, 10)));
    g_autofree char *ref =
        xapi_call_string(restore->xapi, "VIF.create", json_pack("[o]", record), error);
    return ref;
}

static void match_free(gpointer data)
{
    g_free(((Match *) data)->best);
    g_free(data);
}

bool restore_create_vifs(Restore *restore, GError **error)
{
    Networks networks = { g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                          g_ptr_array_new_with_free_func(match_free) };
    const char *key;
    json_t *vif;
    json_object_foreach (json_object_get(restore->point, "vifs"), key, vif) {
        Match *match = g_new0(Match, 1);
        match->vif = vif;
        g_ptr_array_add(networks.matches, match);
    }
    bool ok = networks.matches->len == 0 ||
              (xapi_all_records(restore->xapi, "PIF", see_pif, &networks, error) &&
               xapi_all_records(restore->xapi, "network", see_network, &networks, error));
    for (guint i = 0; ok && i < networks.matches->len; i++) {
        Match *match = networks.matches->pdata[i];
        if (match->best)
            ok = create_vif(restore, match, error);
        else
            task_warning(
                restore->transfer, "no network for an interface of the VM",
                json_pack("{ss}", "network", json_text(match->vif, "$network$name_label")));
    }
    g_hash_table_unref(networks.vlans);
    g_ptr_array_unref(networks.matches);
    return ok;
}

/* --- The end --- */

static bool set_text(Restore *restore, const char *method, const char *ref, const char *text,
                     GError **error)
{
    return xapi_do(restore->xapi, method, json_pack("[ss]", ref, text), error);
}

static bool name_vm(Restore *restore, GError **error)
{
    json_t *vm = json_object_get(restore->point, "vm");
    const char *from = restore->source->name, *old = json_text(vm, "name_description");
    gint64 time_ms = json_integer_value(json_object_get(restore->point, "timestamp"));
    g_autofree char *date = catalog_date(time_ms);
    g_autofree char *now = catalog_date(g_get_real_time() / 1000);
    g_autofree char *name = g_strdup_printf("%s (%s)", json_text(vm, "name_label"), date);
    g_autofree char *description = g_strdup_printf("Restored on %s%s%s%s%s", now,
                                                   from && *from ? " from " : "", from ? from : "",
                                                   *old ? " - " : "", old);
    const char *tag = json_string_value(json_object_get(restore->settings, "additionalVmTag"));
    return set_text(restore, "VM.set_name_description", restore->vm_ref, description, error) &&
           set_text(restore, "VM.add_tags", restore->vm_ref, "restored from backup", error) &&
           (!tag || set_text(restore, "VM.add_tags", restore->vm_ref, tag, error)) &&
           set_text(restore, "VM.set_name_label", restore->vm_ref, name, error);
}

static bool unmark_disks(Restore *restore, GError **error)
{
    for (guint i = 0; i < restore->disks->len; i++) {
        RestoreDisk *disk = restore->disks->pdata[i];
        if (!set_text(restore, "VDI.set_name_label", disk->ref,
                      json_text(disk->record, "name_label"), error) ||
            !set_text(restore, "VDI.remove_from_other_config", disk->ref, OWNER_MARK, error))
            return false;
    }
    return true;
}

/* The stored reasons again; "start" stays allowed unless it was blocked then. */
static bool block_again(Restore *restore, GError **error)
{
    const char *operation;
    json_t *reason;
    if (!set_text(restore, "VM.remove_from_blocked_operations", restore->vm_ref, "start", error))
        return false;
    json_t *blocked = json_object_get(json_object_get(restore->point, "vm"), "blocked_operations");
    json_object_foreach (blocked, operation, reason) {
        if (!xapi_do(restore->xapi, "VM.add_to_blocked_operations",
                     json_pack("[sss]", restore->vm_ref, operation,
                               json_is_string(reason) ? json_string_value(reason) : ""),
                     error))
            return false;
    }
    return true;
}

char *restore_finish_vm(Restore *restore, GError **error)
{
    char *uuid =
        xapi_call_string(restore->xapi, "VM.get_uuid", json_pack("[s]", restore->vm_ref), error);
    /* An archive brings its own blocked operations. */
    if (uuid && name_vm(restore, error) && (restore->full || block_again(restore, error)) &&
        unmark_disks(restore, error) &&
        set_text(restore, "VM.remove_from_other_config", restore->vm_ref, OWNER_MARK, error))
        return uuid;
    g_free(uuid);
    return NULL;
}
