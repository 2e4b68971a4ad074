/* Pools of IP addresses: what is used of them follows from what interfaces are allowed. */
#include "api/ip_pools.h"

#include "account/resource_set.h"
#include "base/mutant.h"

#include <string.h>

/* Before the id of a pool: the name of a limit of resource sets. */
#define LIMIT "ipPool:"

typedef struct {
    json_t *pool, *found;
} Search;

static bool has(json_t *list, json_t *value)
{
    size_t i;
    json_t *each;
    json_array_foreach (list, i, each)
        if (json_equal(each, value))
            return true;
    return false;
}

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
    if (has(json_object_get(search->pool, "networks"), json_object_get(vif, "$network"))) {
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

static bool is_of_set(const ApiParts *parts, json_t *vif_id, const char *set_id)
{
    json_t *vif = servers_object(parts->servers, json_string_value(vif_id));
    const char *vm_id = json_string_value(json_object_get(vif, "$VM"));
    json_t *vm = vm_id ? servers_object(parts->servers, vm_id) : NULL;
    bool is = g_strcmp0(json_string_value(json_object_get(vm, "resourceSet")), set_id) == 0;
    json_decref(vm);
    json_decref(vif);
    return is;
}

/* How many addresses of the pool the machines of a set have. */
static json_int_t used_by(const ApiParts *parts, json_t *pool, const char *set_id)
{
    json_t *used = ip_pool_usage(parts, pool), *vifs, *id;
    const char *address;
    json_int_t n = 0;
    json_object_foreach (used, address, vifs) {
        size_t i;
        json_array_foreach (vifs, i, id)
            n += is_of_set(parts, id, set_id);
    }
    json_decref(used);
    return n;
}

void ip_pools_measure(const ApiParts *parts, json_t *set)
{
    const char *name, *id = json_string_value(json_object_get(set, "id"));
    json_t *limit;
    json_object_foreach (json_object_get(set, "limits"), name, limit) {
        if (!g_str_has_prefix(name, LIMIT))
            continue;
        json_t *pool = store_get(parts->store, IP_POOLS, name + strlen(LIMIT), NULL);
        json_object_set_new(limit, "usage", json_integer(pool ? used_by(parts, pool, id) : 0));
        json_decref(pool);
    }
}

/* --- May a machine have more? --- */

static json_int_t n_in(json_t *pool, const char *network_id, json_t *addresses)
{
    json_t *network = json_string(network_id), *address;
    json_int_t n = 0;
    size_t i;
    if (has(json_object_get(pool, "networks"), network))
        json_array_foreach (addresses, i, address)
            n += json_object_get(json_object_get(pool, "addresses"), json_string_value(address)) !=
                 NULL;
    json_decref(network);
    return n;
}

static bool check_limit(const ApiParts *parts, json_t *set, json_t *pool, json_int_t more,
                        GError **error)
{
    const char *id = json_string_value(json_object_get(set, "id"));
    g_autofree char *name =
        g_strconcat(LIMIT, json_string_value(json_object_get(pool, "id")), NULL);
    json_t *total = json_object_get(json_object_get(json_object_get(set, "limits"), name), "total");
    json_int_t left = json_integer_value(total) - (total ? used_by(parts, pool, id) : 0);
    if (!total || more <= left ||
        MUTANT(ip_pool_no_limit)) /* mutant: system:test_pool_methods.Methods.test_ip_limit */
        return true;
    api_error_plain(error, API_NOT_ENOUGH_RESOURCES,
                    json_pack("[{s:s, s:s, s:I, s:I}]", "resourceSet", id, "resourceType", name,
                              "available", left, "requested", more));
    return false;
}

bool ip_pools_allow(ApiCall *call, const char *set_id, const char *network_id, json_t *addresses,
                    GError **error)
{
    const ApiParts *parts = call_parts(call);
    if (!set_id || json_array_size(addresses) == 0 || account_is_admin(call_user(call)))
        return true;
    json_t *set = resource_set_get(parts->accounts, set_id, NULL), *pool;
    json_t *pools = set ? store_list(parts->store, IP_POOLS, error) : NULL;
    bool ok = !set || pools;
    size_t i;
    json_array_foreach (pools, i, pool) {
        json_int_t more = n_in(pool, network_id, addresses);
        ok = ok && (more == 0 || check_limit(parts, set, pool, more, error));
    }
    json_decref(pools);
    json_decref(set);
    return ok;
}
