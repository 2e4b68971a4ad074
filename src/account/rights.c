/* What the rules give to each subject, read once and kept until a rule, or a set of self service,
 * changes; the rights of a user are the tables of itself and of its groups. */
#include "account/private.h"

#include <string.h>

static const struct {
    const char *action;
    unsigned levels;
} roles[] = { { "viewer", LEVEL_VIEW },
              { "operator", LEVEL_VIEW | LEVEL_OPERATE },
              { "admin", LEVEL_VIEW | LEVEL_OPERATE | LEVEL_ADMINISTRATE } };

static const struct {
    const char *permission;
    unsigned level;
} permissions[] = { { "view", LEVEL_VIEW },
                    { "operate", LEVEL_OPERATE },
                    { "administrate", LEVEL_ADMINISTRATE } };

unsigned level_of(const char *permission)
{
    for (gsize i = 0; i < G_N_ELEMENTS(permissions); i++)
        if (strcmp(permission, permissions[i].permission) == 0)
            return permissions[i].level;
    return 0;
}

static unsigned levels_of(const char *action)
{
    for (gsize i = 0; i < G_N_ELEMENTS(roles); i++)
        if (strcmp(action, roles[i].action) == 0)
            return roles[i].levels;
    return 0;
}

/* --- All rules, by subject --- */

/* subject → (object → levels); both tables counted by GLib. */
static GHashTable *index_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                 (GDestroyNotify) g_hash_table_unref);
}

static void index_add(GHashTable *index, const char *subject, const char *object, unsigned levels)
{
    GHashTable *grants = g_hash_table_lookup(index, subject);
    if (!grants) {
        grants = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        g_hash_table_insert(index, g_strdup(subject), grants);
    }
    levels |= GPOINTER_TO_UINT(g_hash_table_lookup(grants, object));
    g_hash_table_insert(grants, g_strdup(object), GUINT_TO_POINTER(levels));
}

static void add_acls(Accounts *accounts, GHashTable *index)
{
    json_t *acls = store_list(accounts->store, "acls", NULL), *acl;
    gsize i;
    json_array_foreach (acls, i, acl)
        index_add(index, field(acl, "subject"), field(acl, "object"),
                  levels_of(field(acl, "action")));
    json_decref(acls);
}

/* Who may use a set of self service sees what is in it, and gets no more by that. */
static void add_set(GHashTable *index, json_t *set)
{
    json_t *subject, *object;
    gsize i, k;
    json_array_foreach (json_object_get(set, "subjects"), i, subject)
        json_array_foreach (json_object_get(set, "objects"), k, object)
            if (json_is_string(subject) && json_is_string(object))
                index_add(index, json_string_value(subject), json_string_value(object),
                          LEVEL_LISTED);
}

static void add_sets(Accounts *accounts, GHashTable *index)
{
    json_t *sets = store_list(accounts->store, "resourceSets", NULL), *set;
    gsize i;
    json_array_foreach (sets, i, set)
        add_set(index, set);
    json_decref(sets);
}

static guint64 rules_version(Accounts *accounts)
{
    return store_version(accounts->store, "acls") + store_version(accounts->store, "resourceSets");
}

/* A new reference to the present index. */
static GHashTable *present_index(Accounts *accounts)
{
    pthread_mutex_lock(&accounts->rules_lock);
    guint64 version = rules_version(accounts);
    if (!accounts->rules || version != accounts->rules_version) {
        GHashTable *index = index_new();
        add_acls(accounts, index);
        add_sets(accounts, index);
        g_clear_pointer(&accounts->rules, g_hash_table_unref);
        accounts->rules = index;
        accounts->rules_version = version;
    }
    GHashTable *index = g_hash_table_ref(accounts->rules);
    pthread_mutex_unlock(&accounts->rules_lock);
    return index;
}

/* --- Of one user --- */

static void add_subject(AccountRights *rights, GHashTable *index, const char *subject)
{
    GHashTable *grants = subject ? g_hash_table_lookup(index, subject) : NULL;
    if (grants)
        g_ptr_array_add(rights->grants, g_hash_table_ref(grants));
}

AccountRights *account_rights(Accounts *accounts, json_t *user)
{
    AccountRights *rights = g_new0(AccountRights, 1);
    atomic_init(&rights->n_refs, 1);
    rights->all = account_is_admin(user);
    rights->sees_all = rights->all || atomic_load(&accounts->show_all);
    rights->grants = g_ptr_array_new_with_free_func((GDestroyNotify) g_hash_table_unref);
    if (rights->all)
        return rights;
    GHashTable *index = present_index(accounts);
    json_t *group;
    gsize i;
    add_subject(rights, index, field(user, "id"));
    json_array_foreach (json_object_get(user, "groups"), i, group)
        add_subject(rights, index, json_string_value(group));
    g_hash_table_unref(index);
    return rights;
}

AccountRights *rights_ref(AccountRights *rights)
{
    atomic_fetch_add(&rights->n_refs, 1);
    return rights;
}

void rights_unref(AccountRights *rights)
{
    if (!rights || atomic_fetch_sub(&rights->n_refs, 1) != 1)
        return;
    g_ptr_array_unref(rights->grants);
    g_free(rights);
}

bool rights_see_all(const AccountRights *rights)
{
    return rights->sees_all;
}

bool rights_equal(const AccountRights *a, const AccountRights *b)
{
    if (a->sees_all || b->sees_all)
        return a->sees_all == b->sees_all;
    if (a->grants->len != b->grants->len)
        return false;
    for (guint i = 0; i < a->grants->len; i++)
        if (!g_ptr_array_find(b->grants, a->grants->pdata[i], NULL))
            return false;
    return true;
}

unsigned rights_levels(const AccountRights *rights, const char *object_id)
{
    unsigned levels = 0;
    for (guint i = 0; i < rights->grants->len; i++)
        levels |= GPOINTER_TO_UINT(g_hash_table_lookup(rights->grants->pdata[i], object_id));
    return levels;
}

guint64 account_stamp(Accounts *accounts)
{
    return rules_version(accounts) + store_version(accounts->store, "users") +
           store_version(accounts->store, "groups");
}

void account_show_all(Accounts *accounts, bool all)
{
    atomic_store(&accounts->show_all, all);
}
