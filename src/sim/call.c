/* A call from its name to its result: which message it is, whether the caller may, whether the
 * parameters fit, who runs it and under which task. */
#include "base/mutant.h"
#include "sim/inner.h"
#include "sim/task.h"

#include <string.h>

enum { MAX_THREADS = 64 };

struct Call {
    Sim *sim;
    const Message *message;
    char *session, *task;
    bool owns_task; /* made for this call, gone with it */
    json_t *params;
    HttpRequest *request; /* of a synchronous call over HTTP */
};

struct Calls {
    Sim *sim;
    GHashTable *methods; /* name → Method * */
    GHashTable *writers; /* name → Writer * */
    GThreadPool *threads;
};

#define METHODS(table) extern const Method table[];
#define HANDLERS(table)
#include "sim/tables.def"
#undef METHODS
static const Method *const tables[] = {
#define METHODS(table) table,
#include "sim/tables.def"
};
#undef METHODS
#undef HANDLERS

static void call_finish_async(gpointer data, gpointer user);

Calls *calls_new(Sim *sim)
{
    Calls *calls = g_new0(Calls, 1);
    calls->sim = sim;
    calls->methods = g_hash_table_new(g_str_hash, g_str_equal);
    calls->writers = g_hash_table_new(g_str_hash, g_str_equal);
    calls->threads = g_thread_pool_new(call_finish_async, sim, MAX_THREADS, FALSE, NULL);
    const Datamodel *model = rows_datamodel(sim_rows(sim));
    for (guint i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const Method *method = tables[i]; method->name != NULL; method++) {
            if (datamodel_message(model, method->name) == NULL)
                g_error("%s is not in messages.def", method->name);
            if (!g_hash_table_insert(calls->methods, (gpointer) method->name, (gpointer) method))
                g_error("%s is in two tables", method->name);
        }
    for (const Writer *writer = event_writers; writer->name != NULL; writer++)
        g_hash_table_insert(calls->writers, (gpointer) writer->name, (gpointer) writer);
    return calls;
}

void calls_free(Calls *calls)
{
    g_thread_pool_free(calls->threads, FALSE, TRUE);
    g_hash_table_unref(calls->methods);
    g_hash_table_unref(calls->writers);
    g_free(calls);
}

/* --- What a method sees --- */

Sim *call_sim(Call *call)
{
    return call->sim;
}

const char *call_method(Call *call)
{
    return call->message->name;
}

const char *call_session(Call *call)
{
    return call->session;
}

const char *call_task(Call *call)
{
    if (call->task == NULL) {
        call->task = g_strdup(sim_task_new(call->sim, call->session, call->message->name));
        call->owns_task = true;
    }
    return call->task;
}

void call_progress(Call *call, double done)
{
    if (call->task != NULL)
        sim_task_progress(call->sim, call->task, done);
}

bool call_alive(Call *call, GError **error)
{
    if (call->task == NULL || !sim_task_is_cancelled(call->sim, call->task))
        return true;
    sim_error(error, "TASK_CANCELLED", call->task, NULL);
    return false;
}

bool call_is_abandoned(Call *call)
{
    return call->request != NULL && http_client_left(call->request);
}

json_t *call_param(Call *call, guint i)
{
    return json_array_get(call->params, i);
}

const char *call_str(Call *call, guint i)
{
    const char *text = json_string_value(call_param(call, i));
    return text == NULL ? "" : text;
}

gint64 call_int(Call *call, guint i)
{
    return json_integer_value(call_param(call, i));
}

bool call_bool(Call *call, guint i)
{
    return json_is_true(call_param(call, i));
}

double call_float(Call *call, guint i)
{
    return json_number_value(call_param(call, i));
}

Obj *call_obj(Call *call, guint i, const char *cls, GError **error)
{
    return obj_get(call->sim, cls, call_str(call, i), error);
}

json_t *call_void(void)
{
    return json_string("");
}

json_t *call_run(Call *call, const char *name, json_t *params, GError **error)
{
    const Method *method = g_hash_table_lookup(sim_calls(call->sim)->methods, name);
    g_assert(method != NULL);
    Call inner = *call;
    inner.params = params;
    json_t *result = method->run(&inner, error);
    call->task = inner.task; /* it may have been made there */
    call->owns_task = inner.owns_task;
    json_decref(params);
    return result;
}

/* --- Checks --- */

static json_t *convert_number(json_t *value, bool whole)
{
    if (whole && json_is_integer(value))
        return json_incref(value);
    if (!whole && json_is_number(value))
        return json_incref(value);
    if (json_is_real(value))
        return json_integer((gint64) json_real_value(value));
    const char *text = json_string_value(value);
    gint64 number;
    if (text == NULL)
        return NULL;
    if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number, NULL))
        return json_integer(number);
    char *end;
    double real = g_ascii_strtod(text, &end);
    return !whole && end != text && *end == '\0' ? json_real(real) : NULL;
}

/* The value as its type wants it, NULL when it is of another. */
static json_t *convert(const char *type, json_t *value)
{
    bool fits;
    if (strchr(type, '>') != NULL || *type == 'R')
        fits = json_is_object(value);
    else if (*type == '{')
        fits = json_is_array(value);
    else if (*type == 'b')
        fits = json_is_boolean(value);
    else if (*type == 'i' || *type == 'f')
        return convert_number(value, *type == 'i');
    else
        fits = json_is_string(value);
    return fits ? json_incref(value) : NULL;
}

static bool enum_check(const char *type, json_t *value, GError **error)
{
    const char *text = json_string_value(value);
    if (!g_str_has_prefix(type, "E:"))
        return true;
    g_autofree char *name = g_strndup(type + 2, strcspn(type + 2, "?"));
    const char *values = enum_values(name);
    if (values == NULL || enum_has(values, text))
        return true;
    sim_error(error, "INVALID_VALUE", name, text, NULL);
    return false;
}

/* The parameters after the session, converted; NULL with an error. */
static json_t *params_convert(const Message *message, json_t *params, GError **error)
{
    json_t *out = json_array();
    guint at = message->flags & OPEN ? 0 : 1;
    g_auto(GStrv) types = g_strsplit(message->params, " ", -1);
    for (char **type = types; *type != NULL && **type != '\0'; type++, at++) {
        json_t *value = json_array_get(params, at);
        if (value == NULL)
            break;
        json_t *fit = convert(*type, value);
        if (fit == NULL) {
            g_autofree char *text =
                g_strdup_printf("%s: parameter %u is not of type %s", message->name, at, *type);
            sim_error(error, "INTERNAL_ERROR", text, NULL);
        } else {
            json_array_append_new(out, fit);
        }
        if (fit == NULL || !enum_check(*type, fit, error)) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static bool count_check(const Message *message, const char *name, json_t *params, GError **error)
{
    guint session = message->flags & OPEN ? 0 : 1, n = (guint) json_array_size(params);
    guint min = message->n_min + session, max = message->n_max + session;
    if (n >= min && n <= max)
        return true;
    char expected[16], received[16];
    g_snprintf(expected, sizeof expected, "%u", n < min ? min : max);
    g_snprintf(received, sizeof received, "%u", n);
    sim_error(error, "MESSAGE_PARAMETER_COUNT_MISMATCH", name, expected, received, NULL);
    return false;
}

/* A member of the pool sends everybody to the master, before it looks at any password; one that
 * left the pool does so, too. */
static bool master_check(Sim *sim, guint host, const Message *message, GError **error)
{
    if (g_str_has_prefix(message->name, "system.") ||
        MUTANT(sim_member_answers)) /* mutant: system:test_sim.Members */
        return true;
    sim_lock(sim);
    const char *joined = obj_map_get(sim_pool(sim), "other_config", POOL_JOINED);
    g_autofree char *address = g_strdup(joined ? joined : obj_str(sim_master(sim), "address"));
    sim_unlock(sim);
    if (strcmp(address, listeners_address(sim_listeners(sim), host)) == 0)
        return true;
    sim_error(error, "HOST_IS_SLAVE", address, NULL);
    return false;
}

static const Message *message_find(Sim *sim, const char *name, bool *async, GError **error)
{
    const char *plain = name;
    *async = g_str_has_prefix(name, "Async.");
    if (*async)
        plain = name + strlen("Async.");
    const Message *message = datamodel_message(rows_datamodel(sim_rows(sim)), plain);
    if (message == NULL || (*async && !(message->flags & ASYNC))) {
        sim_error(error, "MESSAGE_METHOD_UNKNOWN", name, NULL);
        return NULL;
    }
    return message;
}

/* --- Running --- */

static void call_clear(Call *call)
{
    if (call->owns_task) {
        Obj *task = obj_find(call->sim, "task", call->task);
        if (task != NULL)
            obj_drop(task);
    }
    g_free(call->task);
    g_free(call->session);
    json_decref(call->params);
}

/* With the lock. */
static json_t *method_run(Call *call, GError **error)
{
    Calls *calls = sim_calls(call->sim);
    const Method *method = g_hash_table_lookup(calls->methods, call->message->name);
    if (method != NULL)
        return method->run(call, error);
    Wire *out = wire_new(false);
    bool ok = record_call(call, call->message, out, error);
    g_autoptr(GString) text = wire_finish(out);
    return ok ? json_loadb(text->str, text->len, JSON_DECODE_ANY, NULL) : NULL;
}

static bool call_sync(Call *call, Wire *out, GError **error)
{
    Calls *calls = sim_calls(call->sim);
    const char *name = call->message->name;
    json_t *ordered = fault_answer(call->sim, name);
    if (ordered != NULL) {
        wire_json(out, ordered);
        json_decref(ordered);
        return true;
    }
    const Writer *writer = g_hash_table_lookup(calls->writers, name);
    if (writer != NULL)
        return writer->write(call, out, error);
    if (g_hash_table_lookup(calls->methods, name) == NULL)
        return record_call(call, call->message, out, error);
    json_t *result = method_run(call, error);
    if (result == NULL)
        return false;
    if (*call->message->result == 'd')
        wire_date(out, sim_parse_date(json_string_value(result)));
    else
        wire_json(out, result);
    json_decref(result);
    return true;
}

static void call_finish_async(gpointer data, gpointer user)
{
    Call *call = data;
    g_autoptr(GError) error = NULL;
    json_t *result = NULL;
    if (fault_call(call->sim, call->message->name, &error)) {
        sim_lock(call->sim);
        result = call_alive(call, &error) ? fault_answer(call->sim, call->message->name) : NULL;
        if (result == NULL && error == NULL)
            result = method_run(call, &error);
    } else {
        sim_lock(call->sim);
    }
    if (result != NULL)
        sim_task_succeed(call->sim, call->task, *call->message->result == 'v' ? NULL : result);
    else
        sim_task_fail(call->sim, call->task, error);
    json_decref(result);
    call_clear(call);
    sim_unlock(call->sim);
    g_free(call);
}

static void call_async(Call *call, Wire *out)
{
    Call *copy = g_new(Call, 1);
    g_autofree char *label = g_strconcat("Async.", call->message->name, NULL);
    call->task = g_strdup(sim_task_new(call->sim, call->session, label));
    wire_text_value(out, call->task);
    *copy = *call;
    copy->request = NULL;
    call->task = call->session = NULL;
    call->params = NULL;
    g_thread_pool_push(sim_calls(call->sim)->threads, copy, NULL);
}

/* The session is good and the parameters fit: runs it. With the lock. */
static bool call_begin(Call *call, json_t *params, bool async, Wire *out, GError **error)
{
    if (!(call->message->flags & OPEN) && !sim_session_check(call->sim, call->session, error))
        return false;
    if (call->message->flags & REMOVED) {
        sim_error(error, "MESSAGE_REMOVED", NULL);
        return false;
    }
    call->params = params_convert(call->message, params, error);
    if (call->params == NULL)
        return false;
    if (!async)
        return call_sync(call, out, error);
    call_async(call, out);
    return true;
}

bool call_dispatch(Sim *sim, guint host, HttpRequest *request, const char *name, json_t *params,
                   Wire *out, GError **error)
{
    bool async;
    const Message *message = message_find(sim, name, &async, error);
    if (message == NULL || !count_check(message, name, params, error) ||
        !master_check(sim, host, message, error) ||
        (!async && !fault_call(sim, message->name, error)))
        return false;
    Call call = { .sim = sim, .message = message, .request = request };
    if (!(message->flags & OPEN)) {
        const char *session = json_string_value(json_array_get(params, 0));
        call.session = g_strdup(session == NULL ? "" : session);
    }
    sim_lock(sim);
    bool ok = call_begin(&call, params, async, out, error);
    call_clear(&call);
    sim_unlock(sim);
    return ok;
}

json_t *call_failure(const GError *error)
{
    json_t *list = json_array();
    const char *const *detail = err_detail(error);
    if (!err_is(error, ERR_XAPI) || detail == NULL) {
        json_array_append_new(list, json_string("INTERNAL_ERROR"));
        json_array_append_new(list, json_string(error->message));
        return list;
    }
    for (; *detail != NULL; detail++)
        json_array_append_new(list, json_string(*detail));
    return list;
}
