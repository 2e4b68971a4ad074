/* Users, groups, rules and tokens of a configuration. */
#include "api/config_private.h"
#include "api/error.h"
#include "base/json_text.h"

#include <string.h>

static json_t *replace_text(json_t *list, const char *old, const char *new)
{
    json_t *copy = json_array(), *item;
    size_t i;
    json_array_foreach (list, i, item)
        json_array_append_new(copy, json_string(g_strcmp0(json_string_value(item), old) == 0
                                                    ? new
                                                    : json_string_value(item)));
    return copy;
}

/* What belonged to the user `old` belongs to `new`. */
static void hand_over(Import *import, const char *old, const char *new)
{
    const char *id;
    json_t *record;
    void *next;
    json_object_foreach_safe (import_all(import, "tokens"), next, id, record)
        if (g_str_equal(json_text(record, "user_id"), old)) {
            json_t *copy = json_copy(record);
            json_object_set_new(copy, "user_id", json_string(new));
            import_put(import, "tokens", id, copy);
            json_decref(copy);
        }
    json_object_foreach_safe (import_all(import, "groups"), next, id, record) {
        json_t *copy = json_copy(record);
        json_object_set_new(copy, "users",
                            replace_text(json_object_get(record, "users"), old, new));
        if (!json_equal(copy, record))
            import_put(import, "groups", id, copy);
        json_decref(copy);
    }
    json_object_foreach_safe (import_all(import, "acls"), next, id, record)
        if (g_str_equal(json_text(record, "subject"), old)) {
            g_autofree char *key =
                account_acl_id(new, json_text(record, "object"), json_text(record, "action"));
            json_t *copy = json_copy(record);
            json_object_set_new(copy, "subject", json_string(new));
            json_object_set_new(copy, "id", json_string(key));
            g_autofree char *gone = g_strdup(id);
            import_drop(import, "acls", gone);
            import_put(import, "acls", key, copy);
            json_decref(copy);
        }
}

/* A login name is unique. */
static bool replace_same_name(Import *import, const char *id, const char *name, GError **error)
{
    g_autofree char *wanted = g_utf8_casefold(name, -1);
    const char *other_id;
    json_t *other;
    void *next;
    json_object_foreach_safe (import_all(import, "users"), next, other_id, other) {
        g_autofree char *folded = g_utf8_casefold(json_text(other, "email"), -1);
        if (g_str_equal(other_id, id) || !g_str_equal(folded, wanted))
            continue;
        if (json_object_get(json_object_get(import->changes, "users"), other_id)) {
            api_error_invalid(error, "email: %s is there twice", name);
            return false;
        }
        g_autofree char *gone = g_strdup(other_id);
        hand_over(import, gone, id);
        import_drop(import, "users", gone);
        import_note(import, "replaces the user %s, who had the same name: sign in again", gone);
    }
    return true;
}

json_t *config_take_user(Import *import, json_t *sent, GError **error)
{
    json_t *preferences = json_object_get(sent, "preferences");
    const char *permission = json_text(sent, "permission"), *hash = json_text(sent, "pw_hash");
    if (!NEED("email"))
        return NULL;
    if (preferences && !json_is_object(preferences)) {
        api_error_invalid(error, "preferences: expected an object");
        return NULL;
    }
    if (!replace_same_name(import, import->id, json_text(sent, "email"), error))
        return NULL;
    json_t *record = COPY(NULL, "id", "email", "pw_hash", "authProviders", "preferences");
    bool is_admin = g_str_equal(permission, "admin");
    json_object_set_new(record, "permission", json_string(is_admin ? "admin" : "none"));
    if (!preferences)
        json_object_set_new(record, "preferences", json_object());
    if (*permission && !is_admin && !g_str_equal(permission, "none"))
        import_note(import, "the permission %s is not known: it has none", permission);
    if (*hash && !account_knows_hash(hash))
        import_note(import, "the password is kept in an unknown way: set a new one");
    return record;
}

json_t *config_show_user(const ApiParts *parts, json_t *record)
{
    json_t *user = account_user(parts->accounts, json_text(record, "id"), NULL);
    json_object_set(record, "groups", json_object_get(user, "groups"));
    json_decref(user);
    return record;
}

/* --- groups, rules, tokens --- */

json_t *config_take_group(Import *import, json_t *sent, GError **error)
{
    json_t *users = json_object_get(sent, "users"), *user, *known = json_array();
    size_t i;
    bool ok = NEED("name");
    if (ok && users && !json_is_array(users)) {
        api_error_invalid(error, "users: expected a list");
        ok = false;
    }
    json_array_foreach (users, i, user) {
        const char *id = json_string_value(user);
        if (id && import_find(import, "users", id))
            json_array_append(known, user);
        else
            import_note(import, "its user %s is not there", id ? id : "(no text)");
    }
    json_t *record = ok ? COPY(NULL, "id", "name", "provider", "providerGroupId") : NULL;
    if (record)
        json_object_set(record, "users", known);
    json_decref(known);
    return record;
}

json_t *config_show_group(const ApiParts *parts, json_t *record)
{
    json_object_set_new(record, "aclRoleIds", json_array());
    return record;
}

json_t *config_take_acl(Import *import, json_t *sent, GError **error)
{
    const char *subject = json_text(sent, "subject"), *action = json_text(sent, "action");
    if (!NEED("subject", "object", "action"))
        return NULL;
    if (!account_is_action(action)) {
        import_skip(import, "the role %s is not known", action);
        return NULL;
    }
    if (!import_find(import, "users", subject) && !import_find(import, "groups", subject)) {
        import_skip(import, "neither a user nor a group has the id %s", subject);
        return NULL;
    }
    json_t *record = COPY(NULL, "subject", "object", "action");
    g_autofree char *id = account_acl_id(subject, json_text(sent, "object"), action);
    json_object_set_new(record, "id", json_string(id));
    return record;
}

json_t *config_take_token(Import *import, json_t *sent, GError **error)
{
    json_t *expiration = json_object_get(sent, "expiration");
    if (!NEED("user_id"))
        return NULL;
    if (!json_is_integer(expiration)) {
        api_error_invalid(error, "expiration: expected a time in milliseconds");
        return NULL;
    }
    import->id = import->name = NULL; /* the id is the secret */
    if (json_integer_value(expiration) <= g_get_real_time() / 1000) {
        import_skip(import, "it has expired");
        return NULL;
    }
    if (!import_find(import, "users", json_text(sent, "user_id"))) {
        import_skip(import, "there is no user %s", json_text(sent, "user_id"));
        return NULL;
    }
    return COPY(NULL, "id", "user_id", "created_at", "expiration", "description", "client",
                "last_uses");
}
