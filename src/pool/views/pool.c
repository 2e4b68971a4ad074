/* pool */
#include "pool/views/tables.h"

#include <string.h>

static Record *master(View *view)
{
    return view_follow(view, view_value(view, "master"));
}

static void ha_reboot(View *view, const ViewField *field)
{
    Value value = view_value(view, field->source);
    view_put_bool(view, field->name, !value.at || value_bool(value));
}

/* The storages of the heartbeat disks. */
static void ha_srs(View *view, const ViewField *field)
{
    ValueIter iter = value_iter(view_value(view, field->source));
    g_autoptr(GString) list = g_string_new("[");
    while (value_next(&iter)) {
        Record *disk = view_follow(view, iter.value);
        Record *storage = disk ? view_peek(view, record_value(disk, "SR")) : NULL;
        if (!storage)
            continue;
        if (list->len > 1)
            g_string_append_c(list, ',');
        view_write_id(view, list, storage);
    }
    g_string_append_printf(view_begin(view, field->name), "%s]", list->str);
}

/* A pool of one host often has no name: then that of the host. */
static void name_label(View *view, const ViewField *field)
{
    Value name = view_value(view, field->source);
    if (value_is(name, ""))
        name = record_value(master(view), "name_label");
    view_put_value(view, field->name, name);
}

static void cpus(View *view, const ViewField *field)
{
    Value info = view_value(view, field->source);
    if (info.at)
        g_string_append_printf(view_begin(view, field->name),
                               "{\"cores\":%" G_GINT64_FORMAT ",\"sockets\":%" G_GINT64_FORMAT "}",
                               value_int(value_member(info, "cpu_count"), 0),
                               value_int(value_member(info, "socket_count"), 0));
}

static void unrestricted(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_is(view_value(view, field->source), "false"));
}

static void platform_version(View *view, const ViewField *field)
{
    Record *host = master(view);
    view_put_value(view, field->name,
                   value_member(record_value(host, "software_version"), "platform_version"));
}

const ViewField view_pool[] = {
    { "auto_poweron", view_bool, "other_config/auto_poweron" },
    { "crashDumpSr", view_weak_link, "crash_dump_SR" },
    { "current_operations", view_copy, "current_operations" },
    { "default_SR", view_weak_link, "default_SR" },
    { "HA_enabled", view_bool, "ha_enabled" },
    { "haRebootVmOnInternalShutdown", ha_reboot, "ha_reboot_vm_on_internal_shutdown" },
    { "haSrs", ha_srs, "ha_statefiles" },
    { "master", view_link, "master" },
    { "tags", view_copy, "tags" },
    { "name_description", view_copy, "name_description" },
    { "name_label", name_label, "name_label" },
    { "migrationCompression", view_copy, "migration_compression" },
    { "otherConfig", view_copy, "other_config" },
    { "cpus", cpus, "cpu_info" },
    { "suspendSr", view_weak_link, "suspend_image_SR" },
    { "zstdSupported", unrestricted, "restrictions/restrict_zstd_export" },
    { "vtpmSupported", unrestricted, "restrictions/restrict_vtpm" },
    { "platform_version", platform_version, NULL },
    { NULL },
};
