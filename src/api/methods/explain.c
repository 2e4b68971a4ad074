/* acl.explain: why a call would be allowed or refused. It asks what the call would ask, in the same
 * order, and does not run it. */
#include "api/method.h"
#include "api/methods/explain_set.h"
#include "api/rest.h"

#include <string.h>

/* The rules of the user and its groups on an object. */
static json_t *rules_on(json_t *acls, json_t *user, json_t *object)
{
    json_t *rules = json_array(), *acl;
    size_t i;
    json_array_foreach (acls, i, acl)
        if (json_equal(json_object_get(acl, "object"), object) &&
            account_is_subject(user, json_object_get(acl, "subject")))
            json_array_append(rules, acl);
    return rules;
}

/* {id, permission, allowed, asked: [{id, rules}]}: the object, and those it inherits from. */
static json_t *explain_object(ApiCall *call, json_t *user, const char *id, const char *permission)
{
    const ApiParts *parts = call_parts(call);
    json_t *acls = account_acls(parts->accounts, NULL), *asked = json_array(), *other;
    json_t *path =
        account_may_path(parts->accounts, user, id, permission, servers_text, parts->servers);
    bool allowed = account_may(parts->accounts, user, id, permission, servers_text, parts->servers);
    size_t i;
    json_array_foreach (path, i, other)
        json_array_append_new(
            asked, json_pack("{s:O, s:o}", "id", other, "rules", rules_on(acls, user, other)));
    json_decref(path);
    json_decref(acls);
    return json_pack("{s:s, s:s, s:b, s:o}", "id", id, "permission", permission, "allowed", allowed,
                     "asked", asked);
}

/* The objects that the parameters name, where the method wants a permission on them. */
static json_t *explain_objects(ApiCall *call, json_t *user, const Method *method, json_t *params)
{
    json_t *list = json_array();
    for (const Param *row = method->params; row && row->name; row++) {
        const char *id = row->objects ? json_string_value(json_object_get(params, row->name))
                                      : NULL;
        json_t *view = id ? servers_object(call_parts(call)->servers, id) : NULL;
        const char *own = json_string_value(json_object_get(view, "id"));
        if (own && row->permission)
            json_array_append_new(list, explain_object(call, user, own, row->permission));
        json_decref(view);
    }
    return list;
}

static const char *role_of(const Method *method)
{
    return method->access == ACCESS_ADMIN  ? "admin"
           : method->access == ACCESS_USER ? "user"
                                           : "anyone";
}

/* --- A call of a method --- */

/* What the call would ask beyond its rows; false, with *why, when it would be refused. */
static bool ask_set(ApiCall *call, json_t *user, const Method *method, json_t *params, json_t *told,
                    char **why)
{
    const ApiParts *parts = call_parts(call);
    json_t *set = explain_set(parts, user, params, why);
    const char *permission = NULL;
    g_autofree char *id = set || *why ? NULL
                                      : explain_without_set(parts, method, params, &permission);
    json_t *object = id ? explain_object(call, user, id, permission) : NULL;
    if (object && !json_is_true(json_object_get(object, "allowed")))
        *why =
            g_strdup_printf("%s is asked on %s, or a resource set that lends it", permission, id);
    if (set)
        json_object_set_new(told, "resourceSet", set);
    if (object && json_is_array(json_object_get(told, "objects")))
        json_array_append(json_object_get(told, "objects"), object);
    json_decref(object);
    return !*why;
}

/* Others than administrators learn nothing of objects that they may not see. */
static json_t *explain_call(ApiCall *call, Session *session, json_t *user, const Method *method,
                            json_t *params, const char *granted)
{
    CallTerms terms = { .granted = granted };
    g_autoptr(GError) failure = NULL;
    g_autofree char *why = NULL;
    bool allowed = call_check(call_parts(call), session, method->name, params, &terms, &failure);
    bool admin = account_is_admin(call_user(call));
    json_t *told = json_pack("{s:s, s:s, s:O}", "method", method->name, "role", role_of(method),
                             "permission", json_object_get(user, "permission"));
    if (failure)
        json_object_set_new(told, "error", call_error_json(call_parts(call), session, failure));
    if (admin)
        json_object_set_new(told, "objects", explain_objects(call, user, method, params));
    if (allowed && params && !granted)
        allowed = ask_set(call, user, method, params, told, &why);
    if (!admin)
        json_object_del(told, "resourceSet");
    json_object_set_new(told, "allowed", json_boolean(allowed));
    json_object_set_new(told, "reason",
                        json_string(failure ? failure->message
                                    : why   ? why
                                            : "everything that the call needs is granted"));
    return told;
}

/* --- A request of the REST API --- */

static json_t *verdict(bool allowed, const char *reason)
{
    return json_pack("{s:b, s:s}", "allowed", allowed, "reason", reason);
}

/* A route that asks a right itself. */
static json_t *explain_route(ApiCall *call, json_t *user, const RestAsked *asked)
{
    const ApiParts *parts = call_parts(call);
    if (asked->is_public || !asked->permission)
        return verdict(true,
                       asked->is_public ? "it is for anybody" : "it is for whoever is signed in");
    if (g_str_equal(asked->permission, "admin"))
        return verdict(account_is_admin(user), "it is for administrators");
    bool granted = asked->granted && g_str_equal(asked->permission, "view");
    bool allowed = granted || account_may(parts->accounts, user, asked->id, asked->permission,
                                          servers_text, parts->servers);
    g_autofree char *reason = g_strdup_printf("%s is asked on %s", asked->permission, asked->id);
    json_t *told = verdict(allowed, reason);
    if (account_is_admin(call_user(call)))
        json_object_set_new(
            told, "objects",
            json_pack("[o]", explain_object(call, user, asked->id, asked->permission)));
    return told;
}

static json_t *explain_request(ApiCall *call, Session *session, json_t *user, const char *line,
                               GError **error)
{
    RestAsked asked;
    json_t *told = NULL;
    g_autoptr(GError) failure = NULL;
    if (rest_ask(call_parts(call), session, line, call_get(call, "params"), &asked, &failure))
        told = asked.method ? explain_call(call, session, user, method_find(asked.method),
                                           asked.params, asked.granted ? asked.id : NULL)
                            : explain_route(call, user, &asked);
    else if (asked.method) { /* the route itself refuses */
        told = verdict(false, failure->message);
        json_object_set_new(told, "error", call_error_json(call_parts(call), session, failure));
    } else
        g_propagate_error(error, g_steal_pointer(&failure));
    rest_asked_clear(&asked);
    return told;
}

static json_t *explain(ApiCall *call, Session *session, json_t *user, GError **error)
{
    const char *name = call_string(call, "method");
    const Method *method = method_find(name);
    if (strchr(name, ' '))
        return explain_request(call, session, user, name, error);
    if (method)
        return explain_call(call, session, user, method, call_get(call, "params"), NULL);
    api_error_no_such(error, name, "method");
    return NULL;
}

static json_t *acl_explain(ApiCall *call, GError **error)
{
    const char *other = call_string(call, "user");
    Accounts *accounts = call_parts(call)->accounts;
    if (other && !account_is_admin(call_user(call))) {
        api_error_unauthorized(error, "admin", NULL);
        return NULL;
    }
    g_autoptr(Session) session = session_new_as(accounts, other ? other : call_user_id(call));
    json_t *user = other ? account_user(accounts, other, error) : json_incref(call_user(call));
    json_t *result = user ? explain(call, session, user, error) : NULL;
    json_decref(user);
    return result;
}

const Method methods_explain[] = {
    { "acl.explain", acl_explain,
      PARAMS(REQ(STR("method"), .words = "or a request of REST, such as DELETE /vms/<id>"),
             OPT(OBJ("params"), .words = "or the body"), OPT(STR("user"))),
      .access = ACCESS_USER,
      .example = "method=vm.start params=json:\"{\\\"id\\\":\\\"$VM\\\"}\" user=$USER",
      .summary = "Why a call of a method with these parameters would be allowed or refused; or a "
                 "request of REST." },
    { NULL },
};
