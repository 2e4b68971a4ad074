/* acl.explain: why a call would be allowed or refused. It asks what the call would ask, in the same
 * order, and does not run it. */
#include "api/method.h"

#include <string.h>

static bool is_of(json_t *user, json_t *subject)
{
    size_t i;
    json_t *group;
    if (json_equal(json_object_get(user, "id"), subject))
        return true;
    json_array_foreach (json_object_get(user, "groups"), i, group)
        if (json_equal(group, subject))
            return true;
    return false;
}

/* The rules of the user and its groups on an object. */
static json_t *rules_on(json_t *acls, json_t *user, json_t *object)
{
    json_t *rules = json_array(), *acl;
    size_t i;
    json_array_foreach (acls, i, acl)
        if (json_equal(json_object_get(acl, "object"), object) &&
            is_of(user, json_object_get(acl, "subject")))
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

static const char *reason(const GError *failure)
{
    return failure ? failure->message : "everything that the call needs is granted";
}

/* Others than administrators learn nothing of objects that they may not see. */
static json_t *explain(ApiCall *call, Session *session, json_t *user, const Method *method)
{
    g_autoptr(GError) failure = NULL;
    json_t *params = call_get(call, "params");
    bool allowed = call_check(call_parts(call), session, method->name, params, &failure);
    bool admin = account_is_admin(call_user(call));
    json_t *error = failure ? call_error_json(call_parts(call), session, failure) : NULL;
    json_t *objects = admin ? explain_objects(call, user, method, params) : NULL;
    return json_pack("{s:b, s:s, s:s, s:O, s:o*, s:o*}", "allowed", allowed, "reason",
                     reason(failure), "role", role_of(method), "permission",
                     json_object_get(user, "permission"), "error", error, "objects", objects);
}

static json_t *acl_explain(ApiCall *call, GError **error)
{
    const char *name = call_string(call, "method"), *other = call_string(call, "user");
    const Method *method = method_find(name);
    Accounts *accounts = call_parts(call)->accounts;
    if (other && !account_is_admin(call_user(call))) {
        api_error_unauthorized(error, "admin", NULL);
        return NULL;
    }
    if (!method) {
        api_error_no_such(error, name, "method");
        return NULL;
    }
    g_autoptr(Session) session = session_new_as(accounts, other ? other : call_user_id(call));
    json_t *user = other ? account_user(accounts, other, error) : json_incref(call_user(call));
    json_t *result = user ? explain(call, session, user, method) : NULL;
    json_decref(user);
    return result;
}

const Method methods_explain[] = {
    { "acl.explain", acl_explain, PARAMS(REQ(STR("method")), OPT(OBJ("params")), OPT(STR("user"))),
      .access = ACCESS_USER,
      .example = "method=vm.start params=json:\"{\\\"id\\\":\\\"$VM\\\"}\" user=$USER",
      .summary = "Why a call of a method with these parameters would be allowed or refused." },
    { NULL },
};
