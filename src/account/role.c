/* Roles are few and read as they are asked for; selectors are parsed once for each request. */
#include "account/role.h"
#include "account/private.h"

#include "base/error.h"
#include "base/filter.h"
#include "base/json_list.h"
#include "base/mutant.h"

#include <string.h>

#define ROLES      "aclRoles"
#define PRIVILEGES "aclPrivileges"

/* --- Roles --- */

json_t *roles_list(Accounts *accounts, GError **error)
{
    return store_list(accounts->store, ROLES, error);
}

json_t *roles_get(Accounts *accounts, const char *id, GError **error)
{
    json_t *role = store_get(accounts->store, ROLES, id, NULL);
    if (!role)
        err_set(error, ERR_NOT_FOUND, "no such role %s", id);
    return role;
}

static bool has_room(Accounts *accounts, const char *collection, size_t max, GError **error)
{
    json_t *all = store_list(accounts->store, collection, error);
    size_t n = json_array_size(all);
    json_decref(all);
    if (all && n >= max)
        err_set(error, ERR_LIMIT, "there are already %zu of %s", n, collection);
    return all && n < max;
}

char *roles_add(Accounts *accounts, const char *name, const char *description, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    g_autofree char *id = g_uuid_string_random();
    json_t *role = json_pack("{s:s, s:s, s:s*, s:b, s:[], s:[]}", "id", id, "name", name,
                             "description", description, "isTemplate", 0, "users", "groups");
    bool ok = has_room(accounts, ROLES, ROLES_MAX, error) &&
              store_add(accounts->store, ROLES, id, role, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(role);
    return ok ? g_steal_pointer(&id) : NULL;
}

static void change(json_t *record, json_t *changes)
{
    const char *key;
    json_t *value;
    json_object_foreach (changes, key, value)
        if (json_is_null(value))
            json_object_del(record, key);
        else
            json_object_set(record, key, value);
}

bool roles_set(Accounts *accounts, const char *id, json_t *changes, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *role = roles_get(accounts, id, error);
    change(role, changes);
    bool ok = role && store_put(accounts->store, ROLES, id, role, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(role);
    return ok;
}

/* All or nothing: a privilege without its role would come back with another one of that id. */
static bool drop_whole(Accounts *accounts, const char *id, json_t *privileges, GError **error)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(StoreChange));
    StoreChange role = { ROLES, id, NULL };
    json_t *privilege;
    size_t i;
    g_array_append_val(changes, role);
    json_array_foreach (privileges, i, privilege)
        if (g_str_equal(field(privilege, "roleId"), id)) {
            StoreChange one = { PRIVILEGES, field(privilege, "id"), NULL };
            g_array_append_val(changes, one);
        }
    return store_change_all(accounts->store, (StoreChange *) (void *) changes->data, changes->len,
                            error);
}

bool roles_drop(Accounts *accounts, const char *id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *role = roles_get(accounts, id, error);
    json_t *privileges = role ? privileges_list(accounts, error) : NULL;
    bool ok = privileges && drop_whole(accounts, id, privileges, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(privileges);
    json_decref(role);
    return ok;
}

bool roles_attach(Accounts *accounts, const char *id, const char *subjects, const char *subject,
                  bool given, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *role = roles_get(accounts, id, error), *list = json_object_get(role, subjects);
    json_list_take_text(list, subject);
    if (given)
        json_array_append_new(list, json_string(subject));
    bool ok = role && store_put(accounts->store, ROLES, id, role, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(role);
    return ok;
}

json_t *roles_of_group(json_t *roles, const char *group)
{
    json_t *ids = json_array(), *role;
    size_t i;
    json_array_foreach (roles, i, role)
        if (json_list_has_text(json_object_get(role, "groups"), group))
            json_array_append(ids, json_object_get(role, "id"));
    return ids;
}

bool role_is_had(json_t *role, json_t *user)
{
    json_t *groups = json_object_get(role, "groups"), *group;
    bool is = json_list_has(json_object_get(role, "users"), json_object_get(user, "id"));
    size_t i;
    json_array_foreach (json_object_get(user, "groups"), i, group)
        is = is || json_list_has(groups, group);
    return is;
}

/* The lock is held. */
bool roles_forget_subject(Accounts *accounts, const char *subject, GError **error)
{
    json_t *roles = roles_list(accounts, error), *role;
    bool ok = roles != NULL;
    size_t i;
    json_array_foreach (roles, i, role) {
        bool was = json_list_take_text(json_object_get(role, "users"), subject);
        was = json_list_take_text(json_object_get(role, "groups"), subject) || was;
        ok = ok && (!was || store_put(accounts->store, ROLES, field(role, "id"), role, error));
    }
    json_decref(roles);
    return ok;
}

/* --- Privileges --- */

json_t *privileges_list(Accounts *accounts, GError **error)
{
    return store_list(accounts->store, PRIVILEGES, error);
}

static bool check(Accounts *accounts, json_t *privilege, GError **error)
{
    static const char *const effects[] = { "allow", "deny", NULL };
    const char *selector = field(privilege, "selector");
    g_autoptr(Filter) filter = *selector ? filter_parse(selector, error) : NULL;
    if (*selector && !filter)
        return false;
    if (!*field(privilege, "resource") || !*field(privilege, "action") ||
        !g_strv_contains(effects, field(privilege, "effect"))) {
        err_set(error, ERR_INVALID, "expected a resource, an action, and allow or deny as effect");
        return false;
    }
    json_t *role = roles_get(accounts, field(privilege, "roleId"), error);
    json_decref(role);
    return role != NULL;
}

char *privileges_add(Accounts *accounts, json_t *params, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    g_autofree char *id = g_uuid_string_random();
    json_t *privilege = json_pack("{s:s, s:s}", "id", id, "effect", "allow");
    change(privilege, params);
    json_object_set_new(privilege, "id", json_string(id));
    bool ok = has_room(accounts, PRIVILEGES, PRIVILEGES_MAX, error) &&
              check(accounts, privilege, error) &&
              store_add(accounts->store, PRIVILEGES, id, privilege, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(privilege);
    return ok ? g_steal_pointer(&id) : NULL;
}

static json_t *privilege_of(Accounts *accounts, const char *id, GError **error)
{
    json_t *privilege = store_get(accounts->store, PRIVILEGES, id, NULL);
    if (!privilege)
        err_set(error, ERR_NOT_FOUND, "no such privilege %s", id);
    return privilege;
}

bool privileges_set(Accounts *accounts, const char *id, json_t *changes, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *privilege = privilege_of(accounts, id, error);
    change(privilege, changes);
    bool ok = privilege && check(accounts, privilege, error) &&
              store_put(accounts->store, PRIVILEGES, id, privilege, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(privilege);
    return ok;
}

bool privileges_drop(Accounts *accounts, const char *id, GError **error)
{
    json_t *privilege = privilege_of(accounts, id, error);
    json_decref(privilege);
    return privilege && store_drop(accounts->store, PRIVILEGES, id, NULL, error);
}

/* --- What somebody may --- */

typedef struct {
    char *resource, *action;
    Filter *selector; /* NULL: all */
    bool denies;
} Grant;

struct Grants {
    GPtrArray *list; /* of Grant */
};

static void grant_free(void *data)
{
    Grant *grant = data;
    g_free(grant->resource);
    g_free(grant->action);
    g_clear_pointer(&grant->selector, filter_free);
    g_free(grant);
}

static void add_grant(Grants *grants, json_t *privilege)
{
    const char *selector = field(privilege, "selector");
    Filter *filter = *selector ? filter_parse(selector, NULL) : NULL;
    bool denies = g_str_equal(field(privilege, "effect"), "deny");
    if (*selector && !filter && !denies)
        return; /* what cannot be read allows nothing, and denies all */
    Grant *grant = g_new0(Grant, 1);
    *grant = (Grant){ g_strdup(field(privilege, "resource")), g_strdup(field(privilege, "action")),
                      filter, denies };
    g_ptr_array_add(grants->list, grant);
}

static void add_role(Grants *grants, json_t *privileges, const char *role)
{
    size_t i;
    json_t *privilege;
    json_array_foreach (privileges, i, privilege)
        if (g_str_equal(field(privilege, "roleId"), role))
            add_grant(grants, privilege);
}

Grants *grants_new(Accounts *accounts, json_t *user)
{
    json_t *roles = roles_list(accounts, NULL), *role, *privileges = NULL;
    g_autoptr(Grants) grants = g_new0(Grants, 1);
    grants->list = g_ptr_array_new_with_free_func(grant_free);
    size_t i;
    json_array_foreach (roles, i, role) {
        if (!role_is_had(role, user))
            continue;
        if (!privileges)
            privileges = privileges_list(accounts, NULL);
        add_role(grants, privileges, field(role, "id"));
    }
    json_decref(privileges);
    json_decref(roles);
    return grants->list->len ? g_steal_pointer(&grants) : NULL;
}

void grants_free(Grants *grants)
{
    if (!grants)
        return;
    g_ptr_array_unref(grants->list);
    g_free(grants);
}

/* "shutdown" covers "shutdown:clean". */
static bool covers(const char *granted, const char *action)
{
    size_t n = strlen(granted);
    return g_str_equal(granted, "*") ||
           (strncmp(granted, action, n) == 0 && (!action[n] || action[n] == ':'));
}

bool grants_allow(const Grants *grants, const char *resource, const char *action, GBytes *object)
{
    json_t *view = NULL;
    bool allowed = false, denied = false;
    for (unsigned i = 0; grants && !denied && i < grants->list->len; i++) {
        const Grant *grant = grants->list->pdata[i];
        if (!g_str_equal(grant->resource, resource) || !covers(grant->action, action))
            continue;
        if (grant->selector && !view)
            view = json_loadb(g_bytes_get_data(object, NULL), g_bytes_get_size(object),
                              JSON_ALLOW_NUL, NULL);
        bool meant =
            !grant->selector || filter_match(grant->selector, view) ||
            MUTANT(role_selects_all); /* mutant: system:test_rest.People.test_given_roles */
        denied = meant && grant->denies;
        allowed = allowed || meant;
    }
    json_decref(view);
    return allowed && !denied;
}
