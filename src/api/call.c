/* The one way into a method, and the one place where permissions are asked. */
#include "api/call.h"
#include "api/audit.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

struct ApiCall {
    const ApiParts *parts;
    Session *session;
    const Method *method;
    json_t *user; /* NULL: nobody */
    json_t *params;
    GHashTable *named;  /* parameter → ApiObject */
    GPtrArray *objects; /* owns them */
    Rope *text;
    const char *task; /* of what lasts; NULL: none */
    const char *granted;
    char *own_task; /* the same, when it is the call's own */
    Cancel *cancel;
};

void api_result_clear(ApiResult *result)
{
    g_clear_pointer(&result->text, rope_unref);
    g_clear_pointer(&result->value, json_decref);
}

static void object_free(void *data)
{
    ApiObject *object = data;
    json_decref(object->view);
    inventory_unref(object->inventory);
    link_unref(object->link);
    g_free(object);
}

static void call_clear(ApiCall *call)
{
    json_decref(call->user);
    json_decref(call->params);
    g_clear_pointer(&call->named, g_hash_table_unref);
    g_clear_pointer(&call->objects, g_ptr_array_unref);
    g_clear_pointer(&call->text, rope_unref);
    g_clear_pointer(&call->cancel, cancel_unref);
    g_free(call->own_task);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ApiCall, call_clear)

/* --- May this caller use this method --- */

static bool check_access(ApiCall *call, GError **error)
{
    if (call->method->access == ACCESS_ANYONE ||
        MUTANT(call_access)) /* mutant: system:test_api.Power.test_permissions */
        return true;
    if (!call->user) {
        api_error_unauthorized(error, NULL, NULL);
        return false;
    }
    if (call->method->access == ACCESS_USER || account_is_admin(call->user))
        return true;
    api_error_unauthorized(error, "admin", NULL);
    return false;
}

/* `_log` is reserved; XO keeps it for administrators. */
static json_t *without_log(ApiCall *call, json_t *sent, GError **error)
{
    if (!json_is_object(sent) || !json_object_get(sent, "_log"))
        return sent ? json_incref(sent) : json_object();
    if (!call->user || !account_is_admin(call->user)) {
        api_error_unauthorized(error, "admin", NULL);
        return NULL;
    }
    json_t *copy = json_copy(sent);
    json_object_del(copy, "_log");
    return copy;
}

static bool prepare(ApiCall *call, json_t *sent, GError **error)
{
    json_t *params = without_log(call, sent, error);
    if (params)
        call->params = params_check(call->method->params, call->method->name, params, error);
    json_decref(params);
    return call->params != NULL;
}

/* --- The objects it names --- */

static bool type_is_listed(const char *types, const char *type)
{
    g_auto(GStrv) list = g_strsplit(types, ",", -1);
    return g_str_equal(types, "*") || g_strv_contains((const char *const *) list, type);
}

static void no_such(GError **error, const char *id, const char *types)
{
    if (g_str_equal(types, "*")) {
        api_error_no_such(error, id, NULL);
        return;
    }
    if (!strchr(types, ',')) {
        api_error_no_such(error, id, types);
        return;
    }
    json_t *list = json_array();
    g_auto(GStrv) names = g_strsplit(types, ",", -1);
    for (unsigned i = 0; names[i]; i++)
        json_array_append_new(list, json_string(names[i]));
    api_error_set(error, API_NO_SUCH_OBJECT, json_pack("{s:s, s:o}", "id", id, "type", list),
                  "no such %s %s", types, id);
}

static bool may(ApiCall *call, const ApiObject *object, const char *permission, GError **error)
{
    if (!permission ||
        MUTANT(call_object_permission)) /* mutant: system:test_api.Power.test_permissions */
        return true;
    if (g_strcmp0(call->granted, object->id) != 0 &&
        !account_may(call->parts->accounts, call->user, object->id, permission, servers_text,
                     call->parts->servers)) {
        api_error_unauthorized(error, permission, object->id);
        return false;
    }
    if (!g_str_equal(permission, "view") && link_is_read_only(object->link)) {
        err_set(error, ERR_DENIED, "%s: the server of this pool is set to read only", object->id);
        return false;
    }
    return true;
}

const ApiObject *call_find(ApiCall *call, const char *id, const char *types, const char *permission,
                           GError **error)
{
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(call->parts->servers, id, &inventory);
    json_t *view = inventory ? inventory_object(inventory, id) : NULL;
    const char *type = view ? json_string_value(json_object_get(view, "type")) : NULL;
    if (!type || !type_is_listed(types, type)) {
        json_decref(view);
        g_clear_pointer(&inventory, inventory_unref);
        no_such(error, id, types);
        return NULL;
    }
    ApiObject *object = g_new0(ApiObject, 1);
    object->call = call;
    object->link = g_steal_pointer(&link);
    object->inventory = inventory;
    object->view = view;
    object->type = type;
    object->id = json_string_value(json_object_get(view, "id"));
    object->ref = json_string_value(json_object_get(view, "_xapiRef"));
    g_ptr_array_add(call->objects, object);
    return may(call, object, permission, error) ? object : NULL;
}

static bool resolve(ApiCall *call, GError **error)
{
    for (const Param *row = call->method->params; row && row->name; row++) {
        const char *id = row->objects ? call_string(call, row->name) : NULL;
        if (!id)
            continue;
        const ApiObject *object = call_find(call, id, row->objects, row->permission, error);
        if (!object)
            return false;
        g_hash_table_insert(call->named, (void *) row->name, (void *) object);
    }
    return true;
}

/* --- Running --- */

static bool check(ApiCall *call, json_t *sent, GError **error)
{
    return check_access(call, error) && prepare(call, sent, error) && resolve(call, error);
}

static const char *object_of(ApiCall *call)
{
    for (const Param *row = call->method->params; row && row->name; row++)
        if (g_hash_table_contains(call->named, row->name))
            return call_object(call, row->name)->id;
    return NULL;
}

/* What lasts and changes something is a task while it does; what fails stays one, as with XO. */
static void begin_task(ApiCall *call)
{
    Tasks *tasks = call->parts->tasks;
    if (tasks && !call->task && call->method->long_running && audit_wants(call->method)) {
        g_autofree char *name = g_strdup_printf("API call: %s", call->method->name);
        call->own_task = tasks_begin_call(
            tasks,
            json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:o}", "name", name, "type", "api.call",
                      "method", call->method->name, "userId", call_user_id(call), "objectId",
                      object_of(call), "params", audit_redact(call->method->params, call->params)));
        call->task = call->own_task;
    }
    if (call->task)
        call->cancel = tasks_cancel(tasks, call->task);
}

static void end_task(ApiCall *call, const GError *failure)
{
    if (!call->own_task)
        return;
    tasks_end(call->parts->tasks, call->own_task, !failure,
              failure ? call_task_failure(call->parts, call->session, failure) : NULL);
}

static bool run(ApiCall *call, json_t *sent, ApiResult *result, GError **error)
{
    if (!check(call, sent, error))
        return false;
    g_autoptr(GError) failure = NULL;
    begin_task(call);
    result->value = call->method->run(call, &failure);
    end_task(call, failure);
    if (failure) {
        g_clear_pointer(&result->value, json_decref);
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    result->text = g_steal_pointer(&call->text);
    return true;
}

static bool begin(ApiCall *call, const ApiParts *parts, Session *session, const char *name,
                  GError **error)
{
    *call = (ApiCall){ .parts = parts, .session = session, .method = method_find(name) };
    const char *why = call->method ? NULL : method_why_absent(name);
    if (why) {
        json_t *user = session_user(session);
        if (user)
            api_error_set(error, API_NOT_IMPLEMENTED,
                          json_pack("{s:s, s:s}", "method", name, "reason", why),
                          "not implemented: %s: %s", name, why);
        else
            api_error_unauthorized(error, NULL, NULL);
        json_decref(user);
        return false;
    }
    if (!call->method) {
        api_error_set(error, API_METHOD_NOT_FOUND, json_string(name), "method not found: %s", name);
        return false;
    }
    call->user = session_user(session);
    call->named = g_hash_table_new(g_str_hash, g_str_equal);
    call->objects = g_ptr_array_new_with_free_func(object_free);
    return true;
}

bool call_check(const ApiParts *parts, Session *session, const char *name, json_t *params,
                const CallTerms *terms, GError **error)
{
    g_auto(ApiCall) call = { NULL };
    if (!begin(&call, parts, session, name, error))
        return false;
    call.granted = terms ? terms->granted : NULL;
    return check(&call, params, error);
}

/* Who signs in is known only afterwards. */
static void tell(ApiCall *call, json_t *sent, json_t *result, const GError *failure, gint64 took_ms)
{
    json_t *user = call->user ? json_incref(call->user) : session_user(call->session);
    audit_call(call->parts, call->method, user, call->session, sent, result, failure, took_ms);
    json_decref(user);
}

bool call_run(const ApiParts *parts, Session *session, const char *name, json_t *params,
              ApiResult *result, GError **error)
{
    return call_run_on(parts, session, name, params, NULL, result, error);
}

bool call_run_on(const ApiParts *parts, Session *session, const char *name, json_t *params,
                 const CallTerms *terms, ApiResult *result, GError **error)
{
    *result = (ApiResult){ NULL, NULL };
    g_auto(ApiCall) call = { NULL };
    if (!begin(&call, parts, session, name, error))
        return false;
    call.task = terms ? terms->task : NULL;
    call.granted = terms ? terms->granted : NULL;
    gint64 start_us = g_get_monotonic_time();
    g_autoptr(GError) failure = NULL;
    bool ok = run(&call, params, result, &failure);
    gint64 took_ms = (g_get_monotonic_time() - start_us) / 1000;
    if (ok)
        log_debug("api", "%s: %" G_GINT64_FORMAT " ms", name, took_ms);
    else
        log_debug("api", "%s: %" G_GINT64_FORMAT " ms: %s", name, took_ms, failure->message);
    tell(&call, params, result->value, failure, took_ms);
    if (!ok)
        g_propagate_error(error, g_steal_pointer(&failure));
    return ok;
}

static char *id_of_ref(const char *ref, void *user)
{
    json_t *view = servers_object(user, ref);
    char *id = g_strdup(json_string_value(json_object_get(view, "id")));
    json_decref(view);
    return id;
}

/* "host alpha", "PIF eth0 (its id)". */
static char *name_of_ref(const char *ref, void *user)
{
    json_t *view = servers_object(user, ref);
    const char *type = json_string_value(json_object_get(view, "type"));
    const char *name = json_string_value(json_object_get(view, "name_label"));
    const char *device = json_string_value(json_object_get(view, "device"));
    const char *id = json_string_value(json_object_get(view, "id"));
    char *text = !type               ? NULL
                 : name && *name     ? g_strdup_printf("%s %s", type, name)
                 : device && *device ? g_strdup_printf("%s %s (%s)", type, device, id)
                                     : g_strdup_printf("%s %s", type, id);
    json_decref(view);
    return text;
}

json_t *call_error_json(const ApiParts *parts, Session *session, const GError *error)
{
    json_t *user = session_user(session);
    ApiErrorView view = { .admin = user && account_is_admin(user),
                          .id_of = id_of_ref,
                          .name_of = name_of_ref,
                          .user = parts->servers };
    json_decref(user);
    return api_error_json(error, &view);
}

json_t *call_task_failure(const ApiParts *parts, Session *session, const GError *error)
{
    const char *const *detail = err_is(error, ERR_XAPI) ? err_detail(error) : NULL;
    if (!detail || !*detail) {
        json_t *json = call_error_json(parts, session, error);
        json_object_set_new(json, "name", json_string("XoError"));
        return json;
    }
    g_autofree char *joined = g_strjoinv(", ", (char **) detail + 1);
    json_t *json = json_pack("{s:s, s:s, s:[]}", "code", detail[0], "name", "XapiError", "params");
    for (unsigned i = 1; detail[i]; i++)
        json_array_append_new(json_object_get(json, "params"), json_string(detail[i]));
    json_object_set_new(json, "message", json_sprintf("%s(%s)", detail[0], joined));
    return json;
}

/* --- For methods --- */

Cancel *call_cancel(ApiCall *call)
{
    return call->cancel;
}

/* That one thing of several is done does not mean that all are. */
void call_tell_progress(double done, void *user)
{
    ApiCall *call = user;
    if (call->task && done < 1)
        tasks_progress(call->parts->tasks, call->task, done);
}

char *call_begin_step(ApiCall *call, const char *name, const ApiObject *about)
{
    if (!call->task)
        return NULL;
    json_t *properties = json_pack("{s:s, s:s, s:s}", "name", name, "objectId", about->id,
                                   "objectType", about->type);
    return tasks_begin_step(call->parts->tasks, call->task, properties);
}

void call_end_step(ApiCall *call, const char *step, bool success)
{
    if (step)
        tasks_end_step(call->parts->tasks, call->task, step, success);
}

const ApiParts *call_parts(ApiCall *call)
{
    return call->parts;
}

const char *call_name(ApiCall *call)
{
    return call->method->name;
}

Session *call_session(ApiCall *call)
{
    return call->session;
}

json_t *call_user(ApiCall *call)
{
    return call->user;
}

const char *call_user_id(ApiCall *call)
{
    return json_string_value(json_object_get(call->user, "id"));
}

json_t *call_params(ApiCall *call)
{
    return call->params;
}

json_t *call_get(ApiCall *call, const char *name)
{
    return json_object_get(call->params, name);
}

const char *call_string(ApiCall *call, const char *name)
{
    return json_string_value(call_get(call, name));
}

bool call_bool(ApiCall *call, const char *name)
{
    return json_is_true(call_get(call, name));
}

/* Whole numbers that JavaScript has: what is beyond them is as far as they go. */
gint64 call_integer(ApiCall *call, const char *name)
{
    static const gint64 most = ((gint64) 1 << 53) - 1;
    json_t *value = call_get(call, name);
    double number = json_number_value(value);
    if (number >= (double) most || number <= (double) -most)
        return number > 0 ? most : -most;
    return (gint64) number;
}

const ApiObject *call_object(ApiCall *call, const char *name)
{
    return g_hash_table_lookup(call->named, name);
}

void call_set_text(ApiCall *call, Rope *text)
{
    g_clear_pointer(&call->text, rope_unref);
    call->text = text;
}
