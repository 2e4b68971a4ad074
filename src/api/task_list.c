/* One shape for two sources: the tasks in memory, and the logs of runs. */
#include "api/task_list.h"
#include "api/error.h"
#include "base/error.h"
#include "base/json_text.h"

#include <string.h>

#define DAY_MS ((gint64) 86400 * 1000)

/* --- Shapes --- */

static void move(json_t *from, const char *key, json_t *to, const char *new_key)
{
    json_t *value = json_object_get(from, key);
    if (value)
        json_object_set(to, new_key, value);
    json_object_del(from, key);
}

/* A node of a run's log as a task: its words and its data become properties. */
static void make_task(json_t *node)
{
    json_t *data = json_object_get(node, "data");
    json_t *properties = json_is_object(data) ? json_copy(data) : json_object();
    move(node, "message", properties, "name");
    json_object_del(node, "data");
    json_object_set_new(node, "properties", properties);
    size_t i;
    json_t *child;
    json_array_foreach (json_object_get(node, "tasks"), i, child)
        make_task(child);
}

json_t *task_of_run(json_t *log)
{
    if (!g_str_equal(json_text(log, "message"), "backup")) {
        make_task(log);
        return log;
    }
    json_t *data = json_incref(json_object_get(log, "data"));
    json_t *own = json_pack("{s:s, s:O*, s:s, s:s, s:O*}", "name", "backup run", "data", data,
                            "event", "job.start", "type", "backup", "runJobId",
                            json_object_get(log, "id"));
    json_decref(data);
    move(log, "jobId", own, "jobId");
    move(log, "jobName", own, "jobName");
    move(log, "scheduleId", own, "scheduleId");
    make_task(log);
    json_object_set_new(log, "properties", own);
    return log;
}

/* --- Which there are --- */

static bool is_shown(const TaskReader *reader, json_t *task)
{
    json_t *of = json_object_get(json_object_get(task, "properties"), "userId");
    return reader->is_admin || (of && json_equal(of, json_object_get(reader->user, "id")));
}

json_t *task_list_get(const TaskReader *reader, const char *id)
{
    json_t *task = tasks_get(reader->parts->tasks, id);
    json_t *log = task || !reader->is_admin ? NULL : runs_log(reader->parts->runs, id, NULL);
    if (log)
        task = task_of_run(log);
    if (task && is_shown(reader, task))
        return task;
    json_decref(task);
    return NULL;
}

static bool is_about(json_t *task, const char *about)
{
    return !about || g_str_equal(json_text(json_object_get(task, "properties"), "objectId"), about);
}

bool task_list_each(const TaskReader *reader, const char *about, TaskSeen seen, void *user)
{
    json_t *list = tasks_list(reader->parts->tasks), *task;
    bool goes_on = true;
    size_t i;
    json_array_foreach (list, i, task)
        if (goes_on && is_shown(reader, task) && is_about(task, about))
            goes_on = seen(task, user);
    json_decref(list);
    return goes_on;
}

GPtrArray *task_list_runs(const ApiParts *parts, GError **error)
{
    gint64 now_ms = g_get_real_time() / 1000;
    return runs_log_ids(parts->runs, now_ms - TASK_RUN_DAYS * DAY_MS, 0, error);
}

bool task_list_each_run(const TaskReader *reader, TaskSeen seen, void *user, GError **error)
{
    if (!reader->is_admin)
        return true;
    g_autoptr(GPtrArray) ids = task_list_runs(reader->parts, error);
    bool goes_on = true;
    for (unsigned i = 0; ids && goes_on && i < ids->len; i++) {
        json_t *log = runs_log(reader->parts->runs, ids->pdata[i], NULL);
        json_t *task = log ? task_of_run(log) : NULL;
        goes_on = !task || seen(task, user);
        json_decref(task);
    }
    return ids != NULL;
}

bool task_list_abort(const TaskReader *reader, const char *id, GError **error)
{
    json_t *task = task_list_get(reader, id);
    bool is_there = task != NULL;
    json_decref(task);
    if (!is_there)
        api_error_no_such(error, id, "task");
    else if (runs_is_going(reader->parts->runs, id))
        return runs_cancel(reader->parts->runs, id, error);
    else if (!tasks_ask_to_abort(reader->parts->tasks, id))
        err_set(error, ERR_STATE, "the task %s has ended", id);
    else
        return true;
    return false;
}
