/* Templates and virtual machines of the simulated pool. */
#include "sim/population.h"

#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"

#include <string.h>

static const char restrictions[] =
    "<restrictions><restriction field=\\\"memory-static-max\\\" max=\\\"1649267441664\\\"/>"
    "<restriction field=\\\"vcpus-max\\\" max=\\\"32\\\"/>"
    "<restriction property=\\\"number-of-vbds\\\" max=\\\"255\\\"/>"
    "<restriction property=\\\"number-of-vifs\\\" max=\\\"7\\\"/>"
    "<restriction field=\\\"supports-uefi\\\" value=\\\"yes\\\"/></restrictions>";

static const char vm_facts[] =
    "{\"user_version\": 1, \"memory_overhead\": 20971520, \"memory_static_max\": 2147483648,"
    "\"memory_dynamic_max\": 2147483648, \"memory_dynamic_min\": 2147483648,"
    "\"memory_static_min\": 536870912, \"memory_target\": 2147483648, \"VCPUs_max\": 2,"
    "\"VCPUs_at_startup\": 2, \"actions_after_shutdown\": \"destroy\","
    "\"actions_after_reboot\": \"restart\", \"actions_after_crash\": \"restart\","
    "\"HVM_boot_policy\": \"BIOS order\", \"HVM_boot_params\": {\"order\": \"cdn\","
    "\"firmware\": \"bios\"}, \"HVM_shadow_multiplier\": 1, \"domid\": -1,"
    "\"domain_type\": \"hvm\", \"platform\": {\"acpi\": \"1\", \"apic\": \"true\","
    "\"pae\": \"true\", \"nx\": \"true\", \"viridian\": \"false\", \"vga\": \"std\","
    "\"videoram\": \"8\", \"device-model\": \"qemu-upstream-compat\","
    "\"cores-per-socket\": \"1\", \"secureboot\": \"false\", \"timeoffset\": \"0\"}}";

Obj *population_vm(Sim *sim, const char *name_label)
{
    Obj *vm = obj_new(sim, "VM"), *metrics = obj_new(sim, "VM_metrics");
    obj_put_str(vm, "name_label", name_label);
    obj_put_ref(vm, "metrics", metrics);
    obj_put_int(metrics, "install_time", sim_now(sim));
    obj_put_int(metrics, "last_updated", sim_now(sim));
    obj_put_str(metrics, "current_domain_type", "unspecified");
    return vm;
}

static void template_add(Sim *sim, const char *name, const char *reference, bool linux_)
{
    Obj *vm = population_vm(sim, name);
    g_autofree char *more = g_strdup_printf("{\"recommendations\": \"%s\"}", restrictions);
    population_fill(vm, vm_facts);
    population_fill(vm, more);
    obj_put_bool(vm, "is_a_template", true);
    obj_put_bool(vm, "is_default_template", true);
    obj_put_str(vm, "reference_label", reference);
    obj_map_put(vm, "other_config", "default_template", "true");
    obj_map_put(vm, "other_config", "install-methods", "cdrom,nfs,http,ftp");
    if (linux_) {
        obj_map_put(vm, "other_config", "linux_template", "true");
        obj_map_put(vm, "other_config", "disks",
                    "<provision><disk device=\"0\" size=\"10737418240\" sr=\"\" bootable=\"true\" "
                    "type=\"system\"/></provision>");
    }
    vm_refresh(vm);
}

void population_templates(Sim *sim)
{
    template_add(sim, "Other install media", "other-install-media", false);
    template_add(sim, "Debian Bookworm 12", "debian-12", true);
    template_add(sim, "Ubuntu Jammy Jellyfish 22.04", "ubuntu-22.04", true);
    template_add(sim, "Rocky Linux 9", "rockylinux-9", true);
    template_add(sim, "Windows Server 2022 (64-bit)", "windows-server-2022-64bit", false);
    template_add(sim, "Windows 11 (64-bit)", "windows-11-64bit", false);
}

/* What all VMs have in common, shared by them from the first one. */
static void vm_like(Obj *vm, const Obj *first)
{
    static const char *const fields[] = {
        "user_version",          "memory_overhead",
        "memory_static_max",     "memory_dynamic_max",
        "memory_dynamic_min",    "memory_static_min",
        "memory_target",         "VCPUs_max",
        "VCPUs_at_startup",      "actions_after_shutdown",
        "actions_after_reboot",  "actions_after_crash",
        "HVM_boot_policy",       "HVM_boot_params",
        "HVM_shadow_multiplier", "domid",
        "domain_type",           "platform",
        "bios_strings",
    };
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
        obj_copy_field(vm, first, fields[i]);
}

static void vbd_add(Sim *sim, Obj *vm, Obj *vdi, guint position)
{
    g_autofree char *device = g_strdup_printf("%u", position);
    Obj *vbd = obj_new(sim, "VBD");
    obj_put_ref(vbd, "VM", vm);
    obj_put_str(vbd, "userdevice", device);
    if (vdi == NULL) {
        obj_put_str(vbd, "type", "CD");
        obj_put_str(vbd, "mode", "RO");
        obj_put_bool(vbd, "empty", true);
    } else {
        obj_put_ref(vbd, "VDI", vdi);
        obj_put_str(vbd, "type", "Disk");
        obj_put_str(vbd, "mode", "RW");
        obj_put_bool(vbd, "bootable", position == 0);
        obj_put_bool(vbd, "unpluggable", true);
        obj_map_put(vbd, "other_config", "owner", "");
    }
    guest_refresh_device(vbd);
}

static void vif_add(Sim *sim, Obj *vm, Obj *network)
{
    Obj *vif = obj_new(sim, "VIF");
    const char *uuid = obj_uuid(vif);
    g_autofree char *mac = g_strdup_printf("02:%.2s:%.2s:%.2s:%.2s:%.2s", uuid, uuid + 2, uuid + 4,
                                           uuid + 6, uuid + 9);
    obj_put_ref(vif, "VM", vm);
    obj_put_ref(vif, "network", network);
    obj_put_str(vif, "device", "0");
    obj_put_str(vif, "MAC", mac);
    obj_put_int(vif, "MTU", 1500);
    obj_put_bool(vif, "MAC_autogenerated", true);
    guest_refresh_device(vif);
}

/* Position 3 stays the CD drive's, as XAPI's tools have it. */
static void disks_add(Sim *sim, Obj *vm, Obj *sr, guint number)
{
    const SimOptions *options = sim_options(sim);
    for (guint i = 0; i < options->n_disks; i++) {
        guint position = i < 3 ? i : i + 1;
        g_autofree char *name = g_strdup_printf("%s disk %u", obj_str(vm, "name_label"), i);
        StorageSeed seed = { .name_label = name,
                             .name_description = "Created by cadenza-sim",
                             .type = i == 0 ? "system" : "user",
                             .virtual_size = options->disk_bytes,
                             .allocated = options->allocated,
                             .number = (guint64) number * 16 + i };
        vbd_add(sim, vm, storage_seed_vdi(sim, sr, &seed), position);
    }
    vbd_add(sim, vm, NULL, 3);
}

/* Every third VM lives on the local storage of its host, the others on the shared one. */
static Obj *home_of(Sim *sim, guint number, Obj **host)
{
    *host = sim_host(sim, number % sim_options(sim)->n_hosts);
    return number % 3 == 2 ? obj_follow(*host, "suspend_image_sr")
                           : obj_follow(sim_pool(sim), "default_SR");
}

static void vm_add(Sim *sim, guint number, const Obj *first)
{
    Obj *host, *sr = home_of(sim, number, &host);
    g_autofree char *name = g_strdup_printf("vm-%04u", number + 1);
    g_autofree char *seed = sim_new_uuid(sim);
    Obj *network = obj_next(obj_first(sim, "network"));
    Obj *vm = population_vm(sim, name);
    vm_like(vm, first);
    obj_map_put(vm, "other_config", "mac_seed", seed);
    obj_map_put(vm, "other_config", "base_template_name", "Debian Bookworm 12");
    disks_add(sim, vm, sr, number);
    vif_add(sim, vm, network);
    if (number < sim_options(sim)->n_running)
        guest_was_booted(vm, host);
    else
        vm_refresh(vm);
}

void population_vms(Sim *sim)
{
    const SimOptions *options = sim_options(sim);
    const Obj *first = obj_find(sim, "VM", NULL);
    for (Obj *vm = obj_first(sim, "VM"); vm != NULL && first == NULL; vm = obj_next(vm))
        if (obj_bool(vm, "is_default_template"))
            first = vm;
    for (guint i = 0; i < options->n_vms; i++)
        vm_add(sim, i, first);
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host)) {
        Obj *metrics = obj_follow(host, "metrics");
        gint64 used = obj_int(host, "memory_overhead");
        for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++)
            used += obj_int(obj_follow_nth(host, "resident_VMs", i), "memory_dynamic_max");
        obj_put_int(metrics, "memory_free", obj_int(metrics, "memory_total") - used);
    }
}
