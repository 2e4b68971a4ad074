/* cloudConfig.*: texts for cloud-init that people keep for new machines. */
#include "api/method.h"

#define COLLECTION "cloudConfigs"

enum { MAX_CONFIGS = 10000 };

static Store *store(ApiCall *call)
{
    return call_parts(call)->store;
}

/* Those of a type; NULL: those without one, which are for users' data. */
static json_t *list_of(ApiCall *call, const char *type, GError **error)
{
    json_t *all = store_list(store(call), COLLECTION, error), *record;
    json_t *list = all ? json_array() : NULL;
    size_t i;
    json_array_foreach (all, i, record)
        if (g_strcmp0(json_string_value(json_object_get(record, "type")), type) == 0)
            json_array_append(list, record);
    json_decref(all);
    return list;
}

static json_t *get_all(ApiCall *call, GError **error)
{
    return list_of(call, NULL, error);
}

static json_t *get_all_network(ApiCall *call, GError **error)
{
    return list_of(call, "network", error);
}

static json_t *make(ApiCall *call, const char *type, GError **error)
{
    json_t *all = store_list(store(call), COLLECTION, error);
    size_t n = json_array_size(all);
    json_decref(all);
    if (!all)
        return NULL;
    if (n >= MAX_CONFIGS) {
        err_set(error, ERR_LIMIT, "there are already %d cloud configurations", MAX_CONFIGS);
        return NULL;
    }
    g_autofree char *id = g_uuid_string_random();
    json_t *record = json_pack("{s:O, s:O, s:s*, s:s}", "name", call_get(call, "name"), "template",
                               call_get(call, "template"), "type", type, "id", id);
    if (store_add(store(call), COLLECTION, id, record, error))
        return record;
    json_decref(record);
    return NULL;
}

static json_t *create(ApiCall *call, GError **error)
{
    return make(call, NULL, error);
}

static json_t *create_network(ApiCall *call, GError **error)
{
    return make(call, "network", error);
}

static json_t *update(ApiCall *call, GError **error)
{
    g_autoptr(GError) missing = NULL;
    const char *id = call_string(call, "id");
    json_t *record = store_get(store(call), COLLECTION, id, &missing);
    if (record) {
        json_object_update_existing(record, call_params(call));
        store_put(store(call), COLLECTION, id, record, error);
        json_decref(record);
    } else if (err_is(missing, ERR_NOT_FOUND)) {
        api_error_no_such(error, id, "cloud config");
    } else {
        g_propagate_error(error, g_steal_pointer(&missing));
    }
    return NULL;
}

static json_t *drop(ApiCall *call, GError **error)
{
    bool existed = false;
    const char *id = call_string(call, "id");
    if (store_drop(store(call), COLLECTION, id, &existed, error) && !existed)
        api_error_no_such(error, id, "cloud config");
    return NULL;
}

/* They hold the first passwords of machines. */
#define TEXTS PARAMS(REQ(STR("name")), REQ(SECRET("template")))

const Method methods_cloud_config[] = {
    { "cloudConfig.getAll", get_all, NULL, .access = ACCESS_USER, .example = "",
      .summary = "All cloud configurations." },
    { "cloudConfig.create", create, TEXTS, .example = "name=web template='#cloud-config'",
      .summary = "Keep a cloud configuration." },
    { "cloudConfig.update", update,
      PARAMS(REQ(STR("id")), OPT(STR("name")), OPT(SECRET("template"))),
      .example = "id=$CLOUD_CONFIG name='web servers'",
      .summary = "Change a cloud configuration." },
    { "cloudConfig.delete", drop, PARAMS(REQ(STR("id"))), .example = "id=$CLOUD_CONFIG",
      .summary = "Delete a cloud configuration." },
    { "cloudConfig.getAllNetworkConfigs", get_all_network, NULL, .access = ACCESS_USER,
      .example = "", .summary = "All cloud network configurations." },
    { "cloudConfig.createNetworkConfig", create_network, TEXTS,
      .example = "name=dhcp template='version: 2'",
      .summary = "Keep a cloud network configuration." },
    { NULL },
};
