/* The task records: made, moved forward, ended in XAPI's order of writes. */
#include "sim/task.h"

#include "base/mutant.h"

#include "sim/inner.h"

#include <string.h>

enum { MAX_TASKS = 1000 };

/* XAPI forgets finished tasks after 65 minutes, and sooner when there are many. */
static void tasks_trim(Sim *sim)
{
    Obj *next;
    for (Obj *task = obj_first(sim, "task"); task != NULL && obj_count(sim, "task") > MAX_TASKS;
         task = next) {
        next = obj_next(task);
        if (obj_int(task, "finished") > 0)
            obj_drop(task);
    }
}

const char *sim_task_new(Sim *sim, const char *session, const char *label)
{
    tasks_trim(sim);
    Obj *task = obj_new(sim, "task");
    obj_put_str(task, "name_label", label);
    obj_put_str(task, "status", "pending");
    obj_put_str(task, "type", "<none/>");
    obj_put_int(task, "created", sim_now(sim));
    obj_put_ref(task, "resident_on", sim_master(sim));
    obj_set_add(task, "allowed_operations", "cancel");
    return obj_ref(task);
}

bool sim_task_is_pending(Sim *sim, const char *task)
{
    Obj *obj = obj_find(sim, "task", task);
    return obj != NULL && strcmp(obj_str(obj, "status"), "pending") == 0;
}

void sim_tasks_cancel(Sim *sim)
{
    for (Obj *task = obj_first(sim, "task"); task != NULL; task = obj_next(task))
        if (strcmp(obj_str(task, "status"), "pending") == 0)
            obj_map_put(task, "current_operations", "stop", "cancel");
}

bool sim_task_is_cancelled(Sim *sim, const char *task)
{
    Obj *obj = obj_find(sim, "task", task);
    if (obj == NULL)
        return false;
    const char *key, *value;
    for (guint i = 0; i < obj_map_size(obj, "current_operations"); i++) {
        obj_map_nth(obj, "current_operations", i, &key, &value);
        if (strcmp(value, "cancel") == 0)
            return true;
    }
    return strcmp(obj_str(obj, "status"), "cancelled") == 0;
}

void sim_task_progress(Sim *sim, const char *task, double done)
{
    Obj *obj = obj_find(sim, "task", task);
    if (obj != NULL && sim_task_is_pending(sim, task))
        obj_put_float(obj, "progress", CLAMP(done, 0, 1));
}

/* The writes of every ending: allowed_operations, finished, progress, [result], then the status. */
static void task_end(Obj *task, const char *result, const char *status)
{
    Sim *sim = obj_sim(task);
    obj_set_clear(task, "allowed_operations");
    obj_put_int(task, "finished", sim_now(sim));
    obj_put_float(task, "progress", 1);
    if (!MUTANT(sim_result_lost)) /* mutant: sim_api */
        obj_put_str(task, "result", result);
    obj_put_str(task, "status", status);
    const char *key, *value;
    for (guint i = 0; i < obj_map_size(task, "current_operations"); i++) {
        obj_map_nth(task, "current_operations", i, &key, &value);
        if (strcmp(value, "destroy") == 0) {
            obj_drop(task);
            return;
        }
    }
}

void sim_task_succeed(Sim *sim, const char *task, json_t *result)
{
    Obj *obj = obj_find(sim, "task", task);
    if (obj == NULL || !sim_task_is_pending(sim, task))
        return;
    Wire *wire = wire_new(true);
    if (result == NULL)
        wire_text_value(wire, "");
    else
        wire_json(wire, result);
    g_autoptr(GString) text = wire_finish(wire);
    task_end(obj, text->str, "success");
}

void sim_task_fail(Sim *sim, const char *task, const GError *cause)
{
    Obj *obj = obj_find(sim, "task", task);
    if (obj == NULL || !sim_task_is_pending(sim, task))
        return;
    bool cancelled = err_is(cause, ERR_CANCELLED) ||
                     strcmp(err_xapi_code(cause), "TASK_CANCELLED") == 0;
    json_t *info = cancelled ? json_pack("[ss]", "TASK_CANCELLED", task) : call_failure(cause);
    obj_put_json(obj, "error_info", info, NULL);
    json_decref(info);
    task_end(obj, "", cancelled ? "cancelled" : "failure");
}

/* --- The methods of class task --- */

static json_t *task_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const char *task = sim_task_new(sim, call_session(call), call_str(call, 0));
    obj_put_str(obj_find(sim, "task", task), "name_description", call_str(call, 1));
    return json_string(task);
}

static json_t *task_cancel(Call *call, GError **error)
{
    Obj *task = call_obj(call, 0, "task", error);
    if (task == NULL)
        return NULL;
    if (!obj_set_has(task, "allowed_operations", "cancel")) {
        sim_error(error, "OPERATION_NOT_ALLOWED", "The task cannot be cancelled", NULL);
        return NULL;
    }
    obj_map_put(task, "current_operations", call_task(call), "cancel");
    return call_void();
}

static json_t *task_destroy(Call *call, GError **error)
{
    Obj *task = call_obj(call, 0, "task", error);
    if (task == NULL)
        return NULL;
    if (strcmp(obj_str(task, "status"), "pending") == 0)
        obj_map_put(task, "current_operations", call_task(call), "destroy");
    else
        obj_drop(task);
    return call_void();
}

static json_t *task_set_status(Call *call, GError **error)
{
    Obj *task = call_obj(call, 0, "task", error);
    if (task == NULL)
        return NULL;
    const char *status = call_str(call, 1);
    if (strcmp(status, "pending") == 0 || strcmp(status, "cancelling") == 0)
        obj_put_str(task, "status", status);
    else
        task_end(task, obj_str(task, "result"), status);
    return call_void();
}

/* The fields that the owner of a task may drive. */
static json_t *task_set(Call *call, const char *field, GError **error)
{
    Obj *task = call_obj(call, 0, "task", error);
    if (task == NULL || !obj_put_json(task, field, call_param(call, 1), error))
        return NULL;
    return call_void();
}

static json_t *task_set_progress(Call *call, GError **error)
{
    return task_set(call, "progress", error);
}

static json_t *task_set_result(Call *call, GError **error)
{
    return task_set(call, "result", error);
}

static json_t *task_set_error_info(Call *call, GError **error)
{
    return task_set(call, "error_info", error);
}

const Method task_methods[] = {
    { "task.create", task_create },
    { "task.cancel", task_cancel },
    { "task.destroy", task_destroy },
    { "task.set_status", task_set_status },
    { "task.set_progress", task_set_progress },
    { "task.set_result", task_set_result },
    { "task.set_error_info", task_set_error_info },
    { NULL, NULL },
};
