/* role.*, but for role.getAll: roles of REST, and who has them. */
#include "api/method.h"
#include "account/role.h"
#include "api/rest.h"

#include <string.h>

static Accounts *accounts(ApiCall *call)
{
    return call_parts(call)->accounts;
}

/* Parameters but the id. */
static json_t *changes_of(ApiCall *call)
{
    json_t *changes = json_copy(call_params(call));
    json_object_del(changes, "id");
    return changes;
}

/* --- Roles --- */

static json_t *create(ApiCall *call, GError **error)
{
    g_autofree char *id = roles_add(accounts(call), call_string(call, "name"),
                                    call_string(call, "description"), error);
    return id ? json_string(id) : NULL;
}

static json_t *set(ApiCall *call, GError **error)
{
    json_t *changes = changes_of(call);
    roles_set(accounts(call), call_string(call, "id"), changes, error);
    json_decref(changes);
    return NULL;
}

static json_t *delete (ApiCall *call, GError **error)
{
    roles_drop(accounts(call), call_string(call, "id"), error);
    return NULL;
}

static bool add_copy(ApiCall *call, json_t *privilege, const char *role, GError **error)
{
    json_t *copy = json_copy(privilege);
    json_object_set_new(copy, "roleId", json_string(role));
    g_autofree char *id = privileges_add(accounts(call), copy, error);
    json_decref(copy);
    return id != NULL;
}

/* Of one of ours, or of those that are there by themselves. */
static json_t *copy(ApiCall *call, GError **error)
{
    const char *from = call_string(call, "id"), *name = call_string(call, "name");
    json_t *role = rest_role(call_parts(call), from), *privilege;
    if (!role) {
        api_error_no_such(error, from, "acl-role");
        return NULL;
    }
    g_autofree char *label =
        g_strdup_printf("%s (copy)", json_string_value(json_object_get(role, "name")));
    g_autofree char *id = roles_add(accounts(call), name ? name : label, NULL, error);
    json_t *privileges = id ? rest_role_privileges(call_parts(call), from) : NULL;
    bool ok = id != NULL;
    size_t i;
    json_array_foreach (privileges, i, privilege)
        ok = ok && add_copy(call, privilege, id, error);
    if (id && !ok)
        roles_drop(accounts(call), id, NULL);
    json_decref(privileges);
    json_decref(role);
    return ok ? json_string(id) : NULL;
}

/* --- Who has them --- */

static bool is_known(json_t *records, const char *id)
{
    size_t i;
    json_t *record;
    bool known = false;
    json_array_foreach (records, i, record)
        known = known || g_strcmp0(json_string_value(json_object_get(record, "id")), id) == 0;
    json_decref(records);
    return known;
}

static void attach(ApiCall *call, bool group, bool has, GError **error)
{
    const char *id = call_string(call, "id");
    const char *subject = call_string(call, group ? "groupId" : "userId");
    json_t *all = group ? account_groups(accounts(call), NULL)
                        : account_users(accounts(call), NULL);
    if (!is_known(all, subject)) {
        api_error_no_such(error, subject, group ? "group" : "user");
        return;
    }
    roles_attach(accounts(call), id, group ? "groups" : "users", subject, has, error);
}

static json_t *add_user(ApiCall *call, GError **error)
{
    attach(call, false, true, error);
    return NULL;
}

static json_t *remove_user(ApiCall *call, GError **error)
{
    attach(call, false, false, error);
    return NULL;
}

static json_t *add_group(ApiCall *call, GError **error)
{
    attach(call, true, true, error);
    return NULL;
}

static json_t *remove_group(ApiCall *call, GError **error)
{
    attach(call, true, false, error);
    return NULL;
}

/* --- Privileges --- */

static bool check_resource(ApiCall *call, GError **error)
{
    const char *resource = call_string(call, "resource");
    if (!resource || rest_is_resource(resource))
        return true;
    api_error_invalid(error, "resource: %s is none that privileges are given on", resource);
    return false;
}

static json_t *add_privilege(ApiCall *call, GError **error)
{
    if (!check_resource(call, error))
        return NULL;
    g_autofree char *id = privileges_add(accounts(call), call_params(call), error);
    return id ? json_string(id) : NULL;
}

static json_t *set_privilege(ApiCall *call, GError **error)
{
    if (!check_resource(call, error))
        return NULL;
    json_t *changes = changes_of(call);
    privileges_set(accounts(call), call_string(call, "id"), changes, error);
    json_decref(changes);
    return NULL;
}

static json_t *remove_privilege(ApiCall *call, GError **error)
{
    privileges_drop(accounts(call), call_string(call, "id"), error);
    return NULL;
}

#define ROLE_USER  PARAMS(REQ(STR("id")), REQ(STR("userId")))
#define ROLE_GROUP PARAMS(REQ(STR("id")), REQ(STR("groupId")))
#define EFFECT     STR("effect"), .choices = "allow|deny"
#define SELECTOR   STR0("selector"), .words = "a filter that the object must match"

const Method methods_acl_role[] = {
    { "role.create", create, PARAMS(REQ(STR("name")), OPT(STR0("description"))),
      .example = "name='those of the night'", .summary = "Create a role of REST." },
    { "role.set", set, PARAMS(REQ(STR("id")), OPT(STR("name")), OPT(STR0("description"))),
      .example = "id=$ROLE name='those of the day'", .summary = "Change a role of REST." },
    { "role.delete", delete, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_ROLE",
      .summary = "Delete a role of REST and its privileges." },
    { "role.copy", copy, PARAMS(REQ(STR("id")), OPT(STR("name"))), .example = "id=operator",
      .summary = "Create a role of REST with the privileges of another." },
    { "role.addUser", add_user, ROLE_USER, .example = "id=$ROLE userId=$USER",
      .summary = "Give a role of REST to a user." },
    { "role.removeUser", remove_user, ROLE_USER, .example = "id=$SPARE_ROLE userId=$USER",
      .summary = "Take a role of REST from a user." },
    { "role.addGroup", add_group, ROLE_GROUP, .example = "id=$ROLE groupId=$GROUP",
      .summary = "Give a role of REST to a group." },
    { "role.removeGroup", remove_group, ROLE_GROUP, .example = "id=$SPARE_ROLE groupId=$GROUP",
      .summary = "Take a role of REST from a group." },
    { "role.addPrivilege", add_privilege,
      PARAMS(REQ(STR("roleId")), REQ(STR("resource")), REQ(STR("action")), OPT(EFFECT),
             OPT(SELECTOR)),
      .example = "roleId=$ROLE resource=vm action=start selector='tags:production'",
      .summary = "Add a privilege to a role of REST." },
    { "role.setPrivilege", set_privilege,
      PARAMS(REQ(STR("id")), OPT(STR("resource")), OPT(STR("action")), OPT(EFFECT), OPT(SELECTOR)),
      .example = "id=$PRIVILEGE action=shutdown:clean",
      .summary = "Change a privilege of a role of REST." },
    { "role.removePrivilege", remove_privilege, PARAMS(REQ(STR("id"))),
      .example = "id=$SPARE_PRIVILEGE", .summary = "Take a privilege out of a role of REST." },
    { NULL },
};
