/* VDI, VDI-snapshot, VDI-unmanaged. */
#include "pool/views/tables.h"

#include "base/mutant.h"

#include <string.h>

enum { MAX_CHAIN = 256 }; /* storage stops at 30; a damaged one may be a circle */

const char *vdi_type(const Record *record)
{
    if (!value_bool(record_value(record, "managed")))
        return "VDI-unmanaged";
    Value source = record_value(record, "snapshot_of");
    bool of_another = value_kind(source) == VALUE_TEXT && !value_is(source, "OpaqueRef:NULL") &&
                      !value_is(source, "");
    return value_bool(record_value(record, "is_a_snapshot")) || of_another ? "VDI-snapshot" : "VDI";
}

static Record *parent_of(View *view, const Record *record)
{
    char scratch[VALUE_SCRATCH];
    const ViewWorld *world = view_world(view);
    Value uuid = value_member(record_value(record, "sm_config"), "vhd-parent");
    const char *id = value_text(uuid, scratch);
    if (!*id)
        return NULL;
    world->depend(id, world->user);
    return world->find_id(id, world->user);
}

static void snapshot_time(View *view, const ViewField *field)
{
    if (strcmp(view_type(view), "VDI-snapshot") == 0)
        view_date(view, field);
}

static void snapshot_of(View *view, const ViewField *field)
{
    if (strcmp(view_type(view), "VDI-snapshot") == 0)
        view_weak_link(view, field);
}

static void chain_usage(View *view, const ViewField *field)
{
    gint64 total = 0;
    const Record *record = view_record(view);
    if (strcmp(view_type(view), "VDI") != 0)
        return;
    for (unsigned i = 0; record && i < MAX_CHAIN; i++) {
        total += value_int(record_value(record, "physical_utilisation"), 0);
        record = MUTANT(view_chain_of_one) ? NULL
                                           : parent_of(view, record); /* mutant: pool_inventory */
    }
    view_put_int(view, field->name, total);
}

const ViewField view_vdi[] = {
    { "cbt_enabled", view_bool, "cbt_enabled" },
    { "missing", view_bool, "missing" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "parent", view_copy, "sm_config/vhd-parent" },
    { "size", view_int, "virtual_size" },
    { "snapshots", view_links, "snapshots" },
    { "tags", view_copy, "tags" },
    { "usage", view_int, "physical_utilisation" },
    { "VDI_type", view_copy, "type" },
    { "image_format", view_copy, "sm_config/image-format" },
    { "current_operations", view_copy, "current_operations" },
    { "other_config", view_copy, "other_config" },
    { "$SR", view_link, "SR" },
    { "$VBDs", view_links, "VBDs" },
    { "snapshot_time", snapshot_time, "snapshot_time" },
    { "$snapshot_of", snapshot_of, "snapshot_of" },
    { "chainPhysicalUsage", chain_usage, NULL },
    { NULL },
};
