/* Pools of IP addresses: what is used of them follows from what interfaces are allowed. */
#include "api/ip_pools.h"

#include "account/resource_set.h"
#include "base/json_list.h"
#include "base/mutant.h"

#include <string.h>

/* Before the id of a pool: the name of a limit of resource sets. */
#define LIMIT "ipPool:"

typedef struct {
    json_t *pool, *found;
} Search;

static void take_list(const Search *search, json_t *vif, const char *field)
{
    size_t i;
    json_t *address;
    json_array_foreach (json_object_get(vif, field), i, address) {
        const char *text = json_string_value(address);
        if (!text || !json_object_get(json_object_get(search->pool, "addresses"), text))
            continue;
        if (!json_object_get(search->found, text))
            json_object_set_new(search->found, text, json_array());
        json_array_append(json_object_get(search->found, text), json_object_get(vif, "id"));
    }
}

static void look(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    json_t *vif = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    if (json_list_has(json_object_get(search->pool, "networks"),
                      json_object_get(vif, "$network"))) {
        take_list(search, vif, "allowedIpv4Addresses");
        take_list(search, vif, "allowedIpv6Addresses");
    }
    json_decref(vif);
}

json_t *ip_pool_usage(const ApiParts *parts, json_t *pool)
{
    Search search = { pool, json_object() };
    if (json_array_size(json_object_get(pool, "networks")) > 0)
        servers_each(parts->servers, "VIF", look, &search);
    return search.found;
}

void ip_pool_show(const ApiParts *parts, json_t *pool)
{
    json_t *used = ip_pool_usage(parts, pool), *vifs;
    const char *address;
    json_object_foreach (used, address, vifs)
        json_object_set(json_object_get(json_object_get(pool, "addresses"), address), "vifs", vifs);
    json_decref(used);
}

/* --- By resource sets --- */

static const char *id_of(json_t *record)
{
    return json_string_value(json_object_get(record, "id"));
}

/* The machine of an interface, if it is of the set; copy. */
static char *machine_of_set(const ApiParts *parts, json_t *vif_id, const char *set_id)
{
    json_t *vif = servers_object(parts->servers, json_string_value(vif_id));
    const char *vm_id = json_string_value(json_object_get(vif, "$VM"));
    json_t *vm = vm_id ? servers_object(parts->servers, vm_id) : NULL;
    const char *set = json_string_value(json_object_get(vm, "resourceSet"));
    char *id = g_strcmp0(set, set_id) == 0 ? g_strdup(vm_id) : NULL;
    json_decref(vm);
    json_decref(vif);
    return id;
}

/* How many addresses of the pool the machines of a set have. The leases are locked. */
static json_int_t used_by(const ApiParts *parts, json_t *pool, const char *set_id)
{
    json_t *used = ip_pool_usage(parts, pool), *vifs, *id;
    const char *address;
    json_int_t n = 0;
    json_object_foreach (used, address, vifs) {
        size_t i;
        json_array_foreach (vifs, i, id) {
            g_autofree char *vm_id = machine_of_set(parts, id, set_id);
            n += vm_id && !address_leases_have(parts->address_leases, vm_id);
        }
    }
    json_decref(used);
    if (MUTANT(ip_pool_no_leases)) /* mutant: system:test_many.Many.test_addresses_at_once */
        return n;
    return n + address_leases_sum(parts->address_leases, set_id, id_of(pool));
}

static json_t *limit_of(json_t *set, json_t *pool)
{
    g_autofree char *name = g_strconcat(LIMIT, id_of(pool), NULL);
    return json_object_get(json_object_get(set, "limits"), name);
}

void ip_pools_measure(const ApiParts *parts, json_t *set)
{
    const char *name;
    json_t *limit;
    address_leases_lock(parts->address_leases);
    json_object_foreach (json_object_get(set, "limits"), name, limit) {
        if (!g_str_has_prefix(name, LIMIT))
            continue;
        json_t *pool = store_get(parts->store, IP_POOLS, name + strlen(LIMIT), NULL);
        json_object_set_new(limit, "usage",
                            json_integer(pool ? used_by(parts, pool, id_of(set)) : 0));
        json_decref(pool);
    }
    address_leases_unlock(parts->address_leases);
}

/* --- May a machine have more? --- */

static json_int_t n_of_list(json_t *pool, json_t *addresses)
{
    json_int_t n = 0;
    size_t i;
    json_t *address;
    json_array_foreach (addresses, i, address)
        n += json_is_string(address) && json_object_get(json_object_get(pool, "addresses"),
                                                        json_string_value(address)) != NULL;
    return n;
}

/* How many addresses of the pool interfaces have. */
static json_int_t n_of(json_t *pool, json_t *vifs)
{
    json_int_t n = 0;
    size_t i;
    json_t *vif;
    json_array_foreach (vifs, i, vif)
        if (json_list_has(json_object_get(pool, "networks"), json_object_get(vif, "$network")))
            n += n_of_list(pool, json_object_get(vif, "allowedIpv4Addresses")) +
                 n_of_list(pool, json_object_get(vif, "allowedIpv6Addresses"));
    return n;
}

/* The interfaces that the objects show of a machine; new reference. */
static json_t *vifs_of(const ApiParts *parts, const char *vm_id)
{
    json_t *vm = servers_object(parts->servers, vm_id), *vifs = json_array(), *id;
    size_t i;
    json_array_foreach (json_object_get(vm, "VIFs"), i, id) {
        json_t *vif = servers_object(parts->servers, json_string_value(id));
        if (vif)
            json_array_append_new(vifs, vif);
    }
    json_decref(vm);
    return vifs;
}

/* What a call is about to change. */
typedef struct {
    ApiCall *call;
    json_t *set, *before, *after, *vifs; /* the last: all of the machine as they are */
    json_t *now, *more, *lacking;        /* by pool; and what there is not enough of */
} Change;

/* What the change takes of one pool. The leases are locked. */
static void weigh(Change *change, json_t *pool)
{
    json_t *total = json_object_get(limit_of(change->set, pool), "total");
    json_int_t more = n_of(pool, change->after) - n_of(pool, change->before);
    if (!limit_of(change->set, pool))
        return;
    json_object_set_new(change->now, id_of(pool), json_integer(n_of(pool, change->vifs)));
    if (more <= 0)
        return;
    json_object_set_new(change->more, id_of(pool), json_integer(more));
    json_int_t left = json_integer_value(total) -
                      used_by(call_parts(change->call), pool, id_of(change->set));
    if (!total || more <= left || account_is_admin(call_user(change->call)) ||
        MUTANT(ip_pool_no_limit)) /* mutant: system:test_pool_methods.Methods.test_ip_limit */
        return;
    g_autofree char *name = g_strconcat(LIMIT, id_of(pool), NULL);
    json_array_append_new(change->lacking,
                          json_pack("{s:s, s:s, s:I, s:I}", "resourceSet", id_of(change->set),
                                    "resourceType", name, "available", left, "requested", more));
}

static bool take(Change *change, json_t *pools, const char *vm_id, AddressLease **lease,
                 GError **error)
{
    AddressLeases *leases = call_parts(change->call)->address_leases;
    size_t i;
    json_t *pool;
    address_leases_lock(leases);
    json_array_foreach (pools, i, pool)
        weigh(change, pool);
    bool enough = json_array_size(change->lacking) == 0;
    if (enough && json_object_size(change->more) > 0)
        *lease = address_lease_take(leases, id_of(change->set), vm_id, change->now, change->more);
    address_leases_unlock(leases);
    if (!enough)
        api_error_plain(error, API_NOT_ENOUGH_RESOURCES, json_incref(change->lacking));
    return enough;
}

bool ip_pools_take(ApiCall *call, const char *set_id, const char *vm_id, json_t *before,
                   json_t *after, AddressLease **lease, GError **error)
{
    const ApiParts *parts = call_parts(call);
    json_t *set = set_id ? resource_set_get(parts->accounts, set_id, NULL) : NULL;
    if (!set)
        return true;
    json_t *pools = store_list(parts->store, IP_POOLS, error);
    Change change = { call,          set,           before,      after, vifs_of(parts, vm_id),
                      json_object(), json_object(), json_array() };
    bool ok = pools && take(&change, pools, vm_id, lease, error);
    json_decref(change.vifs);
    json_decref(change.now);
    json_decref(change.more);
    json_decref(change.lacking);
    json_decref(pools);
    json_decref(set);
    return ok;
}
