/* host */
#include "pool/views/tables.h"

#include "base/json_write.h"

#include <string.h>

#define GIB (G_GINT64_CONSTANT(1) << 30)

static Record *metrics_of(View *view)
{
    return view_follow(view, view_value(view, "metrics"));
}

static void chipset_info(View *view, const ViewField *field)
{
    Value iommu = view_value(view, "chipset_info/iommu");
    GString *out = view_begin(view, field->name);
    if (iommu.at)
        g_string_append(out, value_bool(iommu) ? "{\"iommu\":true}" : "{\"iommu\":false}");
    else
        g_string_append(out, "{}");
}

static void cpus(View *view, const ViewField *field)
{
    Value info = view_value(view, field->source);
    g_string_append_printf(view_begin(view, field->name),
                           "{\"cores\":%" G_GINT64_FORMAT ",\"sockets\":%" G_GINT64_FORMAT "}",
                           value_int(value_member(info, "cpu_count"), 0),
                           value_int(value_member(info, "socket_count"), 0));
}

static void iscsi_iqn(View *view, const ViewField *field)
{
    Value iqn = view_value(view, "iscsi_iqn");
    if (!iqn.at)
        iqn = view_value(view, "other_config/iscsi_iqn");
    if (iqn.at)
        view_put_value(view, field->name, iqn);
    else
        view_put_text(view, field->name, "");
}

static void zstd_supported(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_is(view_value(view, field->source), "false"));
}

/* Xen keeps some for itself: the size is what the host was sold with. */
static void memory(View *view, const ViewField *field)
{
    Record *metrics = metrics_of(view);
    GString *out = view_begin(view, field->name);
    if (!metrics) {
        g_string_append(out, "{\"usage\":0,\"size\":0,\"total\":0}");
        return;
    }
    gint64 total = value_int(record_value(metrics, "memory_total"), 0);
    gint64 free = value_int(record_value(metrics, "memory_free"), 0);
    gint64 size = (total / GIB + (total % GIB != 0)) * GIB;
    gint64 usage = value_bool(record_value(metrics, "live")) ? size - free : 0;
    g_string_append_printf(out, "{\"usage\":%" G_GINT64_FORMAT ",\"size\":%" G_GINT64_FORMAT "}",
                           usage, size);
}

static void power_state(View *view, const ViewField *field)
{
    Record *metrics = metrics_of(view);
    bool live = value_bool(record_value(metrics, "live"));
    view_put_text(view, field->name, !metrics ? "Unknown" : live ? "Running" : "Halted");
}

/* XCP-ng tells it by the time of the last patch, XenServer by a list. */
static void reboot_required(View *view, const ViewField *field)
{
    bool required = value_count(view_value(view, "updates_requiring_reboot")) > 0;
    if (value_is(view_value(view, "software_version/product_brand"), "XCP-ng"))
        required = view_seconds(view_value(view, "other_config/boot_time")) <
                   value_number(view_value(view, "other_config/rpm_patch_installation_time"), 0);
    view_put_bool(view, field->name, required);
}

static void hvm_capable(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    ValueIter iter = value_iter(view_value(view, field->source));
    bool capable = false;
    while (value_next(&iter))
        capable |= g_str_has_prefix(value_text(iter.value, scratch), "hvm");
    view_put_bool(view, field->name, capable);
}

static void certificates(View *view, const ViewField *field)
{
    Value list = view_value(view, field->source);
    if (!list.at)
        return;
    GString *out = view_begin(view, field->name);
    ValueIter iter = value_iter(list);
    char before = '[';
    while (value_next(&iter)) {
        Record *certificate = view_follow(view, iter.value);
        if (!certificate)
            continue;
        g_string_append_c(out, before);
        g_string_append(out, "{\"fingerprint\":");
        value_write(record_value(certificate, "fingerprint"), out);
        g_string_append(out, ",\"notAfter\":");
        json_write_real(out, view_seconds(record_value(certificate, "not_after")));
        g_string_append_c(out, '}');
        before = ',';
    }
    g_string_append(out, before == '[' ? "[]" : "]");
}

/* software_version has a member "author:name" = "description, version x" for each pack. */
static void write_pack(GString *out, const char *key, const char *text)
{
    const char *colon = strchr(key, ':'), *comma = strrchr(text, ',');
    const char *version = comma ? strstr(comma, "version ") : NULL;
    g_string_append(out, "{\"author\":");
    json_write_string(out, key, (gsize) (colon - key));
    g_string_append(out, ",\"name\":");
    json_write_string(out, colon + 1, strlen(colon + 1));
    g_string_append(out, ",\"description\":");
    json_write_string(out, text, version ? (gsize) (comma - text) : strlen(text));
    if (version) {
        version += strlen("version ");
        g_string_append(out, ",\"version\":");
        json_write_string(out, version, strlen(version));
    }
    g_string_append_c(out, '}');
}

static void supplemental_packs(View *view, const ViewField *field)
{
    char key[VALUE_SCRATCH], text[VALUE_SCRATCH];
    ValueIter iter = value_iter(view_value(view, field->source));
    GString *out = view_begin(view, field->name);
    bool any = false;
    g_string_append_c(out, '[');
    while (value_next(&iter)) {
        const char *name = value_text(iter.key, key);
        if (!strchr(name, ':'))
            continue;
        if (any)
            g_string_append_c(out, ',');
        write_pack(out, name, value_text(iter.value, text));
        any = true;
    }
    g_string_append_c(out, ']');
}

const ViewField view_host[] = {
    { "CPUs", view_copy, "cpu_info" },
    { "address", view_copy, "address" },
    { "bios_strings", view_copy, "bios_strings" },
    { "build", view_copy, "software_version/build_number" },
    { "chipset_info", chipset_info, NULL },
    { "enabled", view_bool, "enabled" },
    { "controlDomain", view_link, "control_domain" },
    { "cpus", cpus, "cpu_info" },
    { "current_operations", view_copy, "current_operations" },
    { "hostname", view_copy, "hostname" },
    { "iscsiIqn", iscsi_iqn, NULL },
    { "zstdSupported", zstd_supported, "license_params/restrict_zstd_export" },
    { "license_params", view_copy, "license_params" },
    { "license_server", view_copy, "license_server" },
    { "license_expiry", view_date, "license_params/expiry" },
    { "logging", view_copy, "logging" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "memory", memory, NULL },
    { "multipathing", view_bool, "other_config/multipathing" },
    { "otherConfig", view_copy, "other_config" },
    { "patches", view_links, "patches" },
    { "powerOnMode", view_copy, "power_on_mode" },
    { "power_state", power_state, NULL },
    { "residentVms", view_links, "resident_VMs" },
    { "startTime", view_date, "other_config/boot_time" },
    { "supplementalPacks", supplemental_packs, "software_version" },
    { "agentStartTime", view_date, "other_config/agent_start_time" },
    { "rebootRequired", reboot_required, NULL },
    { "tags", view_copy, "tags" },
    { "version", view_copy, "software_version/product_version" },
    { "productBrand", view_copy, "software_version/product_brand" },
    { "hvmCapable", hvm_capable, "capabilities" },
    { "certificates", certificates, "certificates" },
    { "PIFs", view_links, "PIFs" },
    { "$PIFs", view_links, "PIFs" },
    { "PCIs", view_links, "PCIs" },
    { "$PCIs", view_links, "PCIs" },
    { "PGPUs", view_links, "PGPUs" },
    { "$PGPUs", view_links, "PGPUs" },
    { "$PBDs", view_links, "PBDs" },
    { NULL },
};
