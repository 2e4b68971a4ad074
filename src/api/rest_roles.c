/* Roles and their privileges as XO's access control of REST shows them: those that somebody made
 * (account/role.h), and a view of the rules that hold besides (acl.add), whose roles are there by
 * themselves and do not change. A rule gives a subject a role on one object; the privileges that
 * follow from it name that object in their selector. */
#include "account/role.h"

#include "base/json_list.h"
#include "api/rest.h"
#include "api/rest_collection.h"

#include <string.h>

static const struct {
    const char *id, *name, *description;
} roles[] = {
    { "viewer", "Viewer", "May see objects" },
    { "operator", "Operator", "May see objects and use them" },
    { "admin", "Admin", "May do everything with objects" },
};

/* What each role may do; "" is any resource. */
static const struct {
    const char *role, *resource, *actions;
} grants[] = {
    { "viewer", "", "read" },
    { "operator", "", "read" },
    { "operator", "vm", "start shutdown reboot pause unpause suspend resume snapshot" },
    { "operator", "host", "start shutdown reboot" },
    { "operator", "sr", "scan" },
    { "operator", "vif", "connect disconnect" },
    { "admin", "", "*" },
};

static const struct {
    const char *type, *resource;
} resources[] = {
    { "VM", "vm" },
    { "VM-template", "vm-template" },
    { "VM-snapshot", "vm-snapshot" },
    { "host", "host" },
    { "VM-controller", "vm-controller" },
    { "pool", "pool" },
    { "SR", "sr" },
    { "VDI", "vdi" },
    { "VDI-snapshot", "vdi-snapshot" },
    { "network", "network" },
    { "VBD", "vbd" },
    { "VIF", "vif" },
    { "PIF", "pif" },
    { "PBD", "pbd" },
};

/* --- Privileges --- */

/* `rule` and `object`: of a rule; NULL: of the role itself. */
static void add_privileges(json_t *list, const char *role, const char *resource, const char *rule,
                           const char *object)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(grants); i++) {
        bool any = !*grants[i].resource;
        if (!g_str_equal(grants[i].role, role) ||
            (!any && !g_str_equal(grants[i].resource, resource)))
            continue;
        g_auto(GStrv) actions = g_strsplit(grants[i].actions, " ", -1);
        for (unsigned k = 0; actions[k]; k++) {
            const char *word = g_str_equal(actions[k], "*") ? "all" : actions[k];
            g_autofree char *id = g_strdup_printf("%s-%s-%s", rule ? rule : role, resource, word);
            g_autofree char *selector = object ? g_strdup_printf("id:%s", object) : NULL;
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "id", id, "roleId",
                                            role, "resource", resource, "action", actions[k],
                                            "effect", "allow", "selector", selector));
        }
    }
}

static json_t *privileges_of(const char *role)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(resources); i++)
        add_privileges(list, role, resources[i].resource, NULL, NULL);
    return list;
}

/* What one rule gives on its object. */
static void add_of_rule(RestRequest *request, json_t *rule, json_t *list)
{
    const char *id = json_string_value(json_object_get(rule, "object"));
    json_t *object = id ? servers_object(request->parts->servers, id) : NULL;
    const char *type = json_string_value(json_object_get(object, "type"));
    for (unsigned i = 0; type && i < G_N_ELEMENTS(resources); i++)
        if (g_str_equal(resources[i].type, type))
            add_privileges(list, json_string_value(json_object_get(rule, "action")),
                           resources[i].resource, json_string_value(json_object_get(rule, "id")),
                           id);
    json_decref(object);
}

static json_t *role_record(unsigned i)
{
    json_t *privileges = privileges_of(roles[i].id), *privilege, *ids = json_array();
    size_t k;
    json_array_foreach (privileges, k, privilege)
        json_array_append(ids, json_object_get(privilege, "id"));
    json_decref(privileges);
    return json_pack("{s:s, s:s, s:s, s:b, s:i, s:o}", "id", roles[i].id, "name", roles[i].name,
                     "description", roles[i].description, "isTemplate", 1, "roleTemplateId", i,
                     "privilegeIds", ids);
}

/* --- Those that somebody made --- */

static bool is_of_role(json_t *privilege, const char *role)
{
    return g_strcmp0(json_string_value(json_object_get(privilege, "roleId")), role) == 0;
}

static json_t *own_privileges(const ApiParts *parts, const char *role)
{
    json_t *all = privileges_list(parts->accounts, NULL), *one, *list = json_array();
    size_t i;
    json_array_foreach (all, i, one)
        if (is_of_role(one, role))
            json_array_append(list, one);
    json_decref(all);
    return list;
}

/* Who has it is told by its own lists. */
static json_t *shown_role(const ApiParts *parts, json_t *role)
{
    json_t *shown = json_copy(role), *ids = json_array(), *privilege;
    json_t *list = own_privileges(parts, json_string_value(json_object_get(role, "id")));
    size_t i;
    json_array_foreach (list, i, privilege)
        json_array_append(ids, json_object_get(privilege, "id"));
    json_object_del(shown, "users");
    json_object_del(shown, "groups");
    json_object_set_new(shown, "privilegeIds", ids);
    json_decref(list);
    return shown;
}

json_t *rest_role(const ApiParts *parts, const char *id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(roles); i++)
        if (g_str_equal(roles[i].id, id))
            return role_record(i);
    json_t *role = roles_get(parts->accounts, id, NULL);
    json_t *shown = role ? shown_role(parts, role) : NULL;
    json_decref(role);
    return shown;
}

json_t *rest_role_privileges(const ApiParts *parts, const char *id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(roles); i++)
        if (g_str_equal(roles[i].id, id))
            return privileges_of(id);
    return own_privileges(parts, id);
}

const char *rest_resource_of(const char *type)
{
    for (unsigned i = 0; type && i < G_N_ELEMENTS(resources); i++)
        if (g_str_equal(resources[i].type, type))
            return resources[i].resource;
    return NULL;
}

bool rest_is_resource(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(resources); i++)
        if (g_str_equal(resources[i].resource, name))
            return true;
    return false;
}

/* --- Lists --- */

/* The reference of `records` is taken. */
static bool see_all(json_t *records, RestSeen seen, void *user)
{
    size_t i;
    json_t *record;
    json_array_foreach (records, i, record) {
        g_autofree char *text = json_dumps(record, JSON_COMPACT);
        if (!seen(json_string_value(json_object_get(record, "id")), text, strlen(text), user))
            break;
    }
    json_decref(records);
    return true;
}

bool rest_each_role(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(roles); i++)
        json_array_append_new(list, role_record(i));
    json_t *own = request->is_admin ? roles_list(request->parts->accounts, NULL) : NULL, *role;
    size_t k;
    json_array_foreach (own, k, role)
        json_array_append_new(list, shown_role(request->parts, role));
    json_decref(own);
    return see_all(list, seen, user);
}

bool rest_each_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(roles); i++) {
        json_t *some = privileges_of(roles[i].id);
        json_array_extend(list, some);
        json_decref(some);
    }
    json_t *own = request->is_admin ? privileges_list(request->parts->accounts, NULL) : NULL;
    json_array_extend(list, own);
    json_decref(own);
    return see_all(list, seen, user);
}

bool rest_each_role_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                              void *user, GError **error)
{
    return see_all(rest_role_privileges(request->parts, rest_arg(request, "id")), seen, user);
}

bool rest_each_own_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                             void *user, GError **error)
{
    json_t *person = account_user(request->parts->accounts, rest_arg(request, "id"), error);
    json_t *rules = person ? account_acls(request->parts->accounts, error) : NULL, *rule;
    json_t *list = json_array();
    bool ok = rules != NULL;
    size_t i;
    json_array_foreach (rules, i, rule)
        if (account_is_subject(person, json_object_get(rule, "subject")))
            add_of_rule(request, rule, list);
    json_t *made = roles_list(request->parts->accounts, NULL), *role;
    json_array_foreach (made, i, role) {
        json_t *some =
            role_is_had(role, person)
                ? own_privileges(request->parts, json_string_value(json_object_get(role, "id")))
                : NULL;
        json_array_extend(list, some);
        json_decref(some);
    }
    json_decref(made);
    json_decref(rules);
    json_decref(person);
    return see_all(list, seen, user) && ok;
}

/* The roles that rules give a group. */
bool rest_each_own_role(RestRequest *request, const RestCollection *collection, RestSeen seen,
                        void *user, GError **error)
{
    json_t *rules = account_acls(request->parts->accounts, error), *rule, *list = json_array();
    bool ok = rules != NULL;
    for (unsigned k = 0; k < G_N_ELEMENTS(roles); k++) {
        bool has = false;
        size_t i;
        json_array_foreach (rules, i, rule)
            has = has ||
                  (g_strcmp0(json_string_value(json_object_get(rule, "subject")),
                             rest_arg(request, "id")) == 0 &&
                   g_strcmp0(json_string_value(json_object_get(rule, "action")), roles[k].id) == 0);
        if (has)
            json_array_append_new(list, role_record(k));
    }
    json_t *made = roles_list(request->parts->accounts, NULL), *role;
    size_t n;
    json_array_foreach (made, n, role)
        if (json_list_has_text(json_object_get(role, "groups"), rest_arg(request, "id")))
            json_array_append_new(list, shown_role(request->parts, role));
    json_decref(made);
    json_decref(rules);
    return see_all(list, seen, user) && ok;
}

/* --- Who has a role --- */

static bool has_role(json_t *rules, json_t *record, const char *role)
{
    size_t i;
    json_t *rule;
    json_array_foreach (rules, i, rule)
        if (json_equal(json_object_get(rule, "subject"), json_object_get(record, "id")) &&
            g_strcmp0(json_string_value(json_object_get(rule, "action")), role) == 0)
            return true;
    return false;
}

bool rest_each_role_subject(RestRequest *request, const RestCollection *collection, RestSeen seen,
                            void *user, GError **error)
{
    json_t *records = rest_call(request, collection->methods[0], NULL, error), *record;
    json_t *rules = records ? account_acls(request->parts->accounts, error) : NULL;
    json_t *list = json_array();
    bool ok = rules != NULL;
    size_t i;
    json_t *role = roles_get(request->parts->accounts, rest_arg(request, "id"), NULL);
    json_array_foreach (records, i, record)
        if (has_role(rules, record, rest_arg(request, "id")) ||
            json_list_has(json_object_get(role, collection->name), json_object_get(record, "id"))) {
            collection->adapt(request, record);
            json_array_append(list, record);
        }
    json_decref(role);
    json_decref(rules);
    json_decref(records);
    return see_all(list, seen, user) && ok;
}
