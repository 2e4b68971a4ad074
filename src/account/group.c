/* Groups and ACL records, and how a person vanishes from all of them. */
#include "account/private.h"
#include "account/role.h"

#include "base/error.h"
#include "base/json_list.h"

#include <string.h>

bool account_is_subject(json_t *user, json_t *subject)
{
    return json_equal(json_object_get(user, "id"), subject) ||
           json_list_has(json_object_get(user, "groups"), subject);
}

json_t *account_groups_of(json_t *groups, const char *user_id)
{
    json_t *ids = json_array(), *group;
    gsize i;
    json_array_foreach (groups, i, group)
        if (json_list_has_text(json_object_get(group, "users"), user_id))
            json_array_append_new(ids, json_string(field(group, "id")));
    return ids;
}

/* XO's records name the roles of a group. */
json_t *account_groups(Accounts *accounts, GError **error)
{
    json_t *groups = store_list(accounts->store, "groups", error), *group;
    json_t *roles = json_array_size(groups) ? roles_list(accounts, NULL) : NULL;
    gsize i;
    json_array_foreach (groups, i, group)
        json_object_set_new(group, "aclRoleIds", roles_of_group(roles, field(group, "id")));
    json_decref(roles);
    return groups;
}

static json_t *group_record(Accounts *accounts, const char *id, GError **error)
{
    json_t *group = store_get(accounts->store, "groups", id, NULL);
    if (!group)
        err_set(error, ERR_NOT_FOUND, "no such group %s", id);
    return group;
}

char *account_create_group(Accounts *accounts, const char *name, GError **error)
{
    g_autofree char *id = g_uuid_string_random();
    if (!*name) {
        err_set(error, ERR_INVALID, "name: expected text");
        return NULL;
    }
    json_t *group = json_pack("{s:s, s:s, s:[]}", "id", id, "name", name, "users");
    bool ok = store_add(accounts->store, "groups", id, group, error);
    json_decref(group);
    return ok ? g_steal_pointer(&id) : NULL;
}

static bool check_users(Accounts *accounts, json_t *users, GError **error)
{
    gsize i;
    json_t *id;
    json_array_foreach (users, i, id) {
        json_t *user =
            account_record(accounts, json_is_string(id) ? json_string_value(id) : "", error);
        if (!user)
            return false;
        json_decref(user);
    }
    return true;
}

bool account_set_group(Accounts *accounts, const char *id, json_t *changes, GError **error)
{
    json_t *users = json_object_get(changes, "users"), *name = json_object_get(changes, "name");
    pthread_mutex_lock(&accounts->lock);
    json_t *group = group_record(accounts, id, error);
    bool ok = group && check_users(accounts, users, error);
    if (ok && json_is_array(users))
        json_object_set(group, "users", users);
    if (ok && json_is_string(name))
        json_object_set(group, "name", name);
    ok = ok && store_put(accounts->store, "groups", id, group, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(group);
    return ok;
}

/* Drops the records of a collection whose `key` is `value`. Lock held. */
static bool drop_where(Accounts *accounts, const char *collection, const char *key,
                       const char *value, GError **error)
{
    json_t *records = store_list(accounts->store, collection, error), *record;
    bool ok = records != NULL;
    gsize i;
    json_array_foreach (records, i, record)
        if (ok && strcmp(field(record, key), value) == 0)
            ok = store_drop(accounts->store, collection, field(record, "id"), NULL, error);
    json_decref(records);
    return ok;
}

static bool leave_groups(Accounts *accounts, const char *id, GError **error)
{
    json_t *groups = store_list(accounts->store, "groups", error), *group;
    bool ok = groups != NULL;
    gsize i;
    json_array_foreach (groups, i, group)
        if (ok && json_list_take_text(json_object_get(group, "users"), id))
            ok = store_put(accounts->store, "groups", field(group, "id"), group, error);
    json_decref(groups);
    return ok;
}

bool account_forget_subject(Accounts *accounts, const char *id, GError **error)
{
    return drop_where(accounts, "tokens", "user_id", id, error) &&
           drop_where(accounts, "acls", "subject", id, error) &&
           leave_groups(accounts, id, error) && roles_forget_subject(accounts, id, error);
}

bool account_delete_group(Accounts *accounts, const char *id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *group = group_record(accounts, id, error);
    bool ok = group && drop_where(accounts, "acls", "subject", id, error) &&
              roles_forget_subject(accounts, id, error) &&
              store_drop(accounts->store, "groups", id, NULL, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(group);
    return ok;
}

bool account_forget_object(Accounts *accounts, const char *object, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    bool ok = drop_where(accounts, "acls", "object", object, error);
    pthread_mutex_unlock(&accounts->lock);
    return ok;
}

/* --- What is of nobody --- */

static void add_ids(GHashTable *ids, json_t *records)
{
    json_t *record;
    gsize i;
    json_array_foreach (records, i, record)
        g_hash_table_add(ids, g_strdup(field(record, "id")));
    json_decref(records);
}

/* Drops the records whose `key` names nobody; the number of them, -1 with an error. */
static int drop_orphans(Accounts *accounts, const char *collection, const char *key,
                        GHashTable *subjects, GError **error)
{
    json_t *records = store_list(accounts->store, collection, error), *record;
    int n = records ? 0 : -1;
    gsize i;
    json_array_foreach (records, i, record) {
        if (n < 0 || g_hash_table_contains(subjects, field(record, key)))
            continue;
        n = store_drop(accounts->store, collection, field(record, "id"), NULL, error) ? n + 1 : -1;
    }
    json_decref(records);
    return n;
}

static json_t *only_of(json_t *list, GHashTable *ids)
{
    json_t *kept = json_array(), *item;
    gsize i;
    json_array_foreach (list, i, item)
        if (json_is_string(item) && g_hash_table_contains(ids, json_string_value(item)))
            json_array_append(kept, item);
    return kept;
}

static int clean_groups(Accounts *accounts, GHashTable *users, GError **error)
{
    json_t *groups = store_list(accounts->store, "groups", error), *group;
    int n = groups ? 0 : -1;
    gsize i;
    json_array_foreach (groups, i, group) {
        json_t *members = json_object_get(group, "users"), *kept = only_of(members, users);
        size_t n_gone = json_array_size(members) - json_array_size(kept);
        json_object_set_new(group, "users", kept);
        if (n < 0 || n_gone == 0)
            continue;
        n = store_put(accounts->store, "groups", field(group, "id"), group, error)
                ? n + (int) n_gone
                : -1;
    }
    json_decref(groups);
    return n;
}

/* Lock held; the tables were read without an error. */
static int clean(Accounts *accounts, GHashTable *users, GHashTable *subjects, GError **error)
{
    int n_tokens = drop_orphans(accounts, "tokens", "user_id", users, error);
    int n_acls = n_tokens < 0 ? -1 : drop_orphans(accounts, "acls", "subject", subjects, error);
    int n_members = n_acls < 0 ? -1 : clean_groups(accounts, users, error);
    return n_members < 0 ? -1 : n_tokens + n_acls + n_members;
}

int account_clean(Accounts *accounts, GError **error)
{
    g_autoptr(GHashTable) users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) subjects = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    json_decref(account_tokens(accounts, NULL, NULL)); /* drops the expired ones */
    pthread_mutex_lock(&accounts->lock);
    json_t *all = store_list(accounts->store, "users", error);
    json_t *groups = all ? store_list(accounts->store, "groups", error) : NULL;
    int n = -1;
    if (groups) {
        add_ids(users, json_incref(all));
        add_ids(subjects, json_incref(all));
        add_ids(subjects, json_incref(groups));
        n = clean(accounts, users, subjects, error);
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(all);
    json_decref(groups);
    return n;
}

/* --- ACLs --- */

static const char *const actions[] = { "viewer", "operator", "admin", NULL };

char *account_acl_id(const char *subject, const char *object, const char *action)
{
    g_autofree char *text = g_strdup_printf("%s\n%s\n%s", subject, object, action);
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    return g_strndup(digest, 16);
}

bool account_is_action(const char *action)
{
    return g_strv_contains(actions, action);
}

json_t *account_acls(Accounts *accounts, GError **error)
{
    return store_list(accounts->store, "acls", error);
}

bool account_add_acl(Accounts *accounts, const char *subject, const char *object,
                     const char *action, GError **error)
{
    if (!account_is_action(action)) {
        err_set(error, ERR_INVALID, "action: expected viewer, operator or admin");
        return false;
    }
    g_autofree char *id = account_acl_id(subject, object, action);
    json_t *acl = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "subject", subject, "object", object,
                            "action", action);
    bool ok = store_put(accounts->store, "acls", id, acl, error);
    json_decref(acl);
    return ok;
}

bool account_remove_acl(Accounts *accounts, const char *subject, const char *object,
                        const char *action, GError **error)
{
    g_autofree char *id = account_acl_id(subject, object, action);
    return store_drop(accounts->store, "acls", id, NULL, error);
}
