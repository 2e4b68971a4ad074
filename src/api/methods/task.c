/* task.*: tasks of the pools. */
#include "api/method.h"

enum { BARRIER_MS = 10000 };

static void on_task(ApiCall *call, const char *verb, GError **error)
{
    const ApiObject *task = call_object(call, "id");
    Pool *pool = link_pool(task->link);
    if (xapi_do(pool_xapi(pool), verb, json_pack("[s]", task->ref), error))
        pool_barrier(pool, BARRIER_MS, NULL);
}

static json_t *cancel(ApiCall *call, GError **error)
{
    on_task(call, "task.cancel", error);
    return NULL;
}

static json_t *destroy(ApiCall *call, GError **error)
{
    on_task(call, "task.destroy", error);
    return NULL;
}

const Method methods_task[] = {
    { "task.cancel", cancel, PARAMS(REQ(ID("id", "task", "administrate"))), .access = ACCESS_USER,
      .example = "id=$POOL_TASK", .summary = "Cancel a task of a pool." },
    { "task.destroy", destroy, PARAMS(REQ(ID("id", "task", "administrate"))), .access = ACCESS_USER,
      .example = "id=$POOL_TASK", .summary = "Remove a task of a pool." },
    { NULL },
};
