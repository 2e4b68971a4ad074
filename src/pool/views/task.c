/* task, message. */
#include "pool/views/tables.h"

#include <string.h>

/* The object a task works on: its uuid, or the reference as it stands when it is not known. */
static void applies_to(View *view, const ViewField *field)
{
    Value ref = view_value(view, field->source);
    if (!ref.at)
        return;
    Record *record = view_peek(view, ref);
    view_put_value(view, field->name, record ? record_value(record, "uuid") : ref);
}

static void xapi_ref(View *view, const ViewField *field)
{
    view_put_text(view, field->name, record_key(view_record(view)));
}

const ViewField view_task[] = {
    { "allowedOperations", view_copy, "allowed_operations" },
    { "created", view_date, "created" },
    { "current_operations", view_copy, "current_operations" },
    { "finished", view_date, "finished" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "progress", view_int, "progress" },
    { "result", view_copy, "result" },
    { "status", view_copy, "status" },
    { "xapiRef", xapi_ref, NULL },
    { "applies_to", applies_to, "other_config/applies_to" },
    { "$host", view_link, "resident_on" },
    { NULL },
};

const ViewField view_message[] = {
    { "body", view_copy, "body" },
    { "name", view_copy, "name" },
    { "time", view_date, "timestamp" },
    { "$object", view_copy, "obj_uuid" },
    { NULL },
};
