/* message.*: what pools report of their objects. */
#include "api/method.h"
#include "api/objects.h"

static json_t *delete (ApiCall *call, GError **error)
{
    const ApiObject *message = call_object(call, "id");
    if (api_object_do(message, "message.destroy", NULL, error))
        api_object_barrier(message);
    return NULL;
}

const Method methods_message[] = {
    { "message.delete", delete, PARAMS(REQ(ID("id", "message", "administrate"))),
      .access = ACCESS_USER, .example = "id=$MESSAGE", .summary = "Delete a message of a pool." },
    { NULL },
};
