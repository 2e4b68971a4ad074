/* pool.mergeInto: pools of one host each become members of another pool. The connections to them
 * end: their hosts are seen through the pool that they are in then. */
#include "api/method.h"
#include "api/methods/host_return.h"
#include "api/methods/pool_patches.h"
#include "api/objects.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

/* --- What is to be merged --- */

static GPtrArray *sources_of(ApiCall *call, GError **error)
{
    const char *one = call_string(call, "source");
    json_t *ids = call_get(call, "sources") ? json_incref(call_get(call, "sources"))
                  : one                     ? json_pack("[s]", one)
                                            : json_array();
    json_t *id;
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    const char *target = call_object(call, "target")->id;
    bool ok = true;
    size_t i;
    json_array_foreach (ids, i, id) {
        const ApiObject *pool =
            ok ? call_find(call, json_string_value(id), "pool", "administrate", error) : NULL;
        ok = pool != NULL;
        if (ok && g_str_equal(pool->id, target)) {
            api_error_invalid(error, "sources: %s is the target", target);
            ok = false;
        }
        if (ok && !g_ptr_array_find(list, pool, NULL))
            g_ptr_array_add(list, (void *) pool);
    }
    json_decref(ids);
    if (ok && list->len == 0)
        api_error_invalid(error, "sources: name at least one pool");
    return ok && list->len > 0 ? g_steal_pointer(&list) : NULL;
}

static const ApiObject *master_of(ApiCall *call, const ApiObject *pool, GError **error)
{
    return call_find(call, api_object_text(pool, "master"), "host", NULL, error);
}

/* What one has and the other lacks is put on the other, where it lies ready. Without `install` it
 * is only asked whether that would do. */
static bool match_patches(ApiCall *call, const ApiObject *from, const ApiObject *into, bool install,
                          GError **error)
{
    json_t *mine = patches_installed(call, from), *theirs = patches_installed(call, into);
    json_t *lack = patches_lacking(mine, theirs), *they_lack = patches_lacking(theirs, mine);
    json_t *here = patches_lying(from, lack, error);
    json_t *there = here ? patches_lying(into, they_lack, error) : NULL;
    bool ok = there &&
              (!install || (patches_apply(into, there, error) && patches_apply(from, here, error)));
    if (!ok)
        g_prefix_error(error, "the hosts %s and %s have different patches: ",
                       api_object_text(from, "name_label"), api_object_text(into, "name_label"));
    json_decref(there);
    json_decref(here);
    json_decref(they_lack);
    json_decref(lack);
    json_decref(theirs);
    json_decref(mine);
    return ok;
}

/* The same product and version, and patches that can be made the same: before anything is done. */
static bool check_alike(ApiCall *call, const ApiObject *from, const ApiObject *into, GError **error)
{
    const char *brand = api_object_text(from, "productBrand");
    const char *wanted = api_object_text(into, "productBrand");
    const char *name = api_object_text(from, "name_label"),
               *to = api_object_text(into, "name_label");
    if (MUTANT(pool_merge_unlike)) /* mutant: system:test_pool_merge.Merging.test_merging */
        return true;
    bool ok = false;
    if (strcmp(brand, wanted) != 0)
        err_set(error, ERR_STATE, "a %s pool cannot be merged into a %s pool", brand, wanted);
    else if (strcmp(api_object_text(from, "version"), api_object_text(into, "version")) != 0)
        err_set(error, ERR_STATE,
                "the hosts are not compatible: %s has version %s, %s has %s: bring them to the "
                "same version first",
                name, api_object_text(from, "version"), to, api_object_text(into, "version"));
    else
        ok = match_patches(call, from, into, false, error);
    return ok;
}

static bool check_all(ApiCall *call, const GPtrArray *sources, const ApiObject *into,
                      GError **error)
{
    for (guint i = 0; i < sources->len; i++) {
        const ApiObject *from = master_of(call, sources->pdata[i], error);
        if (!from || !check_alike(call, from, into, error))
            return false;
    }
    return true;
}

/* What one pool brings the others get, too: each is asked anew for what it has by then. */
static bool install_all(ApiCall *call, const GPtrArray *sources, GError **error)
{
    if (MUTANT(pool_merge_unpatched)) /* mutant: system:test_pool_merge.Patched.test_patches */
        return true;
    for (guint i = 0; i < sources->len; i++) {
        const ApiObject *from = master_of(call, sources->pdata[i], error);
        const ApiObject *into = from ? master_of(call, call_object(call, "target"), error) : NULL;
        if (!into || !match_patches(call, from, into, true, error))
            return false;
        api_object_barrier(from);
        api_object_barrier(into);
    }
    return true;
}

/* --- One of them --- */

static bool is_member(ApiCall *call, const char *host, const char *pool)
{
    json_t *view = servers_object(call_parts(call)->servers, host);
    bool is = g_strcmp0(json_string_value(json_object_get(view, "$pool")), pool) == 0;
    json_decref(view);
    return is;
}

static bool wait_member(ApiCall *call, const char *host, const char *pool, gint64 timeout_ms)
{
    gint64 until_us = g_get_monotonic_time() + timeout_ms * 1000;
    while (!is_member(call, host, pool)) {
        if (g_get_monotonic_time() >= until_us)
            return false;
        g_usleep(HOST_POLL_MS * 1000);
    }
    return true;
}

/* Our connection to a pool: its record's id, asked before the pool is none any more. */
static char *server_of(ApiCall *call, const char *pool)
{
    json_t *list = servers_list(call_parts(call)->servers, NULL), *record;
    char *server = NULL;
    size_t i;
    json_array_foreach (list, i, record)
        if (!server && g_strcmp0(json_string_value(json_object_get(record, "poolId")), pool) == 0)
            server = g_strdup(json_string_value(json_object_get(record, "id")));
    json_decref(list);
    return server;
}

static void forget_server(ApiCall *call, const char *server)
{
    g_autoptr(GError) failure = NULL;
    if (server && !servers_remove(call_parts(call)->servers, server, &failure))
        log_warning("api", "server %s of the merged pool stays: %s", server, failure->message);
}

/* The answer may be lost with the toolstack that starts anew; a refusal is not. */
static bool join(ApiCall *call, const ApiObject *source, const ApiObject *into, json_t *connection,
                 GError **error)
{
    const ApiObject *target = call_object(call, "target");
    g_autoptr(GError) failure = NULL;
    const char *host = api_object_text(source, "master");
    g_autofree char *server = server_of(call, source->id);
    bool done = xapi_do(
        api_object_xapi(source), call_bool(call, "force") ? "pool.join_force" : "pool.join",
        json_pack("[s, O, O]", api_object_text(into, "address"),
                  json_object_get(connection, "username"), json_object_get(connection, "password")),
        &failure);
    if (!done && err_is(failure, ERR_XAPI)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    if (done)
        forget_server(call, server);
    if (!wait_member(call, host, target->id,
                     host_patience_ms(call, done ? HOST_AGENT_MS : HOST_SETTLE_MS))) {
        if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        else
            err_set(error, ERR_TIMEOUT, "host %s has joined pool %s, which does not show it yet",
                    host, api_object_text(target, "name_label"));
        return false;
    }
    if (!done)
        forget_server(call, server);
    return true;
}

/* One after the other; the error says how many are done. */
static json_t *merge(ApiCall *call, GError **error)
{
    const ApiObject *target = call_object(call, "target");
    g_autoptr(GPtrArray) sources = sources_of(call, error);
    const ApiObject *into = sources ? master_of(call, target, error) : NULL;
    json_t *connection = into && check_all(call, sources, into, error) &&
                                 install_all(call, sources, error)
                             ? servers_connection_of(call_parts(call)->servers, target->id, error)
                             : NULL;
    guint n = 0;
    while (connection && n < sources->len && join(call, sources->pdata[n], into, connection, error))
        n++;
    if (connection && n > 0 && n < sources->len)
        g_prefix_error(error, "%u of %u pools were merged; then: ", n, sources->len);
    json_decref(connection);
    if (n > 0)
        host_settle(into);
    return NULL;
}

const Method methods_pool_merge[] = {
    { "pool.mergeInto", merge,
      PARAMS(REQ(ID("target", "pool", "administrate")), OPT(STR("source"), .words = "a pool"),
             OPT(ARR("sources", P_STRING), .words = "pools, each of one host"),
             OPT(BOOL("force"), .words = "also when the processors are not alike")),
      .access = ACCESS_USER, .long_running = true, .example = "source=$LONE_POOL target=$POOL",
      .summary = "Make the only host of a pool a member of another pool." },
    { NULL },
};
