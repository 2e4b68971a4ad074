/* pbd.*: how a host reaches a storage. */
#include "api/method.h"
#include "api/objects.h"

static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *pbd = call_object(call, "id");
    if (api_object_do(pbd, method, NULL, error))
        api_object_barrier(pbd);
    return NULL;
}

static json_t *plug(ApiCall *call, GError **error)
{
    return act(call, "PBD.plug", error);
}

static json_t *unplug(ApiCall *call, GError **error)
{
    return act(call, "PBD.unplug", error);
}

static json_t *delete (ApiCall *call, GError **error)
{
    return act(call, "PBD.destroy", error);
}

const Method methods_pbd[] = {
    { "pbd.connect", plug, PARAMS(REQ(ID("id", "PBD", "administrate"))), .access = ACCESS_USER,
      .long_running = true, .example = "id=$UNPLUGGED_PBD",
      .summary = "Attach a storage to a host." },
    { "pbd.disconnect", unplug, PARAMS(REQ(ID("id", "PBD", "administrate"))), .access = ACCESS_USER,
      .long_running = true, .example = "id=$PLUGGED_PBD",
      .summary = "Detach a storage from a host." },
    { "pbd.delete", delete, PARAMS(REQ(ID("id", "PBD", "administrate"))), .access = ACCESS_USER,
      .example = "id=$UNPLUGGED_PBD", .summary = "Forget how a host reaches a storage." },
    { NULL },
};
