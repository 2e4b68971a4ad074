/* The rules of misbehaviour, and the points that obey them. */
#include "sim/fault_rules.h"

#include "sim/inner.h"

#include <pthread.h>
#include <string.h>

typedef enum { LATENCY, ERROR, ANSWER, CUT, STALL, THROTTLE } Kind;

static const char *const kinds[] = { "latency", "error", "answer", "cut", "stall", "throttle" };

typedef struct {
    Kind kind;
    guint id;
    char *method;        /* of calls: "VM.start" or "*" */
    char *path, *object; /* of streams; object "": any */
    guint64 at, bytes_per_s;
    guint ms;
    guint nth, seen; /* calls: fails from the nth on … */
    guint left;      /* … so many times; streams: how many */
    guint64 passed;  /* throttle: bytes so far, of all its streams */
    json_t *code;    /* [CODE, params…] */
    json_t *value;   /* what is answered; NULL: "" */
} Rule;

struct Faults {
    Sim *sim;
    pthread_mutex_t mutex;
    GPtrArray *rules;
    guint last_id;
    double coalesce_delay_s;
};

struct FaultStream {
    Faults *faults;
    char *path, *object;
    guint64 position;
    gint64 began_us;
};

static void rule_free(gpointer data)
{
    Rule *rule = data;
    g_free(rule->method);
    g_free(rule->path);
    g_free(rule->object);
    json_decref(rule->code);
    json_decref(rule->value);
    g_free(rule);
}

Faults *faults_new(Sim *sim)
{
    Faults *faults = g_new0(Faults, 1);
    faults->sim = sim;
    faults->coalesce_delay_s = 1;
    faults->rules = g_ptr_array_new_with_free_func(rule_free);
    pthread_mutex_init(&faults->mutex, NULL);
    return faults;
}

void faults_free(Faults *faults)
{
    g_ptr_array_unref(faults->rules);
    pthread_mutex_destroy(&faults->mutex);
    g_free(faults);
}

/* --- Rules --- */

static const char *text_of(json_t *object, const char *key, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? otherwise : text;
}

static guint64 number_of(json_t *object, const char *key, guint64 otherwise)
{
    json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (guint64) json_integer_value(value) : otherwise;
}

static Rule *rule_parse(json_t *spec, GError **error)
{
    const char *kind = text_of(spec, "kind", "");
    guint k = 0;
    while (k < G_N_ELEMENTS(kinds) && strcmp(kinds[k], kind) != 0)
        k++;
    if (k == G_N_ELEMENTS(kinds)) {
        err_set(error, ERR_INVALID,
                "fault: kind \"%s\" is none of latency, error, answer, cut, stall, throttle", kind);
        return NULL;
    }
    Rule *rule = g_new0(Rule, 1);
    rule->kind = (Kind) k;
    rule->method = g_strdup(text_of(spec, "method", "*"));
    rule->path = g_strdup(text_of(spec, "path", "*"));
    rule->object = g_strdup(text_of(spec, "object", ""));
    rule->at = number_of(spec, "at", 0);
    rule->bytes_per_s = number_of(spec, "bytes_per_s", 0);
    rule->ms = (guint) number_of(spec, "ms", k == STALL ? G_MAXUINT : 0);
    rule->nth = (guint) number_of(spec, "nth", 1);
    rule->left = (guint) number_of(spec, "count", k == LATENCY || k == THROTTLE ? G_MAXUINT : 1);
    rule->value = json_incref(json_object_get(spec, "value"));
    json_t *code = json_object_get(spec, "error");
    rule->code = json_is_array(code) && json_array_size(code) > 0
                     ? json_incref(code)
                     : json_pack("[ss]", "INTERNAL_ERROR", "fault on order");
    return rule;
}

guint fault_add(Sim *sim, json_t *spec, GError **error)
{
    Faults *faults = sim_faults(sim);
    Rule *rule = rule_parse(spec, error);
    if (rule == NULL)
        return 0;
    pthread_mutex_lock(&faults->mutex);
    guint id = rule->id = ++faults->last_id;
    g_ptr_array_add(faults->rules, rule);
    pthread_mutex_unlock(&faults->mutex);
    return id;
}

void fault_clear(Sim *sim)
{
    Faults *faults = sim_faults(sim);
    pthread_mutex_lock(&faults->mutex);
    g_ptr_array_set_size(faults->rules, 0);
    pthread_mutex_unlock(&faults->mutex);
}

json_t *fault_list(Sim *sim)
{
    Faults *faults = sim_faults(sim);
    json_t *list = json_array();
    pthread_mutex_lock(&faults->mutex);
    for (guint i = 0; i < faults->rules->len; i++) {
        const Rule *rule = faults->rules->pdata[i];
        json_array_append_new(list, json_pack("{si ss ss ss sI sI sI}", "id", (int) rule->id,
                                              "kind", kinds[rule->kind], "method", rule->method,
                                              "path", rule->path, "at", (json_int_t) rule->at,
                                              "left", (json_int_t) rule->left, "passed",
                                              (json_int_t) rule->passed));
    }
    pthread_mutex_unlock(&faults->mutex);
    return list;
}

void fault_set_coalesce_delay(Sim *sim, double seconds)
{
    Faults *faults = sim_faults(sim);
    pthread_mutex_lock(&faults->mutex);
    faults->coalesce_delay_s = seconds;
    pthread_mutex_unlock(&faults->mutex);
}

double fault_coalesce_delay_s(Sim *sim)
{
    Faults *faults = sim_faults(sim);
    pthread_mutex_lock(&faults->mutex);
    double delay = faults->coalesce_delay_s;
    pthread_mutex_unlock(&faults->mutex);
    return delay;
}

/* --- Calls --- */

static bool matches(const char *pattern, const char *text)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, text) == 0;
}

/* The failure that is due now, a new reference, or NULL. */
static json_t *error_due(Faults *faults, const char *method, guint *wait_ms)
{
    json_t *due = NULL;
    *wait_ms = 0;
    pthread_mutex_lock(&faults->mutex);
    for (guint i = 0; i < faults->rules->len; i++) {
        Rule *rule = faults->rules->pdata[i];
        if (rule->kind > ERROR || !matches(rule->method, method))
            continue;
        if (rule->kind == LATENCY) {
            *wait_ms += rule->ms;
        } else if (++rule->seen >= rule->nth && rule->left > 0 && due == NULL) {
            rule->left--;
            due = json_incref(rule->code);
        }
    }
    pthread_mutex_unlock(&faults->mutex);
    return due;
}

/* Whether any fault may go on: a cleared rule book ends them all. */
static bool still_faulty(Faults *faults)
{
    pthread_mutex_lock(&faults->mutex);
    bool any = faults->rules->len > 0;
    pthread_mutex_unlock(&faults->mutex);
    return any;
}

static void wait_out(Faults *faults, gint64 wait_us)
{
    gint64 until = g_get_monotonic_time() + wait_us, left;
    while ((left = until - g_get_monotonic_time()) > 0 && still_faulty(faults))
        g_usleep((gulong) MIN(left, 50000));
}

bool fault_call(Sim *sim, const char *method, GError **error)
{
    guint wait_ms;
    json_t *due = error_due(sim_faults(sim), method, &wait_ms);
    if (wait_ms > 0)
        wait_out(sim_faults(sim), (gint64) wait_ms * 1000);
    if (due == NULL)
        return true;
    g_autoptr(GPtrArray) detail = g_ptr_array_new();
    for (size_t i = 0; i < json_array_size(due); i++) {
        const char *text = json_string_value(json_array_get(due, i));
        g_ptr_array_add(detail, (gpointer) (text == NULL ? "" : text));
    }
    g_ptr_array_add(detail, NULL);
    err_set_detail(error, ERR_XAPI, (const char *const *) detail->pdata, "%s: fault on order",
                   (const char *) detail->pdata[0]);
    json_decref(due);
    return false;
}

json_t *fault_answer(Sim *sim, const char *method)
{
    Faults *faults = sim_faults(sim);
    json_t *due = NULL;
    pthread_mutex_lock(&faults->mutex);
    for (guint i = 0; i < faults->rules->len && due == NULL; i++) {
        Rule *rule = faults->rules->pdata[i];
        if (rule->kind != ANSWER || !matches(rule->method, method) || ++rule->seen < rule->nth ||
            rule->left == 0)
            continue;
        rule->left--;
        due = rule->value == NULL ? json_string("") : json_incref(rule->value);
    }
    pthread_mutex_unlock(&faults->mutex);
    return due;
}

/* --- Streams --- */

FaultStream *fault_stream_open(Sim *sim, const char *path, const char *object)
{
    FaultStream *stream = g_new0(FaultStream, 1);
    stream->faults = sim_faults(sim);
    stream->path = g_strdup(path);
    stream->object = g_strdup(object);
    stream->began_us = g_get_monotonic_time();
    return stream;
}

void fault_stream_close(FaultStream *stream)
{
    g_free(stream->path);
    g_free(stream->object);
    g_free(stream);
}

/* What the rules say about the next n bytes: how many pass, and how long to wait first. */
static size_t stream_verdict(FaultStream *stream, size_t n, gint64 *wait_us)
{
    Faults *faults = stream->faults;
    size_t pass = n;
    *wait_us = 0;
    pthread_mutex_lock(&faults->mutex);
    for (guint i = 0; i < faults->rules->len; i++) {
        Rule *rule = faults->rules->pdata[i];
        if (rule->kind < CUT || rule->left == 0 || !matches(rule->path, stream->path) ||
            (*rule->object != '\0' && strcmp(rule->object, stream->object) != 0))
            continue;
        if (rule->kind == THROTTLE && rule->bytes_per_s > 0) {
            gint64 due = stream->began_us + (gint64) ((double) (stream->position + n) /
                                                      (double) rule->bytes_per_s * G_USEC_PER_SEC);
            *wait_us = MAX(*wait_us, due - g_get_monotonic_time());
            rule->passed += n;
        } else if (rule->kind != THROTTLE && stream->position + n > rule->at) {
            rule->left--;
            if (rule->kind == STALL)
                *wait_us = MAX(*wait_us, (gint64) rule->ms * 1000);
            else
                pass = rule->at > stream->position ? (size_t) (rule->at - stream->position) : 0;
        }
    }
    pthread_mutex_unlock(&faults->mutex);
    return pass;
}

size_t fault_stream_pass(FaultStream *stream, size_t n)
{
    gint64 wait_us;
    size_t pass = stream_verdict(stream, n, &wait_us);
    if (wait_us > 0)
        wait_out(stream->faults, wait_us);
    stream->position += pass;
    return pass;
}
