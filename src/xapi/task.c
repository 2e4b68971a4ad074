/* Tasks of the pool: followed by event.from on that one task, with a look at its record whenever no
 * event says anything; destroyed once settled. */
#include "xapi/private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>
#include <time.h>

enum {
    TASK_MAX_MS = 24 * 3600 * 1000,
    TASK_POLL_S = 10,         /* one event.from */
    TASK_POLL_PAUSE_MS = 500, /* between looks when events do not work */
    TASK_MAX_LOST = 60,       /* looks that fail for the network, one each TASK_LOST_PAUSE_MS */
    TASK_LOST_PAUSE_MS = 5 * 1000,
    TASK_CANCEL_MS = 3 * 1000, /* for the pool to end what was cancelled */
    TASK_CANCEL_POLL_MS = 100,
    TASK_DESTROY_MS = 2 * 1000,
};

void task_state_clear(TaskState *state)
{
    g_clear_pointer(&state->record, json_decref);
}

static const char *status_of(const TaskState *state)
{
    const char *status = json_string_value(json_object_get(state->record, "status"));
    return status ? status : "";
}

static bool is_settled(const TaskState *state)
{
    const char *status = status_of(state);
    return state->gone || strcmp(status, "success") == 0 || strcmp(status, "failure") == 0 ||
           strcmp(status, "cancelled") == 0;
}

typedef struct {
    TaskState *state;
    const char *ref;
    bool seen;
} Watch;

static void take_event(const char *cls, const char *operation, const char *ref, json_t *record,
                       void *user)
{
    Watch *watch = user;
    if (strcmp(ref, watch->ref) != 0 || watch->state->gone) {
        json_decref(record);
        return;
    }
    watch->seen = true;
    if (!record) {
        watch->state->gone = !is_settled(watch->state);
        return;
    }
    json_decref(watch->state->record);
    watch->state->record = record;
}

/* Reads the record; a task that does not exist is gone. */
static bool look(Xapi *xapi, const char *task, TaskState *state, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *record = xapi_call(xapi, "task.get_record", json_pack("[s]", task), &failure);
    if (record) {
        json_decref(state->record);
        state->record = record;
        return true;
    }
    if (xapi_is_gone(failure)) {
        state->gone = !is_settled(state);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

typedef struct {
    char *token;
    bool no_events;
    unsigned n_lost;
} Following;

/* Waits for news of the task. A lost connection is waited out, a number of times. */
static bool follow(Xapi *xapi, const char *task, TaskState *state, Following *following,
                   unsigned left_ms, Cancel *cancel, GError **error)
{
    g_autofree char *cls = g_strconcat("task/", task, NULL);
    const char *const classes[] = { cls, NULL };
    Watch watch = { .state = state, .ref = task };
    XapiEventOps ops = { .event = take_event, .user = &watch };
    g_autoptr(GError) failure = NULL;
    double wait_s = MIN((double) TASK_POLL_S, left_ms / 1000.0);
    if (following->no_events)
        xapi_pause(MIN(TASK_POLL_PAUSE_MS, left_ms), cancel);
    else if (!xapi_events(xapi, classes, wait_s, &following->token, &ops, cancel, &failure))
        following->no_events = err_is(failure, ERR_XAPI) || err_is(failure, ERR_PROTOCOL);
    if (cancel_is_set(cancel) || watch.seen)
        return true;
    g_clear_error(&failure);
    if (look(xapi, task, state, &failure)) {
        following->n_lost = 0;
        return true;
    }
    if (!err_may_retry(failure) || ++following->n_lost > TASK_MAX_LOST) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    xapi_pause(MIN(TASK_LOST_PAUSE_MS, left_ms), cancel);
    return true;
}

static gint64 now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

bool task_watch(Xapi *xapi, const char *task, TaskState *state, unsigned timeout_ms, Cancel *cancel,
                void (*progress)(double done, void *user), void *user, GError **error)
{
    Following following = { 0 };
    gint64 deadline = now_ms() + timeout_ms;
    bool ok = true;
    while (ok && !is_settled(state) && !cancel_is_set(cancel)) {
        gint64 left_ms = deadline - now_ms();
        if (left_ms <= 0) {
            err_set(error, ERR_TIMEOUT, "the task %s did not end within %u s", task,
                    timeout_ms / 1000);
            ok = false;
            break;
        }
        ok = follow(xapi, task, state, &following, (unsigned) left_ms, cancel, error);
        if (ok && progress && state->record)
            progress(json_number_value(json_object_get(state->record, "progress")), user);
    }
    g_free(following.token);
    return ok && !cancel_check(cancel, "the task", error);
}

/* --- the result --- */

typedef struct {
    GString *text;
    bool nested; /* more than one value: kept as it came */
} ResultText;

static void result_begin(GMarkupParseContext *context, const char *name, const char **names,
                         const char **values, gpointer user, GError **error)
{
    ResultText *result = user;
    result->nested |= strcmp(name, "value") != 0 && strcmp(name, "string") != 0;
}

static void result_text(GMarkupParseContext *context, const char *text, gsize n, gpointer user,
                        GError **error)
{
    ResultText *result = user;
    g_string_append_len(result->text, text, (gssize) n);
}

/* "<value>OpaqueRef:…</value>" → "OpaqueRef:…"; arrays and structs stay XML; "" for void. */
static char *decode_result(const char *text)
{
    static const GMarkupParser parser = { .start_element = result_begin, .text = result_text };
    if (!g_str_has_prefix(text, "<value"))
        return g_strdup(text);
    ResultText result = { .text = g_string_new(NULL) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &result, NULL);
    bool ok = g_markup_parse_context_parse(context, text, -1, NULL) &&
              g_markup_parse_context_end_parse(context, NULL);
    g_markup_parse_context_free(context);
    bool simple = ok && !result.nested;
    char *inner = g_string_free(result.text, !simple);
    return simple ? inner : g_strdup(text);
}

char *task_result(const TaskState *state, const char *what, GError **error)
{
    const char *status = status_of(state);
    if (strcmp(status, "success") == 0) {
        const char *result = json_string_value(json_object_get(state->record, "result"));
        return decode_result(result ? result : "");
    }
    if (strcmp(status, "cancelled") == 0)
        err_set(error, ERR_CANCELLED, "%s was cancelled in the pool", what);
    else if (strcmp(status, "failure") == 0)
        xapi_set_refusal_json(error, what, json_object_get(state->record, "error_info"));
    else
        err_set(error, ERR_INTERRUPTED, "%s: its task has disappeared before it ended", what);
    return NULL;
}

/* A call whose answer is worth only so long a wait: it must not hold up the end of a run. */
static json_t *call_within(Xapi *xapi, const char *method, const char *task, unsigned timeout_ms,
                           GError **error)
{
    Reply reply = { .mode = REPLY_WHOLE };
    json_t *params = json_pack("[s]", task);
    bool ok = xapi_run(xapi, method, params, &reply, timeout_ms, NULL, error);
    json_t *result = ok ? g_steal_pointer(&reply.result) : NULL;
    reply_clear(&reply);
    json_decref(params);
    return result;
}

/* Until the pool has ended the task, or the time is over: whether nothing came of it, for sure. No
 * event is waited for: of a stalled transfer there may be none. */
static bool cancel_task(Xapi *xapi, const char *task)
{
    gint64 deadline = now_ms() + TASK_CANCEL_MS;
    TaskState state = { 0 };
    json_decref(call_within(xapi, "task.cancel", task, TASK_CANCEL_MS, NULL));
    for (gint64 left_ms; !is_settled(&state) && (left_ms = deadline - now_ms()) > 0;) {
        json_decref(state.record);
        state.record = call_within(xapi, "task.get_record", task, (unsigned) left_ms, NULL);
        if (!state.record)
            break;
        if (!is_settled(&state))
            xapi_pause((unsigned) MIN(TASK_CANCEL_POLL_MS, left_ms), NULL);
    }
    bool nothing = is_settled(&state) && strcmp(status_of(&state), "success") != 0;
    task_state_clear(&state);
    return nothing;
}

static void destroy_task(Xapi *xapi, const char *task)
{
    g_autoptr(GError) failure = NULL;
    json_t *done = call_within(xapi, "task.destroy", task, TASK_DESTROY_MS, &failure);
    if (!done && !xapi_is_gone(failure))
        log_debug("xapi", "a task was left behind: %s", failure->message);
    json_decref(done);
}

void task_cancel_and_destroy(Xapi *xapi, const char *task, bool cancel)
{
    if (cancel)
        cancel_task(xapi, task);
    destroy_task(xapi, task);
}

/* The result of a task of ours. One that the end of the program leaves behind is the pool's. */
static char *follow_to_end(Xapi *xapi, const char *method, const char *task, Cancel *cancel,
                           void (*progress)(double done, void *user), void *user, char **left_over,
                           GError **error)
{
    TaskState state = { 0 };
    g_autoptr(GError) failure = NULL;
    bool late = xapi_has_left(xapi);
    g_autoptr(Cancel) either = cancel_new_under(cancel, late ? NULL : xapi->left);
    bool ok = task_watch(xapi, task, &state, late ? XAPI_LEFT_MS : TASK_MAX_MS, either, progress,
                         user, &failure);
    char *result = ok ? task_result(&state, method, error) : NULL;
    if (!ok)
        g_prefix_error(&failure, "%s: ", method);
    xapi_explain_left(xapi, method, NULL, &failure);
    bool left = err_is(failure, ERR_INTERRUPTED);
    bool cancelled = !ok && err_is(failure, ERR_CANCELLED);
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&failure));
    if (cancelled && left_over && !cancel_task(xapi, task))
        *left_over = g_strdup(task);
    else if (cancelled && left_over)
        destroy_task(xapi, task);
    else if (!left || MUTANT(xapi_left_task)) /* mutant: xapi_calls */
        task_cancel_and_destroy(xapi, task,
                                !ok && !MUTANT(xapi_leaves_task_running)); /* mutant: xapi_calls */
    task_state_clear(&state);
    return result;
}

static char *call_task(Xapi *xapi, const char *method, json_t *params, Cancel *cancel,
                       void (*progress)(double done, void *user), void *user, char **left,
                       GError **error)
{
    g_autofree char *async = g_strconcat("Async.", method, NULL);
    if (cancel_check(cancel, method, error)) {
        json_decref(params);
        return NULL;
    }
    g_autofree char *task = xapi_call_string(xapi, async, params, error);
    if (!task)
        return NULL;
    return follow_to_end(xapi, method, task, cancel, progress, user, left, error);
}

char *xapi_call_task(Xapi *xapi, const char *method, json_t *params, Cancel *cancel,
                     void (*progress)(double done, void *user), void *user, GError **error)
{
    return call_task(xapi, method, params, cancel, progress, user, NULL, error);
}

char *xapi_call_task_or_leave(Xapi *xapi, const char *method, json_t *params, Cancel *cancel,
                              void (*progress)(double done, void *user), void *user, char **left,
                              GError **error)
{
    *left = NULL;
    return call_task(xapi, method, params, cancel, progress, user, left, error);
}

bool xapi_task_outcome(Xapi *xapi, const char *task, bool *ended, char **result, GError **error)
{
    TaskState state = { 0 };
    *result = NULL;
    *ended = false;
    if (!look(xapi, task, &state, error))
        return false;
    *ended = is_settled(&state);
    if (*ended)
        *result = task_result(&state, task, NULL);
    task_state_clear(&state);
    return true;
}
