/* From a route's words to a call of its method, and from its result to an answer or a task. */
#include "api/audit.h"
#include "api/call.h"
#include "api/error.h"
#include "api/method.h"
#include "api/rest_call.h"
#include "api/rest_collection.h"
#include "api/rest_tasks.h"
#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

/* --- Parameters --- */

/* A query parameter as the method wants it. */
static json_t *typed(const Param *param, const char *text)
{
    char *end = NULL;
    double number = g_ascii_strtod(text, &end);
    if (param->types & P_BOOLEAN)
        return json_boolean(!g_str_equal(text, "false"));
    if ((param->types & (P_INTEGER | P_NUMBER)) && *text && !*end)
        return param->types & P_INTEGER ? json_integer((json_int_t) number) : json_real(number);
    return json_string(text);
}

/* Reads have their parameters in the query. */
static json_t *read_query(RestRequest *request, const RestCall *call)
{
    json_t *sent = json_object();
    const Method *method = method_find(call->method);
    for (const Param *param = method->params; param && param->name; param++) {
        const char *text = http_query(request->http, param->name);
        if (text)
            json_object_set_new(sent, param->name, typed(param, text));
    }
    return sent;
}

/* One rule "from:to" on the parameters. */
static void rename_one(json_t *params, const char *rule)
{
    g_auto(GStrv) names = g_strsplit(rule, ":", 2);
    json_t *value = json_incref(json_object_get(params, names[0]));
    const char *to = names[1];
    json_object_del(params, names[0]);
    if (value && to[0] == '!' && json_is_boolean(value))
        json_object_set_new(params, to + 1, json_boolean(!json_is_true(value)));
    else if (value && to[0] == '!') /* for the method to refuse */
        json_object_set(params, to + 1, value);
    else if (value && to[0])
        json_object_set(params, to, value);
    json_decref(value);
}

json_t *rest_call_params(RestRequest *request, const RestCall **chosen, json_t *params,
                         GError **error)
{
    const RestCall *call = *chosen;
    if (call->when && json_object_get(params, call->when))
        call = *chosen = call->instead;
    json_object_update(params, request->args);
    g_auto(GStrv) rules = g_strsplit(call->renames ? call->renames : "", " ", -1);
    for (unsigned i = 0; rules[i]; i++)
        if (*rules[i])
            rename_one(params, rules[i]);
    json_t *fixed = call->fixed ? json_loads(call->fixed, 0, NULL) : NULL;
    if (fixed)
        json_object_update(params, fixed);
    json_decref(fixed);
    if ((!call->check || call->check(request, params, error)) &&
        (!call->prepare || call->prepare(request, params, error)))
        return params;
    json_decref(params);
    return NULL;
}

/* From the body or the query; NULL with an error. */
static json_t *make_params(RestRequest *request, const RestCall **chosen, GError **error)
{
    const RestCall *call = *chosen;
    bool reads = g_str_equal(call->verb, "GET");
    json_t *sent = reads ? read_query(request, call) : rest_body(request, error);
    return sent ? rest_call_params(request, chosen, sent, error) : NULL;
}

/* The object that the path names must be of the path's kind. */
static bool check_owner(RestRequest *request, const RestCall *call, GError **error)
{
    g_autofree char *name = g_strndup(call->path, strcspn(call->path, "/"));
    const RestCollection *collection = rest_collection_find(name);
    bool is_object = collection && collection->each == rest_each_object;
    return !is_object || !rest_arg(request, "id") || rest_is_granted(request) ||
           rest_check_item(request, collection, error);
}

/* The call may do to the object of its path what a role lets it do. */
static CallTerms terms_of(RestRequest *request, const char *task)
{
    return (CallTerms){ task, rest_is_granted(request) ? rest_arg(request, "id") : NULL };
}

/* --- Results --- */

/* {id} of what was made, or the value itself; the reference is taken. NULL: nothing to say. */
static json_t *shown(const RestCall *call, json_t *value)
{
    json_t *id = json_object_get(value, "id") ? json_object_get(value, "id")
                                              : json_object_get(value, "uuid");
    json_t *made = NULL;
    if (call->makes && (json_is_string(value) || json_is_string(id)))
        made = json_pack("{s:O}", "id", json_is_string(value) ? value : id);
    else if (call->wraps)
        made = json_pack("{s:O}", call->wraps, value);
    else if (value && !json_is_null(value))
        return value;
    json_decref(value);
    return made;
}

static void answer(RestRequest *request, const RestCall *call, json_t *value)
{
    json_t *result = shown(call, value);
    if (result && call->makes) {
        g_autofree char *path = g_strdup_printf(REST_BASE "/%s/%s", call->makes,
                                                json_string_value(json_object_get(result, "id")));
        http_reply_header(request->http, "Location", path);
        rest_reply(request, 201, result);
    } else if (result && !g_str_equal(call->verb, "PATCH") && !g_str_equal(call->verb, "DELETE")) {
        rest_reply(request, 200, result);
    } else {
        json_decref(result);
        rest_reply_nothing(request);
    }
}

/* --- Actions --- */

static bool is_action(const RestCall *call)
{
    return strstr(call->path, "/actions/") != NULL;
}

typedef struct {
    const RestCall *call;
    Session *session;
    json_t *params;
    char *task, *granted;
} Action;

static void action_free(Action *action)
{
    session_unref(action->session);
    json_decref(action->params);
    g_free(action->task);
    g_free(action->granted);
    g_free(action);
}

/* The task ends with it. The result, or NULL with an error. */
static json_t *perform(Rest *rest, Action *action, GError **error)
{
    g_auto(ApiResult) result = { NULL, NULL };
    g_autoptr(GError) failure = NULL;
    CallTerms terms = { action->task, action->granted };
    if (call_run_on(rest->parts, action->session, action->call->method, action->params, &terms,
                    &result, &failure)) {
        json_t *value = result.value ? json_incref(result.value) : json_null();
        json_t *told = shown(action->call, json_incref(value));
        tasks_end(rest->parts->tasks, action->task, true,
                  json_is_object(told) ? json_incref(told) : NULL);
        json_decref(told);
        return value;
    }
    json_t *json = call_task_failure(rest->parts, action->session, failure);
    tasks_end(rest->parts->tasks, action->task, false, json);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static void perform_later(void *data, void *user)
{
    Action *action = data;
    json_decref(perform(user, action, NULL));
    action_free(action);
}

GThreadPool *rest_actions_new(Rest *rest)
{
    return g_thread_pool_new(perform_later, rest, REST_ACTION_THREADS, FALSE, NULL);
}

/* "REST API: clean shutdown VM" */
static json_t *describe(RestRequest *request, const RestCall *call)
{
    g_autofree char *words = g_strdup(strrchr(call->path, '/') + 1);
    g_autofree char *name = g_strndup(call->path, strcspn(call->path, "/"));
    const RestCollection *collection = rest_collection_find(name);
    const char *type = collection ? collection->type : name;
    g_strdelimit(words, "_", ' ');
    g_autofree char *label = g_strdup_printf("REST API: %s %s", words, type);
    return json_pack("{s:s, s:s, s:s*, s:s, s:O*}", "name", label, "type", "xo:rest-api:action",
                     "objectId", rest_arg(request, "id"), "objectType", type, "userId",
                     json_object_get(request->user, "id"));
}

static void begin_later(RestRequest *request, Action *action)
{
    if (g_thread_pool_unprocessed(request->rest->actions) >= REST_MAX_WAITING_ACTIONS) {
        rest_refuse(request, 503, "too many actions are waiting", NULL);
        tasks_end(request->parts->tasks, action->task, false, NULL);
        action_free(action);
        return;
    }
    g_autofree char *path = g_strdup_printf(REST_BASE "/tasks/%s", action->task);
    http_reply_header(request->http, "Location", path);
    json_t *told = json_pack("{s:s}", "taskId", action->task);
    g_thread_pool_push(request->rest->actions, action, NULL);
    rest_reply(request, 202, told);
}

static bool act(RestRequest *request, const RestCall *call, json_t *params, GError **error)
{
    Action *action = g_new0(Action, 1);
    action->call = call;
    action->session = session_ref(request->session);
    action->params = json_incref(params);
    action->granted = g_strdup(terms_of(request, NULL).granted);
    action->task = tasks_begin(request->parts->tasks, describe(request, call));
    if (!rest_flag(request, "sync") ||
        MUTANT(rest_never_sync)) { /* mutant: system:test_rest.Actions.test_power */
        begin_later(request, action);
        return true;
    }
    json_t *value = perform(request->rest, action, error);
    action_free(action);
    if (value)
        answer(request, call, value);
    return value != NULL;
}

static bool serve(RestRequest *request, const RestCall *call, json_t *params, GError **error)
{
    if (is_action(call))
        return act(request, call, params, error);
    CallTerms terms = terms_of(request, NULL);
    json_t *value = rest_call_on(request, call->method, params, &terms, error);
    if (value)
        answer(request, call, value);
    return value != NULL;
}

static void check(RestRequest *request, const RestCall *call, json_t *params, GError **error)
{
    CallTerms terms = terms_of(request, NULL);
    call_check(request->parts, request->session, call->method, params, &terms, error);
}

/* What is wrong or not allowed is told at once, to the caller and to the audit log, and not by a
 * task. The parameters of the method, or NULL. */
static json_t *prepare(RestRequest *request, const RestCall **chosen, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *params =
        check_owner(request, *chosen, &failure) ? make_params(request, chosen, &failure) : NULL;
    const RestCall *call = *chosen;
    if (params && is_action(call))
        check(request, call, params, &failure);
    if (!failure)
        return params;
    audit_call(request->parts, method_find(call->method), request->user, request->session,
               params ? params : request->args, NULL, failure, 0);
    json_decref(params);
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

void rest_call_serve(RestRequest *request)
{
    const RestCall *call = request->route->with;
    g_autoptr(GError) error = NULL;
    json_t *params = prepare(request, &call, &error);
    if (!params || !serve(request, call, params, &error))
        rest_call_fail(request, call, error);
    json_decref(params);
}
