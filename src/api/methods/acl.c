/* group.*, acl.*, role.*: who may do what to which objects. */
#include "api/method.h"

static Accounts *accounts(ApiCall *call)
{
    return call_parts(call)->accounts;
}

/* --- group.* --- */

static json_t *group_create(ApiCall *call, GError **error)
{
    g_autofree char *id = account_create_group(accounts(call), call_string(call, "name"), error);
    return id ? json_string(id) : NULL;
}

static json_t *group_get_all(ApiCall *call, GError **error)
{
    return account_groups(accounts(call), error);
}

static json_t *group_delete(ApiCall *call, GError **error)
{
    account_delete_group(accounts(call), call_string(call, "id"), error);
    return NULL;
}

static json_t *group_set(ApiCall *call, GError **error)
{
    json_t *changes = json_copy(call_params(call));
    json_object_del(changes, "id");
    account_set_group(accounts(call), call_string(call, "id"), changes, error);
    json_decref(changes);
    return NULL;
}

/* The reference of `users` is taken. */
static void set_users(ApiCall *call, json_t *users, GError **error)
{
    json_t *changes = json_pack("{s:o}", "users", users);
    account_set_group(accounts(call), call_string(call, "id"), changes, error);
    json_decref(changes);
}

static json_t *group_set_users(ApiCall *call, GError **error)
{
    set_users(call, json_incref(call_get(call, "userIds")), error);
    return NULL;
}

/* The users of a group but the one named, a new array; NULL with API_NO_SUCH_OBJECT. */
static json_t *other_users(ApiCall *call, GError **error)
{
    json_t *groups = account_groups(accounts(call), error);
    json_t *users = NULL;
    size_t i, k;
    json_t *group, *user;
    json_array_foreach (groups, i, group) {
        if (!json_equal(json_object_get(group, "id"), call_get(call, "id")))
            continue;
        users = json_array();
        json_array_foreach (json_object_get(group, "users"), k, user)
            if (!json_equal(user, call_get(call, "userId")))
                json_array_append(users, user);
    }
    if (groups && !users)
        api_error_no_such(error, call_string(call, "id"), "group");
    json_decref(groups);
    return users;
}

static json_t *group_add_user(ApiCall *call, GError **error)
{
    json_t *users = other_users(call, error);
    if (users) {
        json_array_append(users, call_get(call, "userId"));
        set_users(call, users, error);
    }
    return NULL;
}

static json_t *group_remove_user(ApiCall *call, GError **error)
{
    json_t *users = other_users(call, error);
    if (users)
        set_users(call, users, error);
    return NULL;
}

/* --- acl.* --- */

static json_t *acl_get(ApiCall *call, GError **error)
{
    return account_acls(accounts(call), error);
}

static json_t *acl_add(ApiCall *call, GError **error)
{
    account_add_acl(accounts(call), call_string(call, "subject"), call_string(call, "object"),
                    call_string(call, "action"), error);
    return NULL;
}

static json_t *acl_remove(ApiCall *call, GError **error)
{
    account_remove_acl(accounts(call), call_string(call, "subject"), call_string(call, "object"),
                       call_string(call, "action"), error);
    return NULL;
}

/* --- role.* --- */

enum { N_LEVELS = 3 };
static const char *const levels[N_LEVELS] = { "view", "operate", "administrate" };
/* The role number i grants the levels up to its own. */
static const char *const roles[N_LEVELS][2] = { { "viewer", "Viewer" },
                                                { "operator", "Operator" },
                                                { "admin", "Admin" } };

static json_t *role_get_all(ApiCall *call, GError **error)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < N_LEVELS; i++) {
        json_t *permissions = json_array();
        for (unsigned k = 0; k <= i; k++)
            json_array_append_new(permissions, json_string(levels[k]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "id", roles[i][0], "name",
                                              roles[i][1], "permissions", permissions));
    }
    return list;
}

static void grant(json_t *permissions, const char *object, const char *role)
{
    json_t *granted = json_object_get(permissions, object);
    if (!granted)
        json_object_set_new(permissions, object, granted = json_object());
    for (unsigned i = 0; i < N_LEVELS; i++)
        for (unsigned k = 0; g_strcmp0(roles[i][0], role) == 0 && k <= i; k++)
            json_object_set_new(granted, levels[k], json_integer(1));
}

static json_t *current_permissions(ApiCall *call, GError **error)
{
    json_t *acls = account_acls(accounts(call), error);
    json_t *permissions = acls ? json_object() : NULL;
    size_t i;
    json_t *acl;
    json_array_foreach (acls, i, acl)
        if (account_is_subject(call_user(call), json_object_get(acl, "subject")))
            grant(permissions, json_string_value(json_object_get(acl, "object")),
                  json_string_value(json_object_get(acl, "action")));
    json_decref(acls);
    return permissions;
}

#define MEMBER PARAMS(REQ(STR("id")), REQ(STR("userId")))
#define ACL    PARAMS(REQ(STR("subject")), REQ(STR("object")), REQ(STR("action")))

const Method methods_acl[] = {
    { "group.create", group_create, PARAMS(REQ(STR("name"))), .example = "name=operators",
      .summary = "Create a group." },
    { "group.getAll", group_get_all, NULL, .example = "", .summary = "All groups." },
    { "group.delete", group_delete, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_GROUP",
      .summary = "Delete a group." },
    { "group.set", group_set, PARAMS(REQ(STR("id")), OPT(STR("name"))),
      .example = "id=$GROUP name='operators of the night'", .summary = "Change a group." },
    { "group.setUsers", group_set_users, PARAMS(REQ(STR("id")), REQ(ARR("userIds", P_STRING))),
      .example = "id=$GROUP userIds=json:\"[\\\"$USER\\\"]\"",
      .summary = "Say who is in a group." },
    { "group.addUser", group_add_user, MEMBER, .example = "id=$GROUP userId=$USER",
      .summary = "Put a user into a group." },
    { "group.removeUser", group_remove_user, MEMBER, .example = "id=$GROUP userId=$USER",
      .summary = "Take a user out of a group." },
    { "acl.get", acl_get, NULL, .example = "", .summary = "All access rules." },
    { "acl.add", acl_add, ACL, .example = "subject=$USER object=$VM action=operator",
      .summary = "Add an access rule." },
    { "acl.remove", acl_remove, ACL, .example = "subject=$USER object=$VM action=operator",
      .summary = "Remove an access rule." },
    { "acl.getCurrentPermissions", current_permissions, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What one may do to which objects." },
    { "role.getAll", role_get_all, NULL, .access = ACCESS_USER, .example = "",
      .summary = "All roles." },
    { NULL },
};
