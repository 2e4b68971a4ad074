/* customField.*: values that people keep with objects, where XenCenter keeps its own, too: in
 * other_config, below "XenCenter.CustomFields.". */
#include "api/method.h"
#include "api/objects.h"

#define PREFIX "XenCenter.CustomFields."

/* NULL: the field goes. */
static json_t *put(ApiCall *call, const char *value, GError **error)
{
    const ApiObject *object = call_object(call, "id");
    const char *cls = api_object_class(object);
    if (!cls) {
        api_error_invalid(error, "id: objects of type %s have no custom fields", object->type);
        return NULL;
    }
    g_autofree char *drop = g_strdup_printf("%s.remove_from_other_config", cls);
    g_autofree char *add = g_strdup_printf("%s.add_to_other_config", cls);
    g_autofree char *key = g_strconcat(PREFIX, call_string(call, "name"), NULL);
    if (api_object_do(object, drop, json_pack("[s]", key), error) &&
        (!value || api_object_do(object, add, json_pack("[s, s]", key, value), error)))
        api_object_barrier(object);
    return NULL;
}

static json_t *set(ApiCall *call, GError **error)
{
    return put(call, call_string(call, "value"), error);
}

static json_t *drop(ApiCall *call, GError **error)
{
    return put(call, NULL, error);
}

#define VALUE PARAMS(REQ(ID("id", "*", "administrate")), REQ(STR("name")), REQ(STR("value")))

const Method methods_custom_field[] = {
    { "customField.add", set, VALUE, .access = ACCESS_USER,
      .example = "id=$VM name=owner value='the web team'",
      .summary = "Keep a value with an object." },
    { "customField.set", set, VALUE, .access = ACCESS_USER,
      .example = "id=$VM name=owner value='the web team'",
      .summary = "Change a value that is kept with an object." },
    { "customField.remove", drop, PARAMS(REQ(ID("id", "*", "administrate")), REQ(STR("name"))),
      .access = ACCESS_USER, .example = "id=$VM name=owner",
      .summary = "Drop a value that is kept with an object." },
    { NULL },
};
