/* ipPool.*: addresses that machines may be given, by networks; resource sets lend pools of them.
 *
 * Collection "ipPools", in XO's shape: {id, name, addresses: {"10.0.0.7": {}}, networks: [id],
 * resourceSets?}. Which interfaces have an address is not stored: it follows from what they are
 * allowed, and is shown as `vifs` beside the address. */
#include "api/ip_pools.h"

#include "base/json_list.h"
#include "api/method.h"
#include "api/objects.h"
#include "api/resource_sets.h"

#include <gio/gio.h>
#include <string.h>

enum { MAX_POOLS = 1000, MAX_ADDRESSES = 65536, ID_BYTES = 8 };

static Store *store(ApiCall *call)
{
    return call_parts(call)->store;
}

/* --- What clients send --- */

static bool check_addresses(json_t *addresses, GError **error)
{
    const char *address;
    json_t *value;
    if (json_object_size(addresses) > MAX_ADDRESSES) {
        api_error_invalid(error, "addresses: more than %d", MAX_ADDRESSES);
        return false;
    }
    json_object_foreach (addresses, address, value) {
        g_autoptr(GInetAddress) parsed = g_inet_address_new_from_string(address);
        if (!parsed || !(json_is_object(value) || json_is_null(value))) {
            api_error_invalid(error,
                              parsed ? "addresses: %s: expected an object, or null"
                                     : "addresses: %s is not an IP address",
                              address);
            return false;
        }
    }
    return true;
}

static bool check_networks(ApiCall *call, json_t *networks, GError **error)
{
    size_t i;
    json_t *id;
    json_array_foreach (networks, i, id)
        if (!call_find(call, json_string_value(id), "network", NULL, error))
            return false;
    return true;
}

/* Whom an address is given to is seen, not said. */
static void take_addresses(json_t *pool, json_t *changes)
{
    json_t *all = json_object_get(pool, "addresses"), *value;
    const char *address;
    if (!all) {
        all = json_object();
        json_object_set_new(pool, "addresses", all);
    }
    json_object_foreach (changes, address, value) {
        if (json_is_null(value)) {
            json_object_del(all, address);
            continue;
        }
        json_t *kept = json_deep_copy(value);
        json_object_del(kept, "vifs");
        json_object_set_new(all, address, kept);
    }
}

/* --- Made, changed --- */

static char *new_id(void)
{
    guint8 bytes[ID_BYTES];
    for (guint i = 0; i < ID_BYTES; i++)
        bytes[i] = (guint8) g_random_int_range(0, 256);
    char *id = g_base64_encode(bytes, ID_BYTES);
    g_strdelimit(id, "+", '-');
    g_strdelimit(id, "/", '_');
    id[strcspn(id, "=")] = '\0';
    return id;
}

static json_t *create(ApiCall *call, GError **error)
{
    json_t *all = store_list(store(call), IP_POOLS, error);
    size_t n = json_array_size(all);
    json_decref(all);
    if (all && n >= MAX_POOLS)
        err_set(error, ERR_LIMIT, "there are already %d pools of IP addresses", MAX_POOLS);
    if (!all || n >= MAX_POOLS || !check_addresses(call_get(call, "addresses"), error) ||
        !check_networks(call, call_get(call, "networks"), error))
        return NULL;
    g_autofree char *id = new_id();
    json_t *pool = json_pack("{s:s, s:{}, s:O, s:O*}", "id", id, "addresses", "name",
                             call_get(call, "name"), "networks", call_get(call, "networks"));
    take_addresses(pool, call_get(call, "addresses"));
    bool ok = store_add(store(call), IP_POOLS, id, pool, error);
    json_decref(pool);
    return ok ? json_string(id) : NULL;
}

static json_t *get(ApiCall *call, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *pool = store_get(store(call), IP_POOLS, call_string(call, "id"), &failure);
    if (failure && err_is(failure, ERR_NOT_FOUND))
        api_error_no_such(error, call_string(call, "id"), "ipPool");
    else if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return pool;
}

static bool put(ApiCall *call, json_t *pool, GError **error)
{
    const char *id = json_string_value(json_object_get(pool, "id"));
    return store_put(store(call), IP_POOLS, id, pool, error);
}

/* --- Taken from interfaces --- */

static json_t *without(json_t *list, json_t *gone)
{
    json_t *left = json_array(), *address;
    size_t i;
    json_array_foreach (list, i, address)
        if (!json_object_get(gone, json_string_value(address)))
            json_array_append(left, address);
    return left;
}

static bool strip_list(const ApiObject *vif, const char *field, const char *method, json_t *gone,
                       GError **error)
{
    json_t *now = json_object_get(vif->view, field), *left = without(now, gone);
    bool ok = json_array_size(left) == json_array_size(now) ||
              api_object_do(vif, method, json_pack("[O]", left), error);
    json_decref(left);
    return ok;
}

/* The addresses {address: …} of `pool` from the interfaces that have them. */
static bool strip(ApiCall *call, json_t *pool, json_t *gone, GError **error)
{
    json_t *used = ip_pool_usage(call_parts(call), pool), *vifs, *id;
    const char *address;
    bool ok = true;
    json_object_foreach (used, address, vifs) {
        size_t i;
        if (!json_object_get(gone, address))
            continue;
        json_array_foreach (vifs, i, id) {
            const ApiObject *vif = ok ? call_find(call, json_string_value(id), "VIF", NULL, NULL)
                                      : NULL;
            if (!vif)
                continue;
            ok = strip_list(vif, "allowedIpv4Addresses", "VIF.set_ipv4_allowed", gone, error) &&
                 strip_list(vif, "allowedIpv6Addresses", "VIF.set_ipv6_allowed", gone, error);
            api_object_barrier(vif);
        }
    }
    json_decref(used);
    return ok;
}

static json_t *gone_of(json_t *changes)
{
    json_t *gone = json_object(), *value;
    const char *address;
    json_object_foreach (changes, address, value)
        if (json_is_null(value))
            json_object_set_new(gone, address, json_true());
    return gone;
}

static json_t *set(ApiCall *call, GError **error)
{
    json_t *pool = get(call, error), *gone = gone_of(call_get(call, "addresses"));
    if (pool && check_addresses(call_get(call, "addresses"), error) &&
        check_networks(call, call_get(call, "networks"), error) && strip(call, pool, gone, error)) {
        static const char *const fields[] = { "name", "networks", "resourceSets" };
        for (guint i = 0; i < G_N_ELEMENTS(fields); i++)
            if (call_get(call, fields[i]))
                json_object_set(pool, fields[i], call_get(call, fields[i]));
        take_addresses(pool, call_get(call, "addresses"));
        put(call, pool, error);
    }
    json_decref(gone);
    json_decref(pool);
    return NULL;
}

/* Resource sets lend it no more. */
static bool leave_sets(ApiCall *call, const char *id, GError **error)
{
    Accounts *accounts = call_parts(call)->accounts;
    json_t *sets = resource_set_list(accounts, error), *set;
    g_autofree char *limit = g_strdup_printf("ipPool:%s", id);
    bool ok = sets != NULL;
    size_t i;
    json_array_foreach (sets, i, set) {
        const char *set_id = json_string_value(json_object_get(set, "id"));
        ok = ok && resource_set_limit(accounts, set_id, limit, -1, error) &&
             resource_set_put_in(accounts, set_id, "ipPools", id, false, error);
    }
    json_decref(sets);
    return ok;
}

static json_t *drop(ApiCall *call, GError **error)
{
    const char *id = call_string(call, "id");
    json_t *pool = get(call, error);
    if (pool && strip(call, pool, json_object_get(pool, "addresses"), error) &&
        leave_sets(call, id, error))
        store_drop(store(call), IP_POOLS, id, NULL, error);
    json_decref(pool);
    return NULL;
}

/* --- Listed --- */

static bool is_lent(json_t *sets, json_t *user, json_t *pool)
{
    size_t i;
    json_t *set;
    json_array_foreach (sets, i, set)
        if (resource_set_has_subject(set, user) &&
            json_list_has(json_object_get(set, "ipPools"), json_object_get(pool, "id")))
            return true;
    return false;
}

/* Administrators may look with another user's eyes. */
static json_t *eyes(ApiCall *call, GError **error)
{
    const char *id = call_string(call, "userId");
    if (account_is_admin(call_user(call)) && id)
        return account_user(call_parts(call)->accounts, id, error);
    return json_incref(call_user(call));
}

static json_t *get_all(ApiCall *call, GError **error)
{
    json_t *user = eyes(call, error), *pool, *list = user ? json_array() : NULL;
    json_t *all = user ? store_list(store(call), IP_POOLS, error) : NULL;
    json_t *sets = all ? resource_set_list(call_parts(call)->accounts, error) : NULL;
    size_t i;
    json_array_foreach (sets ? all : NULL, i, pool)
        if (account_is_admin(user) || is_lent(sets, user, pool)) {
            ip_pool_show(call_parts(call), pool);
            json_array_append(list, pool);
        }
    if (!sets)
        g_clear_pointer(&list, json_decref);
    json_decref(sets);
    json_decref(all);
    json_decref(user);
    return list;
}

#define ADDRESSES_WORDS "{\"10.0.0.7\": {}}; null takes one away"

const Method methods_ip_pool[] = {
    { "ipPool.create", create,
      PARAMS(DEF("\"\"", STR0("name")), OPT(OBJ("addresses"), .words = "{\"10.0.0.7\": {}}"),
             OPT(ARR("networks", P_STRING), .words = "where they are valid")),
      .example = "name=office addresses=json:'{\"10.99.0.7\": {}}' "
                 "networks=json:\"[\\\"$NETWORK\\\"]\"",
      .summary = "Keep IP addresses that machines on some networks may have." },
    { "ipPool.set", set,
      PARAMS(REQ(STR("id")), OPT(STR0("name")), OPT(OBJ("addresses"), .words = ADDRESSES_WORDS),
             OPT(ARR("networks", P_STRING)), OPT(ARR("resourceSets", P_STRING))),
      .long_running = true, .example = "id=$IP_POOL name='the office'",
      .summary = "Change a pool of IP addresses; one that is taken away leaves its machines." },
    { "ipPool.delete", drop, PARAMS(REQ(STR("id"))), .long_running = true, .example = "id=$IP_POOL",
      .summary = "Delete a pool of IP addresses, which leave their machines." },
    { "ipPool.getAll", get_all,
      PARAMS(OPT(STR("userId"), .words = "for administrators: as that user sees them")),
      .access = ACCESS_USER, .example = "",
      .summary = "All pools of IP addresses that resource sets lend to the caller, or all." },
    { NULL },
};
