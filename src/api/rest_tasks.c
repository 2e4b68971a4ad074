/* Tasks: looking, waiting, watching, dropping. */
#include "api/rest_tasks.h"
#include "api/error.h"
#include "api/rest_list.h"
#include "api/task_list.h"
#include "base/error.h"
#include "base/json_text.h"

#include <string.h>

/* --- Which there are --- */

static TaskReader reader_of(const RestRequest *request)
{
    return (TaskReader){ request->parts, request->user, request->is_admin };
}

static json_t *get_task(RestRequest *request, const char *id)
{
    TaskReader reader = reader_of(request);
    return task_list_get(&reader, id);
}

char *rest_one_task(RestRequest *request, const char *id, GError **error)
{
    json_t *task = get_task(request, id);
    char *text = task ? json_dumps(task, JSON_COMPACT) : NULL;
    if (!task)
        api_error_no_such(error, id, "task");
    json_decref(task);
    return text;
}

typedef struct {
    RestSeen seen;
    void *user;
} Seen;

static bool see_text(json_t *task, void *user)
{
    const Seen *seen = user;
    g_autofree char *text = json_dumps(task, JSON_COMPACT);
    return seen->seen(json_text(task, "id"), text, strlen(text), seen->user);
}

/* `about` NULL: all. */
static bool each_own(RestRequest *request, const char *about, RestSeen seen, void *user)
{
    TaskReader reader = reader_of(request);
    Seen seen_text = { seen, user };
    return task_list_each(&reader, about, see_text, &seen_text);
}

bool rest_each_task(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error)
{
    TaskReader reader = reader_of(request);
    Seen seen_text = { seen, user };
    return !each_own(request, NULL, seen, user) ||
           task_list_each_run(&reader, see_text, &seen_text, error);
}

bool rest_each_own_task(RestRequest *request, const RestCollection *collection, RestSeen seen,
                        void *user, GError **error)
{
    each_own(request, rest_arg(request, "id"), seen, user);
    return true;
}

/* --- Waiting --- */

bool rest_wait_begin(RestRequest *request)
{
    if (g_atomic_int_add(&request->rest->n_waiting, 1) < REST_MAX_WAITING)
        return true;
    rest_wait_end(request);
    rest_refuse(request, 503, "too many requests are waiting", NULL);
    return false;
}

void rest_wait_end(RestRequest *request)
{
    g_atomic_int_add(&request->rest->n_waiting, -1);
}

/* Until the task is not pending any more, or the client has gone. */
static void wait_for(RestRequest *request, const char *id)
{
    guint64 seen = tasks_changes(request->parts->tasks, 0, 0);
    while (!http_client_left(request->http)) {
        json_t *task = get_task(request, id);
        bool pending = task && g_str_equal(json_text(task, "status"), "pending");
        json_decref(task);
        if (!pending)
            return;
        seen = tasks_changes(request->parts->tasks, seen, REST_WAIT_STEP_MS);
    }
}

static void get_one(RestRequest *request)
{
    const char *id = rest_arg(request, "id");
    g_autoptr(GError) error = NULL;
    if (rest_flag(request, "wait")) {
        if (!rest_wait_begin(request))
            return;
        wait_for(request, id);
        rest_wait_end(request);
    }
    g_autofree char *text = rest_one_task(request, id, &error);
    if (text)
        http_reply_text(request->http, 200, "application/json; charset=utf-8", text);
    else
        rest_fail(request, error);
}

/* --- Watching --- */

struct RestTaskWatch {
    GHashTable *known; /* id → text, as it was told last */
    GHashTable *now;   /* ids that are there */
    GHashTable *ended; /* ids of runs that will not change any more */
    RestTaskNews tell;
    void *user;
};

RestTaskWatch *rest_task_watch_new(void)
{
    RestTaskWatch *watch = g_new0(RestTaskWatch, 1);
    watch->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    watch->now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    watch->ended = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return watch;
}

void rest_task_watch_free(RestTaskWatch *watch)
{
    g_hash_table_unref(watch->known);
    g_hash_table_unref(watch->now);
    g_hash_table_unref(watch->ended);
    g_free(watch);
}

static bool watch_one(const char *id, const char *text, size_t n, void *user)
{
    RestTaskWatch *watch = user;
    const char *old = g_hash_table_lookup(watch->known, id);
    const char *event = old ? "update" : "add";
    g_hash_table_add(watch->now, g_strdup(id));
    if (g_strcmp0(old, text) == 0)
        return true;
    g_hash_table_replace(watch->known, g_strdup(id), g_strdup(text));
    return watch->tell(event, id, text, n, watch->user);
}

/* A run is looked at until it has ended: there may be many old ones. */
static bool watch_runs(RestRequest *request, RestTaskWatch *watch)
{
    g_autoptr(GPtrArray) ids = task_list_runs(request->parts, NULL);
    Seen seen = { watch_one, watch };
    bool goes_on = true;
    for (unsigned i = 0; ids && goes_on && i < ids->len; i++) {
        const char *id = ids->pdata[i];
        g_hash_table_add(watch->now, g_strdup(id));
        json_t *log = g_hash_table_contains(watch->ended, id)
                          ? NULL
                          : runs_log(request->parts->runs, id, NULL);
        if (log && json_object_get(log, "end"))
            g_hash_table_add(watch->ended, g_strdup(id));
        json_t *task = log ? task_of_run(log) : NULL;
        goes_on = !task || see_text(task, &seen);
        json_decref(task);
    }
    return goes_on;
}

static bool watch_gone(RestTaskWatch *watch)
{
    GHashTableIter iter;
    void *id, *text;
    bool goes_on = true;
    g_hash_table_iter_init(&iter, watch->known);
    while (goes_on && g_hash_table_iter_next(&iter, &id, &text)) {
        if (g_hash_table_contains(watch->now, id))
            continue;
        goes_on = watch->tell("remove", id, text, strlen(text), watch->user);
        g_hash_table_iter_remove(&iter);
    }
    g_hash_table_remove_all(watch->now);
    return goes_on;
}

bool rest_task_watch_step(RestTaskWatch *watch, RestRequest *request, RestTaskNews tell, void *user)
{
    watch->tell = tell;
    watch->user = user;
    return each_own(request, NULL, watch_one, watch) &&
           (!request->is_admin || watch_runs(request, watch)) && watch_gone(watch);
}

/* Over REST a new task is an update, too. */
static bool tell_list(const char *event, const char *id, const char *text, size_t n, void *user)
{
    const char *word = g_str_equal(event, "remove") ? event : "update";
    return rest_list_tell(user, word, id, text, n);
}

static void watch_tasks(RestRequest *request, const RestQuery *query)
{
    RestList *list = rest_list_new(request, query, "tasks");
    RestTaskWatch *watch = rest_task_watch_new();
    guint64 seen = tasks_changes(request->parts->tasks, 0, 0);
    bool goes_on = rest_list_flush(list);
    while (goes_on && !http_client_left(request->http)) {
        goes_on = rest_task_watch_step(watch, request, tell_list, list);
        seen = tasks_changes(request->parts->tasks, seen, REST_WAIT_STEP_MS);
    }
    rest_list_end(list);
    rest_task_watch_free(watch);
}

static void get_all(RestRequest *request)
{
    g_auto(RestQuery) query = { .limit = -1 };
    if (!rest_flag(request, "watch") || g_str_equal(http_method(request->http), "HEAD")) {
        rest_list_items(request, rest_collection_find("tasks"));
    } else if (!rest_flag(request, "ndjson")) {
        rest_refuse(request, 400, "watch=true needs ndjson=true", NULL);
    } else if (rest_query_read(request, &query) && rest_wait_begin(request)) {
        watch_tasks(request, &query);
        rest_wait_end(request);
    }
}

/* --- Ending and dropping --- */

static bool drop(RestRequest *request, const char *id)
{
    return tasks_drop(request->parts->tasks, id) ||
           (request->is_admin && !runs_is_going(request->parts->runs, id) &&
            runs_delete_log(request->parts->runs, id, NULL));
}

static bool drop_seen(const char *id, const char *text, size_t n, void *user)
{
    tasks_drop(((RestRequest *) user)->parts->tasks, id);
    return true;
}

static void drop_one(RestRequest *request)
{
    const char *id = rest_arg(request, "id");
    g_autoptr(GError) error = NULL;
    json_t *task = get_task(request, id);
    if (task && drop(request, id)) {
        rest_reply_nothing(request);
    } else {
        if (task)
            err_set(&error, ERR_STATE, "the task %s has not ended", id);
        else
            api_error_no_such(&error, id, "task");
        rest_fail(request, error);
    }
    json_decref(task);
}

/* The logs of runs stay: they are dropped one by one. */
static void drop_all(RestRequest *request)
{
    each_own(request, NULL, drop_seen, request);
    rest_reply_nothing(request);
}

static bool abort_task(RestRequest *request, GError **error)
{
    TaskReader reader = reader_of(request);
    return task_list_abort(&reader, rest_arg(request, "id"), error);
}

static void abort_one(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    if (abort_task(request, &error))
        rest_reply_nothing(request);
    else
        rest_fail(request, error);
}

/* Not in XO, but called by its Go client. */
static void abort_for_go(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    if (abort_task(request, &error))
        rest_reply(request, 200, json_pack("{s:b}", "success", 1));
    else
        rest_fail(request, error);
}

const RestRoute rest_task_routes[] = {
    { "GET", "tasks", get_all,
      .summary = "What lasts: actions and runs; watch=true with ndjson=true goes on.",
      .shape = REST_LIST, .example = "limit=2" },
    { "GET", "tasks/{id}", get_one, .summary = "One task; wait=true waits for its end.",
      .example = "$TASK wait=true" },
    { "DELETE", "tasks", drop_all, .summary = "Forget the tasks that have ended.", .example = "" },
    { "DELETE", "tasks/{id}", drop_one, .summary = "Forget a task that has ended.",
      .example = "$TASK" },
    { "POST", "tasks/{id}/actions/abort", abort_one, .summary = "Ask a task to end.",
      .example = "$RUNNING_TASK" },
    { "POST", "tasks/{id}/abort", abort_for_go, .summary = "The same, for the Go client.",
      .example = "$RUNNING_TASK" },
    { NULL },
};
