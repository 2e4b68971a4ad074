/* All in memory, each written to the log when it begins and when it ends. */
#include "api/tasks.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/tasklog.h"

#define NAME_SPACE "tasks"

typedef struct {
    json_t *record;
    char *key; /* in the store's log; NULL: not written */
    Cancel *cancel;
    bool is_call; /* forgotten when it ends well */
} Entry;

struct Tasks {
    Store *store;
    GMutex mutex; /* guards what follows */
    GCond changed;
    GHashTable *entries; /* id → Entry */
    guint64 n_changes;
};

static void entry_free(void *data)
{
    Entry *entry = data;
    json_decref(entry->record);
    g_clear_pointer(&entry->cancel, cancel_unref);
    g_free(entry->key);
    g_free(entry);
}

static json_int_t now_ms(void)
{
    return g_get_real_time() / 1000;
}

static bool is_pending(json_t *record)
{
    return g_str_equal(json_text(record, "status"), "pending");
}

/* A task that cannot be written is lost at the next start, and works until then. */
static void write_entry(Tasks *tasks, const Entry *entry)
{
    g_autoptr(GError) error = NULL;
    if (entry->key && !store_log_set(tasks->store, NAME_SPACE, entry->key, entry->record, &error))
        log_warning("api", "task %s: %s", json_text(entry->record, "id"), error->message);
}

/* The mutex is held. */
static void wake(Tasks *tasks)
{
    tasks->n_changes++;
    g_cond_broadcast(&tasks->changed);
}

static void note(Tasks *tasks, Entry *entry)
{
    json_object_set_new(entry->record, "updatedAt", json_integer(now_ms()));
    wake(tasks);
}

static void touch(Tasks *tasks, Entry *entry)
{
    note(tasks, entry);
    write_entry(tasks, entry);
}

/* Steps that nobody has ended end with the whole. */
static void end_steps(json_t *record, const char *status)
{
    size_t i;
    json_t *step;
    json_array_foreach (json_object_get(record, "tasks"), i, step) {
        if (!is_pending(step))
            continue;
        json_object_set_new(step, "status", json_string(status));
        json_object_set_new(step, "end", json_integer(now_ms()));
    }
}

/* --- Life --- */

static void load(Tasks *tasks)
{
    json_t *stored = store_log_list(tasks->store, NAME_SPACE, 0, 0, TASKS_KEPT, NULL);
    const char *key;
    json_t *record;
    json_object_foreach (stored, key, record) {
        Entry *entry = g_new0(Entry, 1);
        entry->record = json_incref(record);
        entry->key = g_strdup(key);
        g_hash_table_replace(tasks->entries, g_strdup(json_text(record, "id")), entry);
        if (is_pending(record) && !MUTANT(tasks_pending_for_ever)) { /* mutant: api_tasks */
            json_object_set_new(record, "status", json_string("interrupted"));
            end_steps(record, "interrupted");
            touch(tasks, entry);
        }
    }
    json_decref(stored);
}

Tasks *tasks_new(Store *store)
{
    Tasks *tasks = g_new0(Tasks, 1);
    tasks->store = store;
    g_mutex_init(&tasks->mutex);
    g_cond_init(&tasks->changed);
    tasks->entries = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, entry_free);
    load(tasks);
    return tasks;
}

void tasks_free(Tasks *tasks)
{
    g_hash_table_unref(tasks->entries);
    g_mutex_clear(&tasks->mutex);
    g_cond_clear(&tasks->changed);
    g_free(tasks);
}

/* The mutex is held. Ids begin with the time. */
static GList *sorted_ids(Tasks *tasks)
{
    return g_list_sort(g_hash_table_get_keys(tasks->entries), (GCompareFunc) g_strcmp0);
}

/* The mutex is held: forgets the oldest that have ended, some at a time. */
static void trim(Tasks *tasks)
{
    if (g_hash_table_size(tasks->entries) <= TASKS_KEPT + TASKS_KEPT / 10)
        return;
    g_autoptr(GList) ids = sorted_ids(tasks);
    for (GList *id = ids; id && g_hash_table_size(tasks->entries) > TASKS_KEPT; id = id->next) {
        Entry *entry = g_hash_table_lookup(tasks->entries, id->data);
        if (!is_pending(entry->record))
            g_hash_table_remove(tasks->entries, id->data);
    }
    store_log_trim(tasks->store, NAME_SPACE, TASKS_KEPT, NULL);
}

/* --- Changing --- */

static json_t *new_record(const char *id, json_t *properties)
{
    return json_pack("{s:s, s:o, s:I, s:s}", "id", id, "properties", properties, "start", now_ms(),
                     "status", "pending");
}

static char *begin(Tasks *tasks, json_t *properties, bool is_call)
{
    char *id = tasklog_id(now_ms());
    Entry *entry = g_new0(Entry, 1);
    entry->record = new_record(id, properties);
    entry->is_call = is_call;
    entry->cancel = cancel_new();
    if (!is_call)
        entry->key = store_log_add(tasks->store, NAME_SPACE, now_ms(), entry->record, NULL);
    g_mutex_lock(&tasks->mutex);
    g_hash_table_replace(tasks->entries, g_strdup(id), entry);
    touch(tasks, entry);
    trim(tasks);
    g_mutex_unlock(&tasks->mutex);
    return id;
}

char *tasks_begin(Tasks *tasks, json_t *properties)
{
    return begin(tasks, properties, false);
}

char *tasks_begin_call(Tasks *tasks, json_t *properties)
{
    return begin(tasks, properties, true);
}

/* The mutex is held. */
static Entry *pending_entry(Tasks *tasks, const char *id)
{
    Entry *entry = g_hash_table_lookup(tasks->entries, id);
    return entry && is_pending(entry->record) ? entry : NULL;
}

Cancel *tasks_cancel(Tasks *tasks, const char *id)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = pending_entry(tasks, id);
    Cancel *cancel = entry && entry->cancel ? cancel_ref(entry->cancel) : NULL;
    g_mutex_unlock(&tasks->mutex);
    return cancel;
}

/* Is not written down: what a crash leaves of it, nobody needs. */
void tasks_progress(Tasks *tasks, const char *id, double done)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = pending_entry(tasks, id);
    json_t *properties = entry ? json_object_get(entry->record, "properties") : NULL;
    json_int_t percent = (json_int_t) (CLAMP(done, 0, 1) * 100);
    if (properties && percent > json_integer_value(json_object_get(properties, "progress"))) {
        json_object_set_new(properties, "progress", json_integer(percent));
        note(tasks, entry);
    }
    g_mutex_unlock(&tasks->mutex);
}

char *tasks_begin_step(Tasks *tasks, const char *id, json_t *properties)
{
    char *step = tasklog_id(now_ms());
    json_t *record = new_record(step, properties);
    g_mutex_lock(&tasks->mutex);
    Entry *entry = pending_entry(tasks, id);
    if (entry && !json_object_get(entry->record, "tasks"))
        json_object_set_new(entry->record, "tasks", json_array());
    if (entry) {
        json_array_append(json_object_get(entry->record, "tasks"), record);
        touch(tasks, entry);
    }
    g_mutex_unlock(&tasks->mutex);
    json_decref(record);
    return step;
}

void tasks_end_step(Tasks *tasks, const char *id, const char *step, bool success)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = pending_entry(tasks, id);
    size_t i;
    json_t *record;
    json_array_foreach (entry ? json_object_get(entry->record, "tasks") : NULL, i, record) {
        if (!g_str_equal(json_text(record, "id"), step))
            continue;
        json_object_set_new(record, "status", json_string(success ? "success" : "failure"));
        json_object_set_new(record, "end", json_integer(now_ms()));
    }
    if (entry)
        touch(tasks, entry);
    g_mutex_unlock(&tasks->mutex);
}

/* The mutex is held. */
static void end(Tasks *tasks, Entry *entry, bool success, json_t *result)
{
    const char *status = success ? "success" : "failure";
    json_object_set_new(entry->record, "status", json_string(status));
    json_object_set_new(entry->record, "end", json_integer(now_ms()));
    end_steps(entry->record, status);
    if (result)
        json_object_set(entry->record, "result", result);
    if (entry->is_call)
        entry->key = store_log_add(tasks->store, NAME_SPACE, now_ms(), entry->record, NULL);
    touch(tasks, entry);
}

void tasks_end(Tasks *tasks, const char *id, bool success, json_t *result)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = g_hash_table_lookup(tasks->entries, id);
    if (entry && entry->is_call && success) {
        g_hash_table_remove(tasks->entries, id);
        wake(tasks);
    } else if (entry) {
        end(tasks, entry, success, result);
    }
    g_mutex_unlock(&tasks->mutex);
    json_decref(result);
}

bool tasks_ask_to_abort(Tasks *tasks, const char *id)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = pending_entry(tasks, id);
    if (entry) {
        json_object_set_new(entry->record, "abortionRequestedAt", json_integer(now_ms()));
        touch(tasks, entry);
        if (!MUTANT(tasks_abort_is_words)) /* mutant: api_tasks */
            cancel_set(entry->cancel);
    }
    g_mutex_unlock(&tasks->mutex);
    return entry != NULL;
}

bool tasks_drop(Tasks *tasks, const char *id)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = g_hash_table_lookup(tasks->entries, id);
    bool found = entry && !is_pending(entry->record);
    if (found) {
        if (entry->key)
            store_log_drop(tasks->store, NAME_SPACE, entry->key, NULL);
        g_hash_table_remove(tasks->entries, id);
        wake(tasks);
    }
    g_mutex_unlock(&tasks->mutex);
    return found;
}

/* --- Looking --- */

json_t *tasks_get(Tasks *tasks, const char *id)
{
    g_mutex_lock(&tasks->mutex);
    Entry *entry = g_hash_table_lookup(tasks->entries, id);
    json_t *copy = entry ? json_deep_copy(entry->record) : NULL;
    g_mutex_unlock(&tasks->mutex);
    return copy;
}

json_t *tasks_list(Tasks *tasks)
{
    json_t *list = json_array();
    g_mutex_lock(&tasks->mutex);
    g_autoptr(GList) ids = sorted_ids(tasks);
    for (GList *id = ids; id; id = id->next) {
        Entry *entry = g_hash_table_lookup(tasks->entries, id->data);
        json_array_append_new(list, json_deep_copy(entry->record));
    }
    g_mutex_unlock(&tasks->mutex);
    return list;
}

guint64 tasks_changes(Tasks *tasks, guint64 seen, unsigned timeout_ms)
{
    gint64 until = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    g_mutex_lock(&tasks->mutex);
    while (tasks->n_changes <= seen && g_cond_wait_until(&tasks->changed, &tasks->mutex, until))
        ;
    guint64 n = tasks->n_changes;
    g_mutex_unlock(&tasks->mutex);
    return n;
}
