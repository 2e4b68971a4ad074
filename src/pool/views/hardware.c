/* Patches, PCI devices, GPUs, USB devices, TPMs. */
#include "pool/views/tables.h"

#include <string.h>

/* --- patches --- */

static Record *pool_patch(View *view)
{
    return view_follow(view, view_value(view, "pool_patch"));
}

static void patch_guidance(View *view, const ViewField *field)
{
    view_put_value(view, field->name, record_value(pool_patch(view), "after_apply_guidance"));
}

static void patch_size(View *view, const ViewField *field)
{
    Record *patch = pool_patch(view);
    if (patch)
        view_put_int(view, field->name, value_int(record_value(patch, "size"), 0));
}

static void enforce_homogeneity(View *view, const ViewField *field)
{
    view_put_bool(view, field->name,
                  value_bool(record_value(pool_patch(view), "enforce_homogeneity")));
}

const ViewField view_host_patch[] = {
    { "applied", view_bool, "applied" },
    { "enforceHomogeneity", enforce_homogeneity, NULL },
    { "description", view_copy, "name_description" },
    { "name", view_copy, "name_label" },
    { "pool_patch", view_link, "pool_patch" },
    { "size", patch_size, NULL },
    { "guidance", patch_guidance, NULL },
    { "time", view_date, "timestamp_applied" },
    { "$host", view_link, "host" },
    { NULL },
};

const ViewField view_pool_patch[] = {
    { "dataUuid", view_copy, "uuid" },
    { "description", view_copy, "name_description" },
    { "guidance", view_copy, "after_apply_guidance" },
    { "name", view_copy, "name_label" },
    { "size", view_int, "size" },
    { "$host_patches", view_links, "host_patches" },
    { NULL },
};

/* --- PCI, GPU --- */

const ViewField view_pci[] = {
    { "class_name", view_copy, "class_name" },
    { "device_name", view_copy, "device_name" },
    { "pci_id", view_copy, "pci_id" },
    { "$host", view_link, "host" },
    { NULL },
};

/* A map from type to capacity: its keys become ids. */
static void capacities(View *view, const ViewField *field)
{
    ValueIter iter = value_iter(view_value(view, field->source));
    GString *out = view_begin(view, field->name);
    char before = '{';
    while (value_next(&iter)) {
        Record *type = view_peek(view, iter.key);
        if (!type)
            continue;
        g_string_append_c(out, before);
        view_write_id(view, out, type);
        g_string_append_printf(out, ":%" G_GINT64_FORMAT, value_int(iter.value, 0));
        before = ',';
    }
    g_string_append(out, before == '{' ? "{}" : "}");
}

const ViewField view_pgpu[] = {
    { "dom0Access", view_copy, "dom0_access" },
    { "enabledVgpuTypes", view_links, "enabled_VGPU_types" },
    { "gpuGroup", view_link, "GPU_group" },
    { "isSystemDisplayDevice", view_bool, "is_system_display_device" },
    { "pci", view_link, "PCI" },
    { "supportedVgpuMaxCapcities", capacities, "supported_VGPU_max_capacities" },
    { "supportedVgpuTypes", view_links, "supported_VGPU_types" },
    { "host", view_link, "host" },
    { "$host", view_link, "host" },
    { "vgpus", view_links, "resident_VGPUs" },
    { "$vgpus", view_links, "resident_VGPUs" },
    { NULL },
};

const ViewField view_gpu_group[] = {
    { "allocation", view_copy, "allocation_algorithm" },
    { "enabledVgpuTypes", view_links, "enabled_VGPU_types" },
    { "gpuTypes", view_copy, "GPU_types" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "otherConfig", view_copy, "other_config" },
    { "pgpus", view_links, "PGPUs" },
    { "supportedVgpuTypes", view_links, "supported_VGPU_types" },
    { "vgpus", view_links, "VGPUs" },
    { NULL },
};

const ViewField view_vgpu[] = {
    { "currentlyAttached", view_bool, "currently_attached" },
    { "device", view_copy, "device" },
    { "gpuGroup", view_link, "GPU_group" },
    { "otherConfig", view_copy, "other_config" },
    { "resident_on", view_link, "resident_on" },
    { "vgpuType", view_link, "type" },
    { "vm", view_link, "VM" },
    { NULL },
};

const ViewField view_vgpu_type[] = {
    { "experimental", view_bool, "experimental" },
    { "framebufferSize", view_int, "framebuffer_size" },
    { "gpuGroups", view_links, "enabled_on_GPU_groups" },
    { "maxHeads", view_int, "max_heads" },
    { "maxResolutionX", view_int, "max_resolution_x" },
    { "maxResolutionY", view_int, "max_resolution_y" },
    { "modelName", view_copy, "model_name" },
    { "pgpus", view_links, "enabled_on_PGPUs" },
    { "vendorName", view_copy, "vendor_name" },
    { "vgpus", view_links, "VGPUs" },
    { NULL },
};

/* --- TPM, USB --- */

const ViewField view_vtpm[] = {
    { "vm", view_link, "VM" },
    { NULL },
};

static void pusb_description(View *view, const ViewField *field)
{
    Value text = view_value(view, field->source);
    if (!text.at || value_is(text, ""))
        text = view_value(view, "description");
    view_put_value(view, field->name, text);
}

const ViewField view_pusb[] = {
    { "description", pusb_description, "product_desc" },
    { "host", view_link, "host" },
    { "passthroughEnabled", view_bool, "passthrough_enabled" },
    { "speed", view_int, "speed" },
    { "usbGroup", view_link, "USB_group" },
    { "vendorId", view_copy, "vendor_id" },
    { "version", view_copy, "version" },
    { NULL },
};

const ViewField view_vusb[] = {
    { "vm", view_link, "VM" },
    { "currentlyAttached", view_bool, "currently_attached" },
    { "usbGroup", view_link, "USB_group" },
    { NULL },
};

const ViewField view_usb_group[] = {
    { "PUSBs", view_links, "PUSBs" },
    { "VUSBs", view_links, "VUSBs" },
    { NULL },
};
