/* sm.*: the drivers of storages. */
#include "api/method.h"
#include "api/objects.h"

typedef struct {
    const char *type;
    char *id;
} Search;

static void look(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    json_t *sm = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    if (!search->id &&
        g_strcmp0(json_string_value(json_object_get(sm, "SM_type")), search->type) == 0)
        search->id = g_strdup(id);
    json_decref(sm);
}

/* The record in XAPI's words, as XO gives it. */
static json_t *get_from_sr(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "sr");
    Search search = { api_object_text(sr, "SR_type"), NULL };
    inventory_each(sr->inventory, "SM", look, &search);
    g_autofree char *id = search.id;
    if (!id) {
        err_set(error, ERR_NOT_FOUND, "the pool has no driver for storages of type %s, as SR %s is",
                search.type, api_object_text(sr, "name_label"));
        return NULL;
    }
    const ApiObject *sm = call_find(call, id, "SM", NULL, error);
    return sm ? xapi_call(api_object_xapi(sm), "SM.get_record", json_pack("[s]", sm->ref), error)
              : NULL;
}

const Method methods_sm[] = {
    { "sm.getFromSr", get_from_sr, PARAMS(REQ(ID("sr", "SR", "view"))), .access = ACCESS_USER,
      .example = "sr=$SR", .summary = "The driver that a storage is used through." },
    { NULL },
};
