/* Settings in XO's order: the run's, then the VM's, then, for one target, the target's. */
#include "work/private.h"

static json_t *of_id(const WorkContext *context, const char *id)
{
    return json_object_get(json_object_get(context->job, "settings"), id);
}

json_t *settings_of_vm(const WorkContext *context, const char *vm_uuid)
{
    json_t *settings = context->settings ? json_copy(context->settings) : json_object();
    json_t *own = of_id(context, vm_uuid);
    if (json_is_object(own))
        json_object_update(settings, own);
    return settings;
}

gint64 setting_int(json_t *settings, const char *name, gint64 otherwise)
{
    json_t *value = json_object_get(settings, name);
    return json_is_number(value) ? (gint64) json_number_value(value) : otherwise;
}

bool setting_bool(json_t *settings, const char *name)
{
    return json_is_true(json_object_get(settings, name));
}

gint64 setting_of_target(const VmRun *run, const TargetRun *target, const char *name,
                         gint64 otherwise)
{
    return setting_int(of_id(run->context, target->target->id), name,
                       setting_int(run->settings, name, otherwise));
}

const char *setting_text_of_target(const VmRun *run, const TargetRun *target, const char *name)
{
    json_t *own = json_object_get(of_id(run->context, target->target->id), name);
    return json_is_string(own) ? json_string_value(own) : json_text(run->settings, name);
}

bool setting_bool_of_target(const VmRun *run, const TargetRun *target, const char *name)
{
    json_t *own = json_object_get(of_id(run->context, target->target->id), name);
    return own ? json_is_true(own) : setting_bool(run->settings, name);
}
