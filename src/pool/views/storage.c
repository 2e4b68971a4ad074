/* SR, SM, PBD, VBD. */
#include "pool/views/tables.h"

#include "base/json_write.h"

#include <string.h>

/* --- SR --- */

static Record *first_pbd(View *view)
{
    ValueIter iter = value_iter(view_value(view, "PBDs"));
    return value_next(&iter) ? view_follow(view, iter.value) : NULL;
}

static const struct {
    const char *type, *strategy;
} strategies[] = {
    { "ext", "thin" },       { "file", "thin" },      { "nfs", "thin" },
    { "shm", "thin" },       { "smb", "thin" },       { "zfs", "thin" },
    { "hba", "thick" },      { "iscsi", "thick" },    { "lvm", "thick" },
    { "lvmofcoe", "thick" }, { "lvmohba", "thick" },  { "lvmoiscsi", "thick" },
    { "ocfs", "thick" },     { "ocfsohba", "thick" }, { "ocfsoiscsi", "thick" },
    { "rawhba", "thick" },   { "rawiscsi", "thick" }, { "udev", "thick" },
};

static void allocation_strategy(View *view, const ViewField *field)
{
    Value type = view_value(view, field->source);
    if (value_is(type, "linstor")) {
        Value how = value_member(record_value(first_pbd(view), "device_config"), "provisioning");
        if (how.at)
            view_put_value(view, field->name, how);
        else
            view_put_text(view, field->name, "unknown");
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(strategies); i++)
        if (value_is(type, strategies[i].type))
            view_put_text(view, field->name, strategies[i].strategy);
}

static void in_maintenance(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, view_value(view, field->source).at != NULL);
}

static void sr_container(View *view, const ViewField *field)
{
    Record *pbd = value_bool(view_value(view, "shared")) ? NULL : first_pbd(view);
    if (pbd)
        view_put_link(view, field->name, record_value(pbd, "host"));
    else
        view_put_text(view, field->name, view_world(view)->pool_id);
}

const ViewField view_sr[] = {
    { "content_type", view_copy, "content_type" },
    { "physical_usage", view_int, "physical_utilisation" },
    { "allocationStrategy", allocation_strategy, "type" },
    { "current_operations", view_copy, "current_operations" },
    { "inMaintenanceMode", in_maintenance, "other_config/xo:maintenanceState" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "size", view_int, "physical_size" },
    { "shared", view_bool, "shared" },
    { "SR_type", view_copy, "type" },
    { "tags", view_copy, "tags" },
    { "usage", view_int, "virtual_allocation" },
    { "VDIs", view_links, "VDIs" },
    { "other_config", view_copy, "other_config" },
    { "sm_config", view_copy, "sm_config" },
    { "$container", sr_container, NULL },
    { "$PBDs", view_links, "PBDs" },
    { NULL },
};

const ViewField view_sm[] = {
    { "SM_type", view_copy, "type" },
    { "configuration", view_copy, "configuration" },
    { "driver_filename", view_copy, "driver_filename" },
    { "features", view_copy, "features" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "required_cluster_stack", view_copy, "required_cluster_stack" },
    { "supported_image_formats", view_copy, "supported_image_formats" },
    { "vendor", view_copy, "vendor" },
    { NULL },
};

/* --- PBD --- */

static const char OBFUSCATED[] = "obfuscated-q3oi6d9X8uenGvdLnHk2"; /* XO's */

static bool is_secret(const char *key)
{
    g_autofree char *lower = g_ascii_strdown(key, -1);
    return strstr(lower, "password") || strstr(lower, "secret") || strstr(lower, "passphrase") ||
           strstr(lower, "token") || strstr(lower, "encryptionkey");
}

/* Passwords of file servers and iSCSI targets never leave the server. */
static void device_config(View *view, const ViewField *field)
{
    char scratch[VALUE_SCRATCH];
    ValueIter iter = value_iter(view_value(view, field->source));
    GString *out = view_begin(view, field->name);
    bool any = false;
    g_string_append_c(out, '{');
    for (; value_next(&iter); any = true) {
        if (any)
            g_string_append_c(out, ',');
        value_write(iter.key, out);
        g_string_append_c(out, ':');
        if (is_secret(value_text(iter.key, scratch)))
            json_write_string(out, OBFUSCATED, strlen(OBFUSCATED));
        else
            value_write(iter.value, out);
    }
    g_string_append_c(out, '}');
}

const ViewField view_pbd[] = {
    { "attached", view_bool, "currently_attached" },
    { "host", view_link, "host" },
    { "SR", view_link, "SR" },
    { "device_config", device_config, "device_config" },
    { "otherConfig", view_copy, "other_config" },
    { NULL },
};

/* --- VBD --- */

static void device(View *view, const ViewField *field)
{
    Value value = view_value(view, field->source);
    if (value_kind(value) == VALUE_TEXT && !value_is(value, ""))
        view_put_value(view, field->name, value);
    else
        g_string_append(view_begin(view, field->name), "null");
}

static void is_cd(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_is(view_value(view, field->source), "CD"));
}

static void read_only(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_is(view_value(view, field->source), "RO"));
}

const ViewField view_vbd[] = {
    { "attached", view_bool, "currently_attached" },
    { "bootable", view_bool, "bootable" },
    { "device", device, "device" },
    { "is_cd_drive", is_cd, "type" },
    { "position", view_copy, "userdevice" },
    { "read_only", read_only, "mode" },
    { "VDI", view_link, "VDI" },
    { "VM", view_link, "VM" },
    { NULL },
};
