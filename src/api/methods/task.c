/* task.*: tasks of the pools, and (get, getAll, abort) the server's own, as REST has them. */
#include "api/method.h"
#include "api/task_list.h"

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

/* --- Those of the server --- */

static TaskReader reader_of(ApiCall *call)
{
    return (TaskReader){ call_parts(call), call_user(call), account_is_admin(call_user(call)) };
}

static json_t *get(ApiCall *call, GError **error)
{
    TaskReader reader = reader_of(call);
    json_t *task = task_list_get(&reader, call_string(call, "id"));
    if (!task)
        api_error_no_such(error, call_string(call, "id"), "task");
    return task;
}

static bool add(json_t *task, void *list)
{
    json_array_append(list, task);
    return true;
}

static json_t *get_all(ApiCall *call, GError **error)
{
    TaskReader reader = reader_of(call);
    json_t *list = json_array();
    if (task_list_each(&reader, call_string(call, "objectId"), add, list) &&
        (call_string(call, "objectId") || task_list_each_run(&reader, add, list, error)))
        return list;
    json_decref(list);
    return NULL;
}

static json_t *abort_task(ApiCall *call, GError **error)
{
    TaskReader reader = reader_of(call);
    task_list_abort(&reader, call_string(call, "id"), error);
    return NULL;
}

const Method methods_task[] = {
    { "task.get", get, PARAMS(REQ(STR("id"))), .access = ACCESS_USER, .example = "id=$TASK",
      .summary = "A task of the server: a call that lasts, an action, a run." },
    { "task.getAll", get_all, PARAMS(OPT(STR("objectId"), .words = "only those about it")),
      .access = ACCESS_USER, .example = "",
      .summary = "The tasks of the server: all for administrators, else one's own." },
    { "task.abort", abort_task, PARAMS(REQ(STR("id"))), .access = ACCESS_USER,
      .example = "id=$RUNNING_TASK", .summary = "Ask a task of the server to end." },
    { "task.cancel", cancel, PARAMS(REQ(ID("id", "task", "administrate"))), .access = ACCESS_USER,
      .example = "id=$POOL_TASK", .summary = "Cancel a task of a pool." },
    { "task.destroy", destroy, PARAMS(REQ(ID("id", "task", "administrate"))), .access = ACCESS_USER,
      .example = "id=$POOL_TASK", .summary = "Remove a task of a pool." },
    { NULL },
};
