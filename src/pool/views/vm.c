/* VM, VM-template, VM-snapshot, VM-controller. */
#include "pool/views/vm.h"

#include "base/json_write.h"
#include "base/mutant.h"
#include "pool/views/tables.h"

#include <math.h>
#include <string.h>

static bool is_set(Value ref)
{
    return value_kind(ref) == VALUE_TEXT && !value_is(ref, "") && !value_is(ref, "OpaqueRef:NULL");
}

const char *vm_type(const Record *record)
{
    if (value_bool(record_value(record, "is_control_domain")))
        return "VM-controller";
    if (value_bool(record_value(record, "is_a_snapshot")) ||
        is_set(record_value(record, "snapshot_of")))
        return "VM-snapshot";
    return value_bool(record_value(record, "is_a_template")) ? "VM-template" : "VM";
}

static bool is_a(View *view, const char *type)
{
    return strcmp(view_type(view), type) == 0;
}

bool vm_is_running(View *view)
{
    Value state = view_value(view, "power_state");
    return value_is(state, "Running") || value_is(state, "Paused");
}

static Record *metrics_of(View *view)
{
    Value ref = view_value(view, "metrics");
    if (MUTANT(view_metrics_not_followed)) /* mutant: pool_inventory */
        return view_peek(view, ref);
    return view_follow(view, ref);
}

/* --- processors --- */

static void cpus(View *view, const ViewField *field)
{
    gint64 number = value_int(view_value(view, "VCPUs_at_startup"), 0);
    Record *metrics = vm_is_running(view) && vm_guest_metrics(view) ? metrics_of(view) : NULL;
    if (metrics && !is_a(view, "VM-template"))
        number = value_int(record_value(metrics, "VCPUs_number"), number);
    g_string_append_printf(view_begin(view, field->name),
                           "{\"max\":%" G_GINT64_FORMAT ",\"number\":%" G_GINT64_FORMAT "}",
                           value_int(view_value(view, "VCPUs_max"), 0), number);
}

/* "0,1,2" as numbers. */
static void cpu_mask(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    const char *text = value_text(view_value(view, field->source), scratch);
    if (!*text)
        return;
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    GString *out = view_begin(view, field->name);
    for (guint i = 0; parts[i]; i++)
        g_string_append_printf(out, "%c%d", i ? ',' : '[', atoi(parts[i]));
    g_string_append_c(out, ']');
}

/* "0/0000:00:02.0,0/…": the part after the slash. */
static void attached_pcis(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    Value pci = view_value(view, field->source);
    if (!pci.at)
        return;
    g_auto(GStrv) parts = g_strsplit(value_text(pci, scratch), ",", -1);
    GString *out = view_begin(view, field->name);
    g_string_append_c(out, '[');
    for (guint i = 0; parts[i]; i++) {
        const char *slash = strchr(parts[i], '/');
        if (i)
            g_string_append_c(out, ',');
        json_write_string(out, slash ? slash + 1 : "", slash ? strlen(slash + 1) : 0);
    }
    g_string_append_c(out, ']');
}

/* From platform 3.4 on the setting has another name. */
static bool has_nested_virt_key(View *view)
{
    char scratch[VALUE_SCRATCH];
    int major = 0, minor = 0;
    Record *master = view_peek(view, record_value(view_world(view)->pool, "master"));
    Value version = value_member(record_value(master, "software_version"), "platform_version");
    sscanf(value_text(version, scratch), "%d.%d", &major, &minor);
    return major > 3 || (major == 3 && minor >= 4);
}

static void nested_virt(View *view, const ViewField *field)
{
    const char *key = has_nested_virt_key(view) ? "platform/nested-virt"
                                                : "platform/exp-nested-hvm";
    view_put_bool(view, field->name, value_bool(view_value(view, key)));
}

/* --- memory --- */

static void write_range(GString *out, const char *name, View *view, const char *min,
                        const char *max)
{
    g_string_append_printf(out, "\"%s\":[%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT "],", name,
                           value_int(view_value(view, min), 0),
                           value_int(view_value(view, max), 0));
}

static void memory(View *view, const ViewField *field)
{
    gint64 size = value_int(view_value(view, "memory_dynamic_max"), 0);
    Record *metrics = metrics_of(view), *guest = vm_guest_metrics(view);
    Value reported = record_value(guest, "memory");
    Value total = value_member(reported, "total"), used = value_member(reported, "used");
    GString *out = view_begin(view, field->name);
    g_string_append_c(out, '{');
    write_range(out, "dynamic", view, "memory_dynamic_min", "memory_dynamic_max");
    write_range(out, "static", view, "memory_static_min", "memory_static_max");
    if (vm_is_running(view) && total.at) {
        size = value_int(total, size);
        if (used.at)
            g_string_append_printf(out, "\"usage\":%" G_GINT64_FORMAT ",", value_int(used, 0));
    } else if (vm_is_running(view) && metrics) {
        size = value_int(record_value(metrics, "memory_actual"), size);
    }
    g_string_append_printf(out, "\"size\":%" G_GINT64_FORMAT "}", size);
}

/* --- links --- */

/* Only tasks that are known; their keys become ids. */
static void current_operations(View *view, const ViewField *field)
{
    ValueIter iter = value_iter(view_value(view, field->source));
    GString *out = view_begin(view, field->name);
    char before = '{';
    while (value_next(&iter)) {
        Record *task = view_peek(view, iter.key);
        if (!task)
            continue;
        g_string_append_c(out, before);
        view_write_id(view, out, task);
        g_string_append_c(out, ':');
        value_write(iter.value, out);
        before = ',';
    }
    g_string_append(out, before == '{' ? "{}" : "}");
}

/* The host of a storage that only that host reaches; NULL when the disk is on no such storage. */
static Record *host_of_disk(View *view, Record *vbd)
{
    if (!vbd || value_is(record_value(vbd, "type"), "CD"))
        return NULL;
    Record *vdi = view_peek(view, record_value(vbd, "VDI"));
    Record *sr = vdi ? view_peek(view, record_value(vdi, "SR")) : NULL;
    if (!sr || value_bool(record_value(sr, "shared")))
        return NULL;
    ValueIter pbds = value_iter(record_value(sr, "PBDs"));
    Record *pbd = value_next(&pbds) ? view_peek(view, pbds.value) : NULL;
    return pbd ? view_peek(view, record_value(pbd, "host")) : NULL;
}

/* Where the VM is, or could only be; else the pool. */
static void container(View *view, const ViewField *field)
{
    Value resident = view_value(view, "resident_on");
    Record *host = is_set(resident) ? view_peek(view, resident) : NULL;
    ValueIter iter = value_iter(view_value(view, "VBDs"));
    while (!host && value_next(&iter))
        host = host_of_disk(view, view_follow(view, iter.value));
    if (host)
        view_put_id(view, field->name, host);
    else
        view_put_text(view, field->name, view_world(view)->pool_id);
}

/* --- times --- */

static void metrics_date(View *view, const ViewField *field)
{
    Record *metrics = metrics_of(view);
    if (metrics)
        view_put_date(view, field->name, record_value(metrics, field->source));
}

static void snapshot_time(View *view, const ViewField *field)
{
    if (is_a(view, "VM-snapshot"))
        view_date(view, field);
}

static void snapshot_link(View *view, const ViewField *field)
{
    if (is_a(view, "VM-snapshot"))
        view_weak_link(view, field);
}

/* --- virtualisation --- */

static const char *domain_type(View *view, char scratch[VALUE_SCRATCH])
{
    const char *type = value_text(view_value(view, "domain_type"), scratch);
    if (*type && strcmp(type, "unspecified") != 0)
        return type;
    return value_is(view_value(view, "HVM_boot_policy"), "") ? "pv" : "hvm";
}

static bool is_hvm(View *view)
{
    char scratch[VALUE_SCRATCH];
    return strcmp(domain_type(view, scratch), "hvm") == 0;
}

static void virtualization_mode(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    view_put_text(view, field->name, domain_type(view, scratch));
}

static void vga(View *view, const ViewField *field)
{
    Value value = view_value(view, field->source);
    if (!is_hvm(view))
        return;
    if (value.at && !value_is(value, ""))
        view_put_value(view, field->name, value);
    else
        view_put_text(view, field->name, "cirrus");
}

static void videoram(View *view, const ViewField *field)
{
    if (is_hvm(view))
        view_put_int(view, field->name, value_int(view_value(view, field->source), 4));
}

static void pv_args(View *view, const ViewField *field)
{
    if (!is_hvm(view))
        view_copy(view, field);
}

static void is_default_template(View *view, const ViewField *field)
{
    if (is_a(view, "VM-template"))
        view_put_bool(view, field->name,
                      value_bool(view_value(view, "is_default_template")) ||
                          value_bool(view_value(view, "other_config/default_template")));
}

/* What clients ask for most comes first: it is cut out of the text soonest. */
const ViewField view_vm[] = {
    { "name_label", view_copy, "name_label" },
    { "power_state", view_copy, "power_state" },
    { "addresses", vm_addresses, NULL },
    { "affinityHost", view_weak_link, "affinity" },
    { "attachedPcis", attached_pcis, "other_config/pci" },
    { "auto_poweron", view_bool, "other_config/auto_poweron" },
    { "bios_strings", view_copy, "bios_strings" },
    { "blockedOperations", view_copy, "blocked_operations" },
    { "boot", view_copy, "HVM_boot_params" },
    { "CPUs", cpus, NULL },
    { "cpuCap", view_int, "VCPUs_params/cap" },
    { "cpuMask", cpu_mask, "VCPUs_params/mask" },
    { "cpuWeight", view_int, "VCPUs_params/weight" },
    { "coresPerSocket", view_int, "platform/cores-per-socket" },
    { "creation", vm_creation, NULL },
    { "current_operations", current_operations, "current_operations" },
    { "expNestedHvm", view_bool, "platform/exp-nested-hvm" },
    { "isNestedVirtEnabled", nested_virt, NULL },
    { "vulnerabilities", vm_vulnerabilities, NULL },
    { "viridian", view_bool, "platform/viridian" },
    { "mainIpAddress", vm_main_address, NULL },
    { "high_availability", view_copy, "ha_restart_priority" },
    { "isFirmwareSupported", vm_firmware_supported, "recommendations" },
    { "memory", memory, NULL },
    { "installTime", metrics_date, "install_time" },
    { "name_description", view_copy, "name_description" },
    { "needsVtpm", view_bool, "platform/vtpm" },
    { "nicType", view_copy, "platform/nic_type" },
    { "notes", view_copy, "other_config/xo:notes" },
    { "other", view_copy, "other_config" },
    { "os_version", vm_os_version, NULL },
    { "parent", view_weak_link, "parent" },
    { "hasVendorDevice", view_bool, "has_vendor_device" },
    { "resourceSet", vm_resource_set, "other_config/xo:resource_set" },
    { "snapshots", view_links, "snapshots" },
    { "startDelay", view_int, "start_delay" },
    { "startTime", metrics_date, "start_time" },
    { "secureBoot", view_bool, "platform/secureboot" },
    { "suspendSr", view_weak_link, "suspend_SR" },
    { "tags", view_copy, "tags" },
    { "VIFs", view_links, "VIFs" },
    { "VTPMs", view_links, "VTPMs" },
    { "virtualizationMode", virtualization_mode, NULL },
    { "xenTools", vm_tools, NULL },
    { "$container", container, NULL },
    { "$VBDs", view_links, "VBDs" },
    { "VGPUs", view_links, "VGPUs" },
    { "$VGPUs", view_links, "VGPUs" },
    { "xenStoreData", view_copy, "xenstore_data" },
    { "vga", vga, "platform/vga" },
    { "videoram", videoram, "platform/videoram" },
    { "PV_args", pv_args, "PV_args" },
    { "snapshot_time", snapshot_time, "snapshot_time" },
    { "$snapshot_of", snapshot_link, "snapshot_of" },
    { "suspendVdi", snapshot_link, "suspend_VDI" },
    { "isDefaultTemplate", is_default_template, NULL },
    { "template_info", vm_template_info, NULL },
    { NULL },
};
