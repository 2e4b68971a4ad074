/* Objects of pools, as methods use them. */
#include "api/objects.h"
#include "api/methods/late_task.h"
#include "base/mutant.h"

#include <string.h>

Xapi *api_object_xapi(const ApiObject *object)
{
    return pool_xapi(link_pool(object->link));
}

void api_object_barrier(const ApiObject *object)
{
    if (!MUTANT(object_no_barrier)) /* mutant: system:test_api.Power.test_power */
        pool_barrier(link_pool(object->link), API_BARRIER_MS, NULL);
}

const char *api_object_text(const ApiObject *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object->view, field));
    return text ? text : "";
}

/* "VM-snapshot" is a VM, "VDI-unmanaged" a VDI. */
json_t *api_object_record(const ApiObject *object)
{
    g_autofree char *cls = g_strndup(object->type, strcspn(object->type, "-"));
    return inventory_record(object->inventory, cls, object->ref);
}

bool api_object_do(const ApiObject *object, const char *method, json_t *more, GError **error)
{
    json_t *params = json_pack("[s]", object->ref);
    if (more)
        json_array_extend(params, more);
    json_decref(more);
    return xapi_do(api_object_xapi(object), method, params, error);
}

char *api_object_task(const ApiObject *object, const char *method, json_t *params, GError **error)
{
    ApiCall *call = object->call;
    Xapi *xapi = api_object_xapi(object);
    g_autofree char *left = NULL;
    if (!late_task_matters(method))
        return xapi_call_task(xapi, method, params, call_cancel(call), call_tell_progress, call,
                              error);
    char *result = xapi_call_task_or_leave(xapi, method, params, call_cancel(call),
                                           call_tell_progress, call, &left, error);
    if (left)
        late_task_add(call, api_object_text(object, "$pool"), method, left);
    return result;
}

json_t *api_object_made(const ApiObject *object, const char *cls, const char *ref, GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.get_uuid", cls);
    g_autofree char *uuid =
        xapi_call_string(api_object_xapi(object), method, json_pack("[s]", ref), error);
    if (!uuid)
        return NULL;
    api_object_barrier(object);
    return json_string(uuid);
}

/* XO's types whose objects people name and tag, and their class in XAPI. */
static const struct {
    const char *type, *cls;
} classes[] = {
    { "VM", "VM" },
    { "VM-snapshot", "VM" },
    { "VM-template", "VM" },
    { "VM-controller", "VM" },
    { "host", "host" },
    { "pool", "pool" },
    { "SR", "SR" },
    { "VDI", "VDI" },
    { "VDI-snapshot", "VDI" },
    { "VDI-unmanaged", "VDI" },
    { "network", "network" },
};

const char *api_object_class(const ApiObject *object)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++)
        if (g_str_equal(classes[i].type, object->type))
            return classes[i].cls;
    return NULL;
}
