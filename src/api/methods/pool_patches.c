/* pool.listMissingPatches and pool.installPatches, through the hosts' updater.py. */
#include "api/method.h"
#include "api/methods/backup_guard.h"
#include "api/methods/pool_patches.h"

#include <string.h>

/* --- One host --- */

static bool is_xcp(const ApiObject *host, GError **error)
{
    const char *brand = api_object_text(host, "productBrand");
    if (g_str_equal(brand, "XCP-ng"))
        return true;
    err_set(error, ERR_UNSUPPORTED,
            "host %s runs %s: updates are known of XCP-ng alone, use the product's own tools",
            api_object_text(host, "name_label"), *brand ? brand : "an unknown product");
    return false;
}

static json_t *updater(const ApiObject *host, const char *function, GError **error)
{
    g_autofree char *text = xapi_call_task(
        api_object_xapi(host), "host.call_plugin",
        json_pack("[s, s, s, {}]", host->ref, "updater.py", function), NULL, NULL, NULL, error);
    json_t *answer = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (text && !answer)
        err_set(error, ERR_PROTOCOL, "host %s: updater.py answered what is no JSON",
                api_object_text(host, "name_label"));
    return answer;
}

json_t *patches_missing(const ApiObject *host, GError **error)
{
    json_t *answer = is_xcp(host, error) ? updater(host, "check_update", error) : NULL;
    const char *failure = json_string_value(json_object_get(answer, "error"));
    if (!answer || json_is_array(answer))
        return answer;
    err_set(error, ERR_STATE, "host %s: %s", api_object_text(host, "name_label"),
            failure ? failure : "updater.py answered no list");
    json_decref(answer);
    return NULL;
}

/* From this the host is seen to want a restart. */
static bool note_time(const ApiObject *host, GError **error)
{
    static const char key[] = "rpm_patch_installation_time";
    g_autofree char *now = g_strdup_printf("%.3f", (double) g_get_real_time() / G_USEC_PER_SEC);
    return api_object_do(host, "host.remove_from_other_config", json_pack("[s]", key), error) &&
           api_object_do(host, "host.add_to_other_config", json_pack("[s, s]", key, now), error);
}

json_t *patches_installed(ApiCall *call, const ApiObject *host)
{
    json_t *names = json_object(), *id;
    size_t i;
    json_array_foreach (json_object_get(host->view, "patches"), i, id) {
        const ApiObject *patch = call_find(call, json_string_value(id), "patch", NULL, NULL);
        if (patch)
            json_object_set_new(names, api_object_text(patch, "name"), json_true());
    }
    return names;
}

/* --- Updates that lie in the pool --- */

json_t *patches_lacking(json_t *have, json_t *wanted)
{
    json_t *names = json_object(), *one;
    const char *name;
    json_object_foreach (wanted, name, one)
        if (!json_object_get(have, name))
            json_object_set(names, name, one);
    return names;
}

json_t *patches_lying(const ApiObject *host, json_t *names, GError **error)
{
    json_t *updates = json_array(), *one;
    const char *name;
    json_object_foreach (names, name, one) {
        json_t *refs = xapi_call(api_object_xapi(host), "pool_update.get_by_name_label",
                                 json_pack("[s]", name), error);
        bool lies = json_array_size(refs) > 0;
        if (lies)
            json_array_append(updates, json_array_get(refs, 0));
        else if (refs)
            err_set(error, ERR_STATE,
                    "host %s lacks the patch %s, and its pool has no such update to install",
                    api_object_text(host, "name_label"), name);
        json_decref(refs);
        if (!lies) {
            json_decref(updates);
            return NULL;
        }
    }
    return updates;
}

bool patches_apply(const ApiObject *host, json_t *updates, GError **error)
{
    json_t *update;
    size_t i;
    json_array_foreach (updates, i, update) {
        const char *ref = json_string_value(update);
        bool checked = xapi_do(api_object_xapi(host), "pool_update.precheck",
                               json_pack("[s, s]", ref, host->ref), error);
        g_autofree char *done =
            checked ? api_object_task(host, "pool_update.pool_apply", json_pack("[s]", ref), error)
                    : NULL;
        if (!done) {
            g_prefix_error(error, "host %s: ", api_object_text(host, "name_label"));
            return false;
        }
    }
    return true;
}

bool patches_install(const ApiObject *host, GError **error)
{
    json_t *answer = is_xcp(host, error) ? updater(host, "update", error) : NULL;
    json_int_t status = json_integer_value(json_object_get(answer, "exit"));
    const char *words = json_string_value(json_object_get(answer, "stderr"));
    if (answer && status != 0)
        err_set(error, ERR_STATE, "host %s: the updates were not installed: %s",
                api_object_text(host, "name_label"), words ? words : "");
    json_decref(answer);
    return answer && status == 0 && note_time(host, error);
}

/* --- The hosts of a pool --- */

static void add_id(const char *id, const char *type, GBytes *text, void *user)
{
    g_ptr_array_add(user, g_strdup(id));
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const ApiObject *const *x = a, *const *y = b;
    return g_strcmp0(api_object_text(*x, "name_label"), api_object_text(*y, "name_label"));
}

GPtrArray *pool_hosts(ApiCall *call, const ApiObject *pool, GError **error)
{
    const char *master = api_object_text(pool, "master");
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();
    inventory_each(pool->inventory, "host", add_id, ids);
    for (unsigned i = 0; i < ids->len; i++) {
        const ApiObject *host = call_find(call, ids->pdata[i], "host", NULL, error);
        if (!host)
            return NULL;
        g_ptr_array_add(hosts, (void *) host);
    }
    g_ptr_array_sort(hosts, by_name);
    for (unsigned i = 0; i < hosts->len; i++)
        if (g_str_equal(((ApiObject *) hosts->pdata[i])->id, master)) {
            void *first = g_ptr_array_steal_index(hosts, i);
            g_ptr_array_insert(hosts, 0, first);
        }
    return g_steal_pointer(&hosts);
}

/* --- The methods --- */

static json_t *list_missing(ApiCall *call, GError **error)
{
    return patches_missing(call_object(call, "host"), error);
}

/* Those that were named, else all of the pool. */
static GPtrArray *hosts_asked(ApiCall *call, GError **error)
{
    json_t *ids = call_get(call, "hosts"), *id;
    size_t i;
    if (!ids && call_object(call, "pool"))
        return pool_hosts(call, call_object(call, "pool"), error);
    if (!ids) {
        api_error_invalid(error, "name the pool, or the hosts");
        return NULL;
    }
    g_autoptr(GPtrArray) hosts = g_ptr_array_new();
    json_array_foreach (ids, i, id) {
        const ApiObject *host =
            call_find(call, json_string_value(id), "host", "administrate", error);
        if (!host)
            return NULL;
        g_ptr_array_add(hosts, (void *) host);
    }
    return g_steal_pointer(&hosts);
}

static json_t *install(ApiCall *call, GError **error)
{
    g_autoptr(GPtrArray) hosts = hosts_asked(call, error);
    if (!hosts)
        return NULL;
    if (call_get(call, "patches") || call_get(call, "xsHash")) {
        err_set(error, ERR_UNSUPPORTED,
                "XCP-ng installs all updates that wait, not single ones: leave "
                "out patches and xsHash");
        return NULL;
    }
    for (unsigned i = 0; i < hosts->len; i++)
        if (!patches_install(hosts->pdata[i], error))
            break;
    if (hosts->len > 0)
        api_object_barrier(hosts->pdata[0]);
    return NULL;
}

const Method methods_pool_patches[] = {
    { "pool.listMissingPatches", list_missing, PARAMS(REQ(ID("host", "host", "view"))),
      .access = ACCESS_USER, .long_running = true, .example = "host=$HOST",
      .summary = "The updates that wait for a host." },
    { "pool.installPatches", install,
      PARAMS(OPT(ID("pool", "pool", "administrate")), OPT(ARR("hosts", P_STRING)),
             OPT(ARR("patches", P_STRING)), OPT(STR("xsHash"))),
      .access = ACCESS_USER, .long_running = true, .example = "pool=$POOL",
      .summary = "Install the updates that wait for the hosts of a pool." },
    { NULL },
};
