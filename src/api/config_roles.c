/* Roles of REST and their privileges in a configuration. This server keeps with a role who has it;
 * XO has a record {id, roleId, userId or groupId} for each. */
#include "api/config_private.h"
#include "api/error.h"
#include "base/filter.h"
#include "base/json_text.h"

#include <string.h>

/* Those that are there. */
static json_t *known_of(Import *import, json_t *sent, const char *collection)
{
    json_t *known = json_array(), *one;
    size_t i;
    json_array_foreach (json_object_get(sent, collection), i, one)
        if (json_is_string(one) && import_find(import, collection, json_string_value(one)))
            json_array_append(known, one);
    return known;
}

/* Where they are not said, those who have the role keep it. */
static void keep_subjects(Import *import, json_t *role, json_t *sent, const char *list)
{
    json_t *old = json_object_get(import_find(import, ROLES, json_text(sent, "id")), list);
    bool keeps = !json_object_get(sent, list) && old;
    json_object_set_new(role, list, keeps ? json_deep_copy(old) : known_of(import, sent, list));
}

static bool has_text(json_t *list, const char *text)
{
    size_t i;
    json_t *one;
    json_array_foreach (list, i, one)
        if (g_strcmp0(json_string_value(one), text) == 0)
            return true;
    return false;
}

json_t *config_take_role(Import *import, json_t *sent, GError **error)
{
    if (!NEED("name"))
        return NULL;
    json_t *role = COPY(NULL, "id", "name", "description", "isTemplate", "roleTemplateId");
    keep_subjects(import, role, sent, "users");
    keep_subjects(import, role, sent, "groups");
    return role;
}

json_t *config_show_role(const ApiParts *parts, json_t *role)
{
    json_object_del(role, "users");
    json_object_del(role, "groups");
    return role;
}

bool config_attach(Import *import, json_t *sent, bool *had, GError **error)
{
    const char *list = import->entry->attaches, *key = import->entry->subject;
    if (!NEED("roleId") || !config_need(sent, (const char *const[]){ key, NULL }, error))
        return false;
    const char *role_id = json_text(sent, "roleId"), *subject = json_text(sent, key);
    json_t *role = import_find(import, ROLES, role_id);
    *had = has_text(json_object_get(role, list), subject);
    if (!role)
        import_skip(import, "no role has the id %s", role_id);
    else if (!import_find(import, list, subject))
        import_skip(import, "%s: nobody has the id %s", key, subject);
    else if (!*had) {
        json_t *copy = json_deep_copy(role);
        json_array_append_new(json_object_get(copy, list), json_string(subject));
        import_put(import, ROLES, role_id, copy);
        json_decref(copy);
    }
    return true;
}

json_t *config_attachments(const ApiParts *parts, const ConfigEntry *entry, GError **error)
{
    json_t *roles = store_list(parts->store, ROLES, error), *role, *subject;
    json_t *records = roles ? json_array() : NULL;
    size_t i, k;
    json_array_foreach (roles, i, role)
        json_array_foreach (json_object_get(role, entry->attaches), k, subject) {
            const char *role_id = json_text(role, "id");
            g_autofree char *id = account_acl_id(json_string_value(subject), role_id, entry->name);
            json_array_append_new(records, json_pack("{s:s, s:s, s:O}", "id", id, "roleId", role_id,
                                                     entry->subject, subject));
        }
    json_decref(roles);
    return records;
}

json_t *config_take_privilege(Import *import, json_t *sent, GError **error)
{
    const char *selector = json_text(sent, "selector"), *effect = json_text(sent, "effect");
    g_autoptr(Filter) filter = NULL;
    if (!NEED("roleId", "resource", "action") ||
        (*selector && !(filter = filter_parse(selector, error))))
        return NULL;
    if (!import_find(import, ROLES, json_text(sent, "roleId"))) {
        import_skip(import, "no role has the id %s", json_text(sent, "roleId"));
        return NULL;
    }
    if (!g_str_equal(effect, "allow") && !g_str_equal(effect, "deny")) {
        api_error_invalid(error, "effect: expected allow or deny");
        return NULL;
    }
    return COPY(NULL, "id", "roleId", "resource", "action", "effect", "selector");
}
