/* Methods that create ask a resource set, or a right on the pool or the storage: neither is in the
 * rows of their parameters, for it is one or the other. */
#include "api/methods/explain_set.h"

#include "base/json_list.h"
#include "account/resource_set.h"
#include "api/resource_sets.h"

#include <string.h>

/* What sets lend. */
static bool is_lendable(const char *type)
{
    static const char *const types[] = { "VM-template", "SR", "network", "host", NULL };
    return type && g_strv_contains(types, type);
}

/* Every object that the parameters name, however deep, of the kinds that sets lend. */
static void add_objects(const ApiParts *parts, json_t *set, json_t *value, json_t *list)
{
    size_t i;
    const char *key;
    json_t *item;
    json_array_foreach (value, i, item)
        add_objects(parts, set, item, list);
    json_object_foreach (value, key, item)
        add_objects(parts, set, item, list);
    json_t *view = json_is_string(value) ? servers_object(parts->servers, json_string_value(value))
                                         : NULL;
    if (is_lendable(json_string_value(json_object_get(view, "type"))))
        json_array_append_new(
            list,
            json_pack("{s:O, s:b}", "id", json_object_get(view, "id"), "lent",
                      json_list_has(json_object_get(set, "objects"), json_object_get(view, "id"))));
    json_decref(view);
}

static json_t *limits_of(json_t *set)
{
    json_t *list = json_array(), *limit;
    const char *name;
    json_object_foreach (json_object_get(set, "limits"), name, limit)
        json_array_append_new(list, json_pack("{s:s, s:O*, s:O*}", "limit", name, "total",
                                              json_object_get(limit, "total"), "usage",
                                              json_object_get(limit, "usage")));
    return list;
}

/* The set that is named, or that of the machine that is. */
static char *set_of(const ApiParts *parts, json_t *params)
{
    const char *named = json_string_value(json_object_get(params, "resourceSet"));
    const char *vm = json_string_value(json_object_get(params, "vm"));
    json_t *view = !named && vm ? servers_object(parts->servers, vm) : NULL;
    char *id = g_strdup(named ? named : json_string_value(json_object_get(view, "resourceSet")));
    json_decref(view);
    return id;
}

static char *why_not(json_t *set, bool is_subject, json_t *objects)
{
    const char *id = json_string_value(json_object_get(set, "id"));
    size_t i;
    json_t *object;
    if (!is_subject)
        return g_strdup_printf("the caller, and none of its groups, is a subject of the resource "
                               "set %s",
                               id);
    json_array_foreach (objects, i, object)
        if (!json_is_true(json_object_get(object, "lent")))
            return g_strdup_printf("the resource set %s does not lend %s", id,
                                   json_string_value(json_object_get(object, "id")));
    return NULL;
}

json_t *explain_set(const ApiParts *parts, json_t *user, json_t *params, char **why)
{
    g_autofree char *id = set_of(parts, params);
    json_t *set = id ? resource_set_get(parts->accounts, id, NULL) : NULL;
    if (!set) {
        *why = id ? g_strdup_printf("no such resourceSet %s", id) : NULL;
        return NULL;
    }
    json_t *sets = json_pack("[O]", set), *objects = json_array();
    bool is_subject = account_is_admin(user) || resource_set_has_subject(set, user);
    resource_sets_measure(parts, sets);
    add_objects(parts, set, params, objects);
    *why = why_not(set, is_subject, objects);
    json_t *told = json_pack("{s:s, s:O*, s:b, s:o, s:o}", "id", id, "name",
                             json_object_get(set, "name"), "isSubject", is_subject, "objects",
                             objects, "limits", limits_of(set));
    json_decref(sets);
    json_decref(set);
    return told;
}

char *explain_without_set(const ApiParts *parts, const Method *method, json_t *params,
                          const char **permission)
{
    if (g_str_equal(method->name, "disk.create")) {
        *permission = "operate";
        return g_strdup(json_string_value(json_object_get(params, "sr")));
    }
    if (!g_str_equal(method->name, "vm.create"))
        return NULL;
    const char *id = json_string_value(json_object_get(params, "template"));
    json_t *template = id ? servers_object(parts->servers, id) : NULL;
    char *pool = g_strdup(json_string_value(json_object_get(template, "$pool")));
    *permission = "administrate";
    json_decref(template);
    return pool;
}
