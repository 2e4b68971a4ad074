/* A job that calls a method: once for each element of its parameter vector, side by side. A call
 * past the job's timeout fails; what it began goes on, and nobody waits for it but the end of the
 * server. */
#include "run/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "job/vector.h"

#include <string.h>
#include <time.h>

enum { MAX_PARALLEL = 32, LOOK_MS = 250 };

typedef struct Calls Calls;

typedef struct {
    Calls *calls;
    char *task; /* id */
    json_t *params;
    gint64 deadline_us; /* 0: none */
    bool begun, ended;
} Call;

/* Counted: calls that are not waited for outlive the run. */
struct Calls {
    gint n_refs;
    Run *run;
    const char *user_id, *method; /* of the job */
    gint64 timeout_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Call *list;
    gsize n, n_begun, n_ended;
};

static gint64 now_ms(void)
{
    return g_get_real_time() / 1000;
}

static void calls_unref(Calls *calls)
{
    if (!g_atomic_int_dec_and_test(&calls->n_refs))
        return;
    for (gsize i = 0; i < calls->n; i++) {
        g_free(calls->list[i].task);
        json_decref(calls->list[i].params);
    }
    g_free(calls->list);
    pthread_cond_destroy(&calls->changed);
    pthread_mutex_destroy(&calls->lock);
    run_unref(calls->run);
    g_free(calls);
}

/* --- The log --- */

/* Secrets do not go into logs. */
static json_t *shown(json_t *params)
{
    json_t *copy = json_copy(params), *value;
    const char *key;
    void *next;
    json_object_foreach_safe (copy, next, key, value) {
        g_autofree char *lower = g_ascii_strdown(key, -1);
        if (strstr(lower, "password") || strstr(lower, "passphrase") || strstr(lower, "token") ||
            strstr(lower, "secret"))
            json_object_set_new(copy, key, json_string("***obfuscated***"));
    }
    return copy;
}

static void log_event(Calls *calls, json_t *event)
{
    tasklog_apply(calls->run->log, event);
    json_decref(event);
}

static void log_start(Call *call)
{
    Calls *calls = call->calls;
    log_event(calls, json_pack("{s:s, s:s, s:s, s:I, s:s, s:{s:s, s:s, s:o}}", "id", call->task,
                               "parentId", calls->run->id, "type", "start", "timestamp",
                               (json_int_t) now_ms(), "name", "call", "properties", "type", "call",
                               "method", calls->method, "params", shown(call->params)));
}

/* The reference of the result is taken. Lock held. */
static void end(Call *call, bool ok, json_t *result)
{
    call->ended = true;
    call->calls->n_ended++;
    log_event(call->calls,
              json_pack("{s:s, s:s, s:I, s:s, s:o}", "id", call->task, "type", "end", "timestamp",
                        (json_int_t) now_ms(), "status", ok ? "success" : "failure", "result",
                        result ? result : json_null()));
}

/* --- One call --- */

static void *call_main(void *data)
{
    Call *call = data;
    Calls *calls = call->calls;
    Runs *runs = calls->run->runs;
    json_t *result = NULL;
    bool ok =
        runs->caller.call(calls->user_id, calls->method, call->params, &result, runs->caller.user);
    pthread_mutex_lock(&calls->lock);
    if (call->ended)
        json_decref(result);
    else
        end(call, ok, result);
    pthread_cond_signal(&calls->changed);
    pthread_mutex_unlock(&calls->lock);
    calls_unref(calls);
    pthread_mutex_lock(&runs->lock);
    runs->n_threads--;
    pthread_cond_broadcast(&runs->changed);
    pthread_mutex_unlock(&runs->lock);
    return NULL;
}

/* Lock held. */
static void begin(Call *call)
{
    Calls *calls = call->calls;
    Runs *runs = calls->run->runs;
    pthread_t thread;
    pthread_attr_t attributes;
    call->begun = true;
    call->deadline_us = calls->timeout_ms ? g_get_monotonic_time() + calls->timeout_ms * 1000 : 0;
    calls->n_begun++;
    log_start(call);
    g_atomic_int_inc(&calls->n_refs);
    pthread_mutex_lock(&runs->lock);
    runs->n_threads++;
    pthread_mutex_unlock(&runs->lock);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &attributes, call_main, call) != 0)
        g_error("no thread for a call");
    pthread_attr_destroy(&attributes);
}

/* --- All of them --- */

static bool is_cancelled(Calls *calls)
{
    Runs *runs = calls->run->runs;
    pthread_mutex_lock(&runs->lock);
    bool cancelled = calls->run->cancelled || runs->stopping;
    pthread_mutex_unlock(&runs->lock);
    return cancelled;
}

/* Lock held. */
static void give_up_late(Calls *calls)
{
    gint64 now_us = g_get_monotonic_time();
    for (gsize i = 0; i < calls->n_begun; i++) {
        Call *call = &calls->list[i];
        if (call->ended || !call->deadline_us || call->deadline_us > now_us ||
            MUTANT(calls_without_end)) /* mutant: system:test_calls.Calls.test_timeout */
            continue;
        g_autoptr(GError) error = NULL;
        err_set(&error, ERR_TIMEOUT, "%s: no answer within %" G_GINT64_FORMAT " ms", calls->method,
                calls->timeout_ms);
        end(call, false, tasklog_error(error));
    }
}

static void wait_a_little(Calls *calls)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    gint64 ns = until.tv_nsec + (gint64) LOOK_MS * 1000000;
    until.tv_sec += (time_t) (ns / 1000000000);
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&calls->changed, &calls->lock, &until);
}

/* False when not all were begun. */
static bool supervise(Calls *calls)
{
    bool cancelled = false;
    pthread_mutex_lock(&calls->lock);
    while (calls->n_ended < (cancelled ? calls->n_begun : calls->n)) {
        while (!cancelled && calls->n_begun < calls->n &&
               calls->n_begun - calls->n_ended < MAX_PARALLEL)
            begin(&calls->list[calls->n_begun]);
        wait_a_little(calls);
        run_log_store(calls->run, true, false);
        give_up_late(calls);
        cancelled = cancelled || is_cancelled(calls);
    }
    bool all = calls->n_ended == calls->n;
    pthread_mutex_unlock(&calls->lock);
    return all;
}

static Calls *calls_new(Run *run, json_t *elements)
{
    Calls *calls = g_new0(Calls, 1);
    size_t i;
    json_t *params;
    calls->n_refs = 1;
    calls->run = run_ref(run);
    calls->user_id = json_text(run->job, "userId");
    calls->method = json_text(run->job, "method");
    calls->timeout_ms = (gint64) json_number_value(json_object_get(run->job, "timeout"));
    pthread_mutex_init(&calls->lock, NULL);
    pthread_cond_init(&calls->changed, NULL);
    calls->n = json_array_size(elements);
    calls->list = g_new0(Call, calls->n + 1);
    json_array_foreach (elements, i, params)
        calls->list[i] = (Call){ .calls = calls,
                                 .task = tasklog_id(now_ms()),
                                 .params = json_deep_copy(params) };
    return calls;
}

bool run_calls(Run *run, GError **error)
{
    const RunsCaller *caller = &run->runs->caller;
    json_t *elements = vector_resolve(json_object_get(run->job, "paramsVector"), caller->objects,
                                      caller->user, error);
    if (!elements)
        return false;
    Calls *calls = calls_new(run, elements);
    json_decref(elements);
    bool all = supervise(calls);
    calls_unref(calls);
    if (!all)
        err_set(error, ERR_CANCELLED, "run %s was cancelled", run->id);
    return all;
}
