/* The live tree: nodes are jansson objects already in XO's shape, found by id in a table. Every
 * change, ours or from the other side, is first an event and then applied by the same code, so the
 * two trees cannot differ. */
#include "base/tasklog.h"

#include "base/mutant.h"
#include "base/taskview.h"

#include <pthread.h>
#include <string.h>

enum { PROGRESS_MS = 5000 };

struct Task {
    TaskLog *log;
    char *id;
    double progress; /* last said; -1: never */
    gint64 progress_ms;
    bool is_root;
};

struct TaskLog {
    pthread_mutex_t lock;
    GHashTable *nodes; /* id → json_t, borrowed from the tree; only tasks that have not ended */
    json_t *root;
    unsigned n_tasks;
    bool keeps_nothing;
    TaskSpool *spool; /* the text of: */
    GArray *ended;    /* SpooledTask: children of the root that are no longer in it */
    Task root_task;
    TaskEventSeen seen;
    void *user;
};

static gint64 now_ms(void)
{
    return g_get_real_time() / 1000;
}

char *tasklog_id(gint64 ms)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char id[21];
    for (int i = 8; i >= 0; i--, ms /= 36)
        id[i] = digits[ms % 36];
    id[9] = '-';
    for (int i = 10; i < 20; i++)
        id[i] = digits[g_random_int_range(0, 36)];
    id[20] = '\0';
    return g_strdup(id);
}

/* --- Applying events --- */

static json_t *node_new(const char *id, const char *name, json_t *data, gint64 start_ms)
{
    json_t *node = json_pack("{s:s, s:s, s:I, s:s}", "id", id, "message", name ? name : "", "start",
                             (json_int_t) start_ms, "status", "pending");
    if (json_object_size(data) > 0)
        json_object_set_new(node, "data", json_deep_copy(data));
    return node;
}

static json_t *member(json_t *node, const char *name, json_t *(*make)(void) )
{
    json_t *value = json_object_get(node, name);
    if (!value) {
        value = make();
        json_object_set_new(node, name, value);
    }
    return value;
}

static bool apply_start(TaskLog *log, json_t *event, const char *id, gint64 time_ms)
{
    const char *parent_id = json_string_value(json_object_get(event, "parentId"));
    json_t *parent = parent_id ? g_hash_table_lookup(log->nodes, parent_id) : NULL;
    if (!parent || g_hash_table_contains(log->nodes, id))
        return false;
    if (log->n_tasks >= TASKLOG_MAX_TASKS)
        return true;
    const char *name = json_string_value(json_object_get(event, "name"));
    json_t *node = node_new(id, name, json_object_get(event, "properties"), time_ms);
    json_array_append_new(member(parent, "tasks", json_array), node);
    g_hash_table_insert(log->nodes, g_strdup(id), node);
    log->n_tasks++;
    return true;
}

static bool apply_note(json_t *node, json_t *event, const char *list)
{
    json_t *notes = member(node, list, json_array);
    if (json_array_size(notes) >= TASKLOG_MAX_NOTES)
        return true;
    json_t *note = json_object();
    static const char *const kept[] = { "message", "data" };
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++) {
        json_t *value = json_object_get(event, kept[i]);
        if (value)
            json_object_set_new(note, kept[i], json_deep_copy(value));
    }
    json_array_append_new(notes, note);
    return true;
}

static bool apply_property(json_t *node, json_t *event)
{
    const char *name = json_string_value(json_object_get(event, "name"));
    json_t *value = json_object_get(event, "value");
    if (!name || !value)
        return false;
    return json_object_set_new(member(node, "data", json_object), name, json_deep_copy(value)) == 0;
}

/* Forgets the ids of what is about to become text. */
static void forget(TaskLog *log, json_t *node)
{
    gsize i;
    json_t *child;
    const char *id = json_string_value(json_object_get(node, "id"));
    if (id)
        g_hash_table_remove(log->nodes, id);
    json_array_foreach (json_object_get(node, "tasks"), i, child)
        forget(log, child);
}

/* A child of the root that has ended becomes text, except where retries must still be compared. */
static void compact(TaskLog *log, json_t *node)
{
    json_t *children = json_object_get(log->root, "tasks");
    gsize i = json_array_size(children);
    while (i > 0 && json_array_get(children, i - 1) != node)
        i--;
    if (i == 0 || task_takes_part_in_retry(node, children))
        return;
    forget(log, node);
    SpooledTask spooled = task_spool(node, log->spool);
    g_array_append_val(log->ended, spooled);
    json_array_remove(children, i - 1);
}

static bool apply_end(TaskLog *log, json_t *node, json_t *event, const char *id, gint64 time_ms)
{
    json_t *status = json_object_get(event, "status");
    json_t *result = json_object_get(event, "result");
    if (!json_is_string(status))
        return false;
    json_object_set(node, "status", status);
    json_object_set_new(node, "end", json_integer(time_ms));
    if (result)
        json_object_set_new(node, "result", json_deep_copy(result));
    g_hash_table_remove(log->nodes, id);
    compact(log, node);
    return true;
}

static bool apply(TaskLog *log, json_t *event)
{
    const char *id = json_string_value(json_object_get(event, "id"));
    const char *type = json_string_value(json_object_get(event, "type"));
    gint64 time_ms = json_integer_value(json_object_get(event, "timestamp"));
    if (!id || !type || time_ms <= 0)
        return false;
    if (strcmp(type, "start") == 0)
        return apply_start(log, event, id, time_ms);
    json_t *node = g_hash_table_lookup(log->nodes, id);
    if (!node)
        return false;
    if (strcmp(type, "info") == 0)
        return apply_note(node, event, "infos");
    if (strcmp(type, "warning") == 0)
        return apply_note(node, event, "warnings");
    if (strcmp(type, "property") == 0)
        return apply_property(node, event);
    return strcmp(type, "end") == 0 && apply_end(log, node, event, id, time_ms);
}

bool tasklog_apply(TaskLog *log, json_t *event)
{
    pthread_mutex_lock(&log->lock);
    bool ok = apply(log, event);
    pthread_mutex_unlock(&log->lock);
    return ok;
}

/* --- The log --- */

TaskLog *tasklog_new(const char *id, const char *name, json_t *data, gint64 start_ms,
                     TaskEventSeen seen, void *user)
{
    TaskLog *log = g_new0(TaskLog, 1);
    pthread_mutex_init(&log->lock, NULL);
    log->nodes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    log->root = node_new(id, name, data, start_ms);
    json_decref(data);
    g_hash_table_insert(log->nodes, g_strdup(id), log->root);
    log->root_task = (Task){ .log = log, .id = g_strdup(id), .progress = -1, .is_root = true };
    log->spool = task_spool_new(NULL);
    log->ended = g_array_new(FALSE, FALSE, sizeof(SpooledTask));
    log->seen = seen;
    log->user = user;
    return log;
}

void tasklog_spool(TaskLog *log, const char *folder)
{
    task_spool_free(log->spool);
    log->spool = task_spool_new(folder);
}

void tasklog_keep_nothing(TaskLog *log)
{
    log->keeps_nothing = true;
}

void tasklog_free(TaskLog *log)
{
    if (!log)
        return;
    g_hash_table_destroy(log->nodes);
    json_decref(log->root);
    g_free(log->root_task.id);
    task_spool_free(log->spool);
    g_array_unref(log->ended);
    pthread_mutex_destroy(&log->lock);
    g_free(log);
}

Task *tasklog_root(TaskLog *log)
{
    return &log->root_task;
}

/* The lock is held. */
static json_t *arranged_copy(TaskLog *log, bool running)
{
    json_t *copy = json_deep_copy(log->root);
    json_t *children = log->ended->len ? member(copy, "tasks", json_array) : NULL;
    for (unsigned i = 0; i < log->ended->len; i++)
        json_array_append_new(children, task_spooled(&g_array_index(log->ended, SpooledTask, i)));
    return task_arrange(copy, running);
}

json_t *tasklog_view(TaskLog *log, bool running)
{
    pthread_mutex_lock(&log->lock);
    json_t *view = task_expand(arranged_copy(log, running), log->spool);
    pthread_mutex_unlock(&log->lock);
    return view;
}

char *tasklog_text(TaskLog *log, bool running, json_t *header)
{
    pthread_mutex_lock(&log->lock);
    json_t *copy = arranged_copy(log, running);
    json_object_update(copy, header);
    char *text = task_text(copy, log->spool);
    pthread_mutex_unlock(&log->lock);
    json_decref(copy);
    return text;
}

/* --- Going on --- */

/* The lock is held, or nobody else knows the log. */
static void interrupt_children(TaskLog *log, const char *reason)
{
    gsize i;
    json_t *child;
    json_array_foreach (json_object_get(log->root, "tasks"), i, child)
        if (task_interrupt(child, now_ms(), reason))
            forget(log, child);
}

static json_t *resumed_event(const TaskLog *log, const char *reason)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:{s:s}}", "id", log->root_task.id, "type", "info",
                     "timestamp", (json_int_t) now_ms(), "message", TASKLOG_RESUMED, "data",
                     "reason", reason);
}

void tasklog_interrupt(TaskLog *log, const char *reason)
{
    json_t *event = resumed_event(log, reason);
    pthread_mutex_lock(&log->lock);
    interrupt_children(log, reason);
    apply(log, event);
    pthread_mutex_unlock(&log->lock);
    json_decref(event);
}

static unsigned count_tasks(json_t *node)
{
    gsize i;
    json_t *child;
    unsigned n = 1;
    json_array_foreach (json_object_get(node, "tasks"), i, child)
        n += count_tasks(child);
    return n;
}

TaskLog *tasklog_reopen(const char *id, json_t *stored, const char *folder)
{
    TaskLog *log = tasklog_new(id, "", NULL, 1, NULL, NULL);
    tasklog_spool(log, folder);
    const char *reason =
        json_string_value(json_object_get(json_object_get(stored, "result"), "message"));
    json_t *copy = json_deep_copy(stored);
    json_object_update(log->root, copy);
    json_decref(copy);
    json_object_set_new(log->root, "status", json_string("pending"));
    json_object_del(log->root, "end");
    json_object_del(log->root, "result");
    log->n_tasks = count_tasks(log->root) - 1;
    interrupt_children(log, reason ? reason : "");
    json_t *children = json_object_get(log->root, "tasks");
    for (gsize i = json_array_size(children); i-- > 0;)
        compact(log, json_array_get(children, i));
    json_t *event = resumed_event(log, reason ? reason : "");
    apply(log, event);
    json_decref(event);
    return log;
}

/* --- One task --- */

/* Takes `fields`. */
static void emit(TaskLog *log, const char *id, const char *type, json_t *fields)
{
    json_object_set_new(fields, "id", json_string(id));
    json_object_set_new(fields, "type", json_string(type));
    json_object_set_new(fields, "timestamp", json_integer(now_ms()));
    pthread_mutex_lock(&log->lock);
    if ((log->keeps_nothing || apply(log, fields)) && log->seen)
        log->seen(fields, log->user);
    pthread_mutex_unlock(&log->lock);
    json_decref(fields);
}

/* Takes `value`, which may be NULL. */
static json_t *with(json_t *fields, const char *name, json_t *value)
{
    if (value)
        json_object_set_new(fields, name, value);
    return fields;
}

Task *task_begin(Task *parent, const char *name, json_t *properties)
{
    if (!parent) {
        json_decref(properties);
        return NULL;
    }
    Task *task = g_new0(Task, 1);
    task->log = parent->log;
    task->id = tasklog_id(now_ms());
    task->progress = -1;
    json_t *fields = json_pack("{s:s, s:s}", "parentId", parent->id, "name", name);
    emit(task->log, task->id, "start", with(fields, "properties", properties));
    return task;
}

static void finish(Task *task, const char *status, json_t *result)
{
    json_t *fields = json_pack("{s:s}", "status", status);
    emit(task->log, task->id, "end", with(fields, "result", result));
    if (task->is_root)
        return;
    g_free(task->id);
    g_free(task);
}

void task_end(Task *task, json_t *result)
{
    if (task)
        finish(task, "success", result);
    else
        json_decref(result);
}

void task_fail(Task *task, const GError *error)
{
    if (task)
        finish(task, "failure", tasklog_error(error));
}

static void note(Task *task, const char *type, const char *message, json_t *data)
{
    if (task)
        emit(task->log, task->id, type, with(json_pack("{s:s}", "message", message), "data", data));
    else
        json_decref(data);
}

void task_info(Task *task, const char *message, json_t *data)
{
    note(task, "info", message, data);
}

void task_warning(Task *task, const char *message, json_t *data)
{
    note(task, "warning", message, data);
}

void task_property(Task *task, const char *name, json_t *value)
{
    if (task)
        emit(task->log, task->id, "property",
             with(json_pack("{s:s}", "name", name), "value", value));
    else
        json_decref(value);
}

void task_progress(Task *task, double percent)
{
    if (!task)
        return;
    gint64 now = g_get_monotonic_time() / 1000;
    bool step = task->progress < 0 || percent - task->progress >= 1 || percent >= 100;
    bool late = now - task->progress_ms >= PROGRESS_MS;
    if (percent == task->progress || !(step || late))
        return;
    task->progress = percent;
    task->progress_ms = now;
    task_property(task, "progress", json_integer((json_int_t) CLAMP(percent, 0, 100)));
}

const char *task_id(const Task *task)
{
    return task ? task->id : "";
}
