/* tag.*: the tags of objects, which the pools keep, and their colours, which are kept here. */
#include "api/method.h"
#include "api/objects.h"

#include <string.h>

#define COLLECTION "tags"

static json_t *change(ApiCall *call, const char *verb, GError **error)
{
    const ApiObject *object = call_object(call, "id");
    const char *cls = api_object_class(object);
    if (!cls) {
        api_error_invalid(error, "%s: objects of type %s have no tags", object->id, object->type);
        return NULL;
    }
    g_autofree char *method = g_strdup_printf("%s.%s", cls, verb);
    json_t *params = json_pack("[s, O]", object->ref, call_get(call, "tag"));
    if (xapi_do(api_object_xapi(object), method, params, error))
        api_object_barrier(object);
    return NULL;
}

static json_t *add(ApiCall *call, GError **error)
{
    return change(call, "add_tags", error);
}

static json_t *drop(ApiCall *call, GError **error)
{
    return change(call, "remove_tags", error);
}

/* {id, color}; null takes the colour away. */
static json_t *set(ApiCall *call, GError **error)
{
    Store *store = call_parts(call)->store;
    const char *id = call_string(call, "id"), *color = call_string(call, "color");
    json_t *record = store_get(store, COLLECTION, id, NULL);
    if (!record)
        record = json_pack("{s:s}", "id", id);
    if (color)
        json_object_set_new(record, "color",
                            json_sprintf("#%s", color[0] == '#' ? color + 1 : color));
    else if (call_get(call, "color"))
        json_object_del(record, "color");
    store_put(store, COLLECTION, id, record, error);
    json_decref(record);
    return NULL;
}

static json_t *get_all_configured(ApiCall *call, GError **error)
{
    return store_list(call_parts(call)->store, COLLECTION, error);
}

const Method methods_tag[] = {
    { "tag.add", add, PARAMS(REQ(STR("tag")), REQ(ID("id", "*", "administrate"))),
      .access = ACCESS_USER, .rest = "PUT /objects/{id}/tags/{tag}",
      .example = "id=$VM tag=production", .summary = "Give an object a tag." },
    { "tag.remove", drop, PARAMS(REQ(STR0("tag")), REQ(ID("id", "*", "administrate"))),
      .access = ACCESS_USER, .rest = "DELETE /objects/{id}/tags/{tag}",
      .example = "id=$VM tag=production", .summary = "Take a tag from an object." },
    { "tag.set", set,
      PARAMS(REQ(STR("id")),
             OPT(STR("color"), .nullable = true, .pattern = "^#?([0-9A-Fa-f]{6})$")),
      .example = "id=production color='#00ff80'",
      .summary = "Choose the colour of a tag, such as #00ff80." },
    { "tag.getAllConfigured", get_all_configured, NULL, .access = ACCESS_USER, .example = "",
      .summary = "The tags that have a colour." },
    { NULL },
};
