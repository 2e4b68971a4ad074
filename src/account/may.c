/* The one permission check: administrators may everything; others what an ACL of theirs or of their
 * groups grants on the object, or on one it inherits from. */
#include "account/private.h"

#include "base/mutant.h"

#include <string.h>

enum { MAX_DEPTH = 8 };

static const struct {
    const char *action, *grants; /* words between blanks */
} roles[] = { { "viewer", " view " },
              { "operator", " view operate " },
              { "admin", " view operate administrate " } };

/* From which fields of the object its permissions come besides its own ACLs. */
static const struct {
    const char *type, *fields[3];
} inherits[] = {
    { "host", { "$pool" } },
    { "network", { "$pool" } },
    { "VM-template", { "$pool" } },
    { "SR", { "$container" } },
    { "VM", { "$container" } },
    { "VM-controller", { "$container" } },
    { "VM-snapshot", { "$snapshot_of" } },
    { "VDI", { "$SR", "$VBDs" } },
    { "VDI-snapshot", { "$snapshot_of" } },
    { "VBD", { "VDI" } },
    { "VIF", { "$network", "$VM" } },
    { "PBD", { "host", "SR" } },
    { "PIF", { "$host" } },
    { "PCI", { "$host" } },
    { "task", { "$host" } },
    { "message", { "$object" } },
};

typedef struct {
    json_t *acls, *user;
    const char *permission;
    AccountObject find;
    void *find_user;
} Question;

static bool grants(const char *action, const char *permission)
{
    g_autofree char *word = g_strdup_printf(" %s ", permission);
    for (gsize i = 0; i < G_N_ELEMENTS(roles); i++)
        if (strcmp(action, roles[i].action) == 0)
            return strstr(roles[i].grants, word) ||
                   MUTANT(account_viewer_operates); /* mutant: account */
    return false;
}

static bool is_subject(json_t *user, const char *subject)
{
    gsize i;
    json_t *group;
    if (strcmp(field(user, "id"), subject) == 0)
        return true;
    json_array_foreach (json_object_get(user, "groups"), i, group)
        if (g_strcmp0(json_string_value(group), subject) == 0)
            return true;
    return false;
}

static bool granted(const Question *question, const char *object_id)
{
    gsize i;
    json_t *acl;
    json_array_foreach (question->acls, i, acl)
        if (strcmp(field(acl, "object"), object_id) == 0 &&
            is_subject(question->user, field(acl, "subject")) &&
            grants(field(acl, "action"), question->permission))
            return true;
    return false;
}

static bool ask(const Question *question, const char *object_id, unsigned depth);

/* A field holds an id or several. A VBD among a disk's inherits from its VM there, not from the
 * disk. */
static bool ask_field(const Question *question, json_t *value, unsigned depth)
{
    gsize i;
    json_t *item;
    if (json_is_string(value))
        return ask(question, json_string_value(value), depth);
    json_array_foreach (value, i, item) {
        json_t *vbd = question->find(json_is_string(item) ? json_string_value(item) : "",
                                     question->find_user);
        bool ok = vbd && ask(question, field(vbd, "VM"), depth);
        json_decref(vbd);
        if (ok)
            return true;
    }
    return false;
}

static bool ask_parents(const Question *question, json_t *object, unsigned depth)
{
    for (gsize i = 0; i < G_N_ELEMENTS(inherits); i++) {
        if (strcmp(field(object, "type"), inherits[i].type) != 0)
            continue;
        for (unsigned j = 0; inherits[i].fields[j]; j++)
            if (ask_field(question, json_object_get(object, inherits[i].fields[j]), depth))
                return true;
    }
    return false;
}

static bool ask(const Question *question, const char *object_id, unsigned depth)
{
    if (!*object_id || depth == 0)
        return false;
    if (granted(question, object_id))
        return true;
    json_t *object = question->find ? question->find(object_id, question->find_user) : NULL;
    bool ok = object && ask_parents(question, object, depth - 1);
    json_decref(object);
    return ok;
}

bool account_may(Accounts *accounts, json_t *user, const char *object_id, const char *permission,
                 AccountObject find, void *find_user)
{
    if (account_is_admin(user))
        return true;
    json_t *acls = store_list(accounts->store, "acls", NULL);
    Question question = { acls, user, permission, find, find_user };
    bool ok = acls && ask(&question, object_id, MAX_DEPTH);
    json_decref(acls);
    return ok;
}
