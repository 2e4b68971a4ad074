/* Records of resource sets. */
#include "account/resource_set.h"
#include "account/private.h"

#include "base/error.h"

#include <string.h>

enum { ID_BYTES = 8 };

/* --- Shape --- */

static bool settle_list(json_t *set, const char *field, GError **error)
{
    json_t *list = json_object_get(set, field), *item;
    gsize i;
    if (!list || json_is_null(list)) {
        json_object_set_new(set, field, json_array());
        return true;
    }
    bool ok = json_is_array(list);
    json_array_foreach (list, i, item)
        ok = ok && json_is_string(item);
    if (!ok)
        err_set(error, ERR_INVALID, "%s: expected a list of texts", field);
    return ok;
}

/* A number, or {total, …} as some clients send it; what is used is computed, not kept. */
static json_t *settle_limit(json_t *limit)
{
    json_t *total = json_is_object(limit) ? json_object_get(limit, "total") : limit;
    if (json_is_object(limit) && !total)
        return json_object();
    if (!json_is_number(total) || json_number_value(total) < 0)
        return NULL;
    return json_pack("{s:I}", "total", (json_int_t) json_number_value(total));
}

static bool settle_limits(json_t *set, GError **error)
{
    json_t *limits = json_object_get(set, "limits"), *limit, *settled = json_object();
    const char *name;
    json_object_foreach (limits, name, limit) {
        json_t *one = settle_limit(limit);
        if (!one) {
            err_set(error, ERR_INVALID, "limits.%s: expected a number from 0", name);
            json_decref(settled);
            return false;
        }
        json_object_set_new(settled, name, one);
    }
    json_object_set_new(set, "limits", settled);
    return true;
}

json_t *resource_set_settle(json_t *record, GError **error)
{
    static const char *const kept[] = { "id",      "name",   "subjects",       "objects",
                                        "ipPools", "limits", "shareByDefault", "tags" };
    json_t *set = json_object();
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++)
        if (json_object_get(record, kept[i]))
            json_object_set_new(set, kept[i], json_deep_copy(json_object_get(record, kept[i])));
    json_object_set_new(set, "shareByDefault",
                        json_boolean(json_is_true(json_object_get(set, "shareByDefault"))));
    bool named = *field(set, "name") != 0;
    if (!named)
        err_set(error, ERR_INVALID, "name: expected text");
    if (named && settle_list(set, "subjects", error) && settle_list(set, "objects", error) &&
        settle_list(set, "ipPools", error) && settle_list(set, "tags", error) &&
        settle_limits(set, error))
        return set;
    json_decref(set);
    return NULL;
}

bool resource_set_has_subject(json_t *set, json_t *user)
{
    gsize i;
    json_t *subject;
    json_array_foreach (json_object_get(set, "subjects"), i, subject)
        if (account_is_subject(user, subject))
            return true;
    return false;
}

/* --- Records --- */

json_t *resource_set_list(Accounts *accounts, GError **error)
{
    return store_list(accounts->store, RESOURCE_SETS, error);
}

json_t *resource_set_get(Accounts *accounts, const char *id, GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *set = store_get(accounts->store, RESOURCE_SETS, id, &problem);
    if (!set && err_is(problem, ERR_NOT_FOUND))
        err_set(error, ERR_NOT_FOUND, "no such resourceSet %s", id);
    else if (!set)
        g_propagate_error(error, g_steal_pointer(&problem));
    return set;
}

json_t *resource_set_create(Accounts *accounts, json_t *params, GError **error)
{
    json_t *set = resource_set_settle(params, error);
    g_autofree char *id = account_random(ID_BYTES);
    if (!set)
        return NULL;
    json_object_set_new(set, "id", json_string(id));
    if (store_add(accounts->store, RESOURCE_SETS, id, set, error))
        return set;
    json_decref(set);
    return NULL;
}

/* Settles a changed record and stores it; its reference is taken. Lock held. */
static bool store(Accounts *accounts, const char *id, json_t *changed, GError **error)
{
    json_t *set = changed ? resource_set_settle(changed, error) : NULL;
    bool ok = set && store_put(accounts->store, RESOURCE_SETS, id, set, error);
    json_decref(set);
    json_decref(changed);
    return ok;
}

bool resource_set_edit(Accounts *accounts, const char *id, json_t *changes, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *set = resource_set_get(accounts, id, error);
    if (set) {
        json_object_update(set, changes);
        json_object_set_new(set, "id", json_string(id));
    }
    bool ok = store(accounts, id, set, error);
    pthread_mutex_unlock(&accounts->lock);
    return ok;
}

bool resource_set_put_in(Accounts *accounts, const char *id, const char *list, const char *text,
                         bool is_in, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *set = resource_set_get(accounts, id, error), *items = json_object_get(set, list);
    for (gsize i = json_array_size(items); i-- > 0;)
        if (g_strcmp0(json_string_value(json_array_get(items, i)), text) == 0)
            json_array_remove(items, i);
    if (is_in)
        json_array_append_new(items, json_string(text));
    bool ok = store(accounts, id, set, error);
    pthread_mutex_unlock(&accounts->lock);
    return ok;
}

bool resource_set_limit(Accounts *accounts, const char *id, const char *limit, gint64 total,
                        GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *set = resource_set_get(accounts, id, error), *limits = json_object_get(set, "limits");
    if (total < 0)
        json_object_del(limits, limit);
    else
        json_object_set_new(limits, limit, json_integer(total));
    bool ok = store(accounts, id, set, error);
    pthread_mutex_unlock(&accounts->lock);
    return ok;
}

bool resource_set_drop(Accounts *accounts, const char *id, GError **error)
{
    bool existed = false;
    if (!store_drop(accounts->store, RESOURCE_SETS, id, &existed, error))
        return false;
    if (!existed)
        err_set(error, ERR_NOT_FOUND, "no such resourceSet %s", id);
    return existed;
}
