/* pool.*: what tells pools, and hosts of pools, apart: room, versions, patches, readiness. */
#include "api/method.h"
#include "api/methods/pool_patches.h"
#include "api/objects.h"

#include <stdlib.h>
#include <string.h>

/* --- pool.listPoolsMatchingCriteria --- */

typedef struct {
    double host_memory_bytes, sr_bytes, host_cpus;
    const char *version;
    GRegex *pool_name, *sr_name;
} Wanted;

static void wanted_clear(Wanted *wanted)
{
    g_clear_pointer(&wanted->pool_name, g_regex_unref);
    g_clear_pointer(&wanted->sr_name, g_regex_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Wanted, wanted_clear)

static bool read_pattern(ApiCall *call, const char *name, GRegex **regex, GError **error)
{
    const char *text = call_string(call, name);
    g_autoptr(GError) failure = NULL;
    *regex = text ? g_regex_new(text, 0, 0, &failure) : NULL;
    if (failure)
        api_error_invalid(error, "%s: %s", name, failure->message);
    return !failure;
}

static bool read_wanted(ApiCall *call, Wanted *wanted, GError **error)
{
    wanted->host_memory_bytes = json_number_value(call_get(call, "minAvailableHostMemory"));
    wanted->sr_bytes = json_number_value(call_get(call, "minAvailableSrSize"));
    wanted->host_cpus = json_number_value(call_get(call, "minHostCpus"));
    wanted->version = call_string(call, "minHostVersion");
    return read_pattern(call, "poolNameRegExp", &wanted->pool_name, error) &&
           read_pattern(call, "srNameRegExp", &wanted->sr_name, error);
}

static bool is_named(GRegex *pattern, json_t *view)
{
    const char *name = json_string_value(json_object_get(view, "name_label"));
    return !pattern || (name && g_regex_match(pattern, name, 0, NULL));
}

/* "8.10.1" is newer than "8.9". */
static bool is_at_least(const char *version, const char *least)
{
    for (int part = 0; part < 3; part++) {
        char *more = NULL, *more_least = NULL;
        long have = strtol(version, &more, 10), want = strtol(least, &more_least, 10);
        if (have != want)
            return have > want;
        version = *more == '.' ? more + 1 : "";
        least = *more_least == '.' ? more_least + 1 : "";
    }
    return true;
}

static double number_of(json_t *view, const char *field, const char *part)
{
    json_t *value = json_object_get(view, field);
    return json_number_value(part ? json_object_get(value, part) : value);
}

static bool host_fits(json_t *host, const void *user)
{
    const Wanted *wanted = user;
    const char *version = json_string_value(json_object_get(host, "version"));
    double free_bytes = number_of(host, "memory", "size") - number_of(host, "memory", "usage");
    return (!wanted->version || is_at_least(version ? version : "", wanted->version)) &&
           number_of(host, "cpus", "cores") >= wanted->host_cpus &&
           free_bytes >= wanted->host_memory_bytes;
}

static bool sr_fits(json_t *sr, const void *user)
{
    const Wanted *wanted = user;
    double free_bytes = number_of(sr, "size", NULL) - number_of(sr, "physical_usage", NULL);
    return free_bytes >= wanted->sr_bytes && is_named(wanted->sr_name, sr);
}

typedef struct {
    bool (*fits)(json_t *view, const void *wanted);
    const void *wanted;
    bool found;
} Look;

static void look(const char *id, const char *type, GBytes *text, void *user)
{
    Look *look = user;
    if (look->found)
        return;
    json_t *view = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    look->found = look->fits(view, look->wanted);
    json_decref(view);
}

static bool has(const ApiObject *pool, const char *type, const Look *kind)
{
    Look search = *kind;
    inventory_each(pool->inventory, type, look, &search);
    return search.found;
}

static void add_id(const char *id, const char *type, GBytes *text, void *user)
{
    g_ptr_array_add(user, g_strdup(id));
}

/* Of those that the caller may see. */
static json_t *list_matching(ApiCall *call, GError **error)
{
    g_auto(Wanted) wanted = { 0 };
    g_autoptr(GPtrArray) ids = g_ptr_array_new_with_free_func(g_free);
    if (!read_wanted(call, &wanted, error))
        return NULL;
    servers_each(call_parts(call)->servers, "pool", add_id, ids);
    json_t *list = json_array();
    for (guint i = 0; i < ids->len; i++) {
        const ApiObject *pool = call_find(call, ids->pdata[i], "pool", "view", NULL);
        if (pool && is_named(wanted.pool_name, pool->view) &&
            has(pool, "host", &(Look){ host_fits, &wanted, false }) &&
            has(pool, "SR", &(Look){ sr_fits, &wanted, false }))
            json_array_append(list, pool->view);
    }
    return list;
}

/* --- pool.getPatchesDifference --- */

/* What the target has and the source has not. */
static json_t *difference(ApiCall *call, GError **error)
{
    json_t *have = patches_installed(call, call_object(call, "target"));
    json_t *lack = patches_installed(call, call_object(call, "source")), *list = json_array(), *one;
    const char *name;
    json_object_foreach (have, name, one)
        if (!json_object_get(lack, name))
            json_array_append_new(list, json_string(name));
    json_decref(have);
    json_decref(lack);
    return list;
}

/* --- pool.getGuestSecureBootReadiness --- */

/* forceRefresh is XO's: here nothing is kept. */
static json_t *readiness(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "id");
    return xapi_call(api_object_xapi(pool), "pool.get_guest_secureboot_readiness",
                     json_pack("[s]", pool->ref), error);
}

const Method methods_pool_choice[] = {
    { "pool.listPoolsMatchingCriteria", list_matching,
      PARAMS(OPT(NUM("minAvailableHostMemory"), .words = "bytes free on one host"),
             OPT(NUM("minAvailableSrSize"), .words = "bytes free on one storage"),
             OPT(NUM("minHostCpus"), .words = "processors of one host"),
             OPT(STR("minHostVersion"), .words = "such as 8.2"), OPT(STR("poolNameRegExp")),
             OPT(STR("srNameRegExp"))),
      .access = ACCESS_USER, .example = "minHostCpus=2 minHostVersion=8.2",
      .summary = "The pools that have a host and a storage with so much room." },
    { "pool.getPatchesDifference", difference,
      PARAMS(REQ(ID("source", "host", "view")), REQ(ID("target", "host", "view"))),
      .access = ACCESS_USER, .example = "source=$HOST target=$MEMBER",
      .summary = "The names of the patches that the target has and the source lacks." },
    { "pool.getGuestSecureBootReadiness", readiness,
      PARAMS(REQ(ID("id", "pool", "view")),
             DEF("false", BOOL("forceRefresh"), .words = "needs not be said: nothing is kept")),
      .access = ACCESS_USER, .example = "id=$POOL",
      .summary = "Whether machines of a pool can start with secure boot." },
    { NULL },
};
