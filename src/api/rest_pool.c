/* Figures of one pool: its objects counted, who uses most at this moment by the records of its
 * hosts, and the updates that wait. A part that a host does not answer is {error: true}, as with
 * XO. */
#include "api/rest_pool.h"
#include "api/rest_collection.h"
#include "api/usage.h"
#include "base/json_pick.h"
#include "base/json_text.h"

#include <string.h>

enum { N_TOP = 5 };

/* --- Objects of the pool --- */

typedef struct {
    const char *pool;
    json_t *list;
} OfPool;

static bool is_of(GBytes *text, const char *pool)
{
    JsonPick pick = { "$pool" };
    json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &pick, 1);
    return pick.value && pick.n == strlen(pool) + 2 &&
           memcmp(pick.value + 1, pool, pick.n - 2) == 0;
}

static void add_object(const char *id, const char *type, GBytes *text, void *user)
{
    OfPool *of = user;
    if (is_of(text, of->pool))
        json_array_append_new(of->list, json_loadb(g_bytes_get_data(text, NULL),
                                                   g_bytes_get_size(text), JSON_ALLOW_NUL, NULL));
}

/* A new array of XO's views. */
static json_t *objects_of(RestRequest *request, const char *type)
{
    OfPool of = { rest_arg(request, "id"), json_array() };
    servers_each(request->parts->servers, type, add_object, &of);
    return of.list;
}

/* Who may look at the pool by a role is told its figures, whatever host they are of. */
static json_t *call_on_host(RestRequest *request, const char *method, json_t *params,
                            const char *host, GError **error)
{
    CallTerms terms = { .granted = rest_is_granted(request) ? host : NULL };
    return rest_call_on(request, method, params, &terms, error);
}

/* --- What the hosts used --- */

static json_t *stats_of_host(RestRequest *request, const char *id)
{
    g_autoptr(GError) error = NULL;
    json_t *params = json_pack("{s:s, s:s*}", "host", id, "granularity",
                               http_query(request->http, "granularity"));
    json_t *stats = call_on_host(request, "host.stats", params, id, &error);
    json_decref(params);
    return stats ? stats : json_pack("{s:s}", "error", error->message);
}

static bool is_there(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    if (rest_check_item(request, rest_collection_find("pools"), &error))
        return true;
    rest_fail(request, error);
    return false;
}

/* {host: its figures, or {error}} */
static void stats(RestRequest *request)
{
    if (!is_there(request))
        return;
    json_t *hosts = objects_of(request, "host"), *host, *all = json_object();
    size_t i;
    json_array_foreach (hosts, i, host)
        json_object_set_new(all, json_text(host, "id"),
                            stats_of_host(request, json_text(host, "id")));
    json_decref(hosts);
    rest_reply(request, 200, all);
}

/* --- Updates --- */

static bool is_same(json_t *a, json_t *b)
{
    static const char *const keys[] = { "name", "version", "release", "id" };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])) &&
            (json_object_get(a, keys[i]) || json_object_get(b, keys[i])))
            return false;
    return true;
}

static void add_patches(json_t *all, json_t *of_host)
{
    size_t i, k;
    json_t *patch, *known;
    json_array_foreach (of_host, i, patch) {
        bool has = false;
        json_array_foreach (all, k, known)
            has = has || is_same(known, patch);
        if (!has)
            json_array_append(all, patch);
    }
}

/* Those of any host, each once; NULL with the error of the first host that does not say. */
static json_t *patches_of(RestRequest *request, GError **error)
{
    json_t *hosts = objects_of(request, "host"), *host, *all = json_array();
    size_t i;
    json_array_foreach (hosts, i, host) {
        json_t *params = json_pack("{s:O}", "host", json_object_get(host, "id"));
        json_t *of_host =
            call_on_host(request, "pool.listMissingPatches", params, json_text(host, "id"), error);
        json_decref(params);
        if (!of_host) {
            g_clear_pointer(&all, json_decref);
            break;
        }
        add_patches(all, of_host);
        json_decref(of_host);
    }
    json_decref(hosts);
    return all;
}

static void missing_patches(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    json_t *patches = is_there(request) ? patches_of(request, &error) : NULL;
    if (patches)
        rest_reply(request, 200, patches);
    else if (error)
        rest_fail(request, error);
}

/* --- Who uses most --- */

static double number(json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

/* Puts an entry with "percent" into its place among the first; its reference is taken. */
static void rank(json_t *top, json_t *entry)
{
    size_t at = 0;
    while (at < json_array_size(top) &&
           number(json_array_get(top, at), "percent") >= number(entry, "percent"))
        at++;
    json_array_insert_new(top, at, entry);
    if (json_array_size(top) > N_TOP)
        json_array_remove(top, N_TOP);
}

static json_t *entry_of(json_t *object, double percent)
{
    return json_pack("{s:O, s:O, s:f}", "id", json_object_get(object, "id"), "name_label",
                     json_object_get(object, "name_label"), "percent", percent);
}

/* The same members of `from`, in the entry. */
static json_t *with(json_t *entry, json_t *from, const char *first, const char *second)
{
    json_object_set(entry, first, json_object_get(from, first));
    json_object_set(entry, second, json_object_get(from, second));
    return entry;
}

static void rank_cpu(json_t *top, json_t *object, json_t *used)
{
    if (json_object_get(used, "cpu"))
        rank(top, entry_of(object, number(used, "cpu")));
}

static json_t *top_hosts(json_t *hosts, json_t *usage)
{
    json_t *ram = json_array(), *cpu = json_array(), *host;
    size_t i;
    json_array_foreach (hosts, i, host) {
        json_t *memory = json_object_get(host, "memory");
        double size = number(memory, "size");
        if (size > 0)
            rank(ram, with(entry_of(host, 100 * number(memory, "usage") / size), memory, "size",
                           "usage"));
        rank_cpu(cpu, host, json_object_get(usage, json_text(host, "uuid")));
    }
    return json_pack("{s:o, s:o}", "ram", ram, "cpu", cpu);
}

static json_t *top_machines(json_t *vms, json_t *usage)
{
    json_t *ram = json_array(), *cpu = json_array(), *vm;
    size_t i;
    json_array_foreach (vms, i, vm) {
        json_t *used = json_object_get(usage, json_text(vm, "uuid"));
        double memory = number(used, "memory"), free = number(used, "memoryFree");
        if (memory > 0 && json_object_get(used, "memoryFree"))
            rank(ram,
                 with(entry_of(vm, 100 * (memory - free) / memory), used, "memory", "memoryFree"));
        rank_cpu(cpu, vm, used);
    }
    return json_pack("{s:o, s:o}", "ram", ram, "cpu", cpu);
}

static json_t *top_srs(RestRequest *request)
{
    json_t *srs = objects_of(request, "SR"), *sr, *top = json_array();
    size_t i;
    json_array_foreach (srs, i, sr) {
        double size = number(sr, "size");
        const char *kind = json_text(sr, "SR_type");
        if (size > 0 && !g_str_equal(kind, "iso") && !g_str_equal(kind, "udev"))
            rank(top, with(entry_of(sr, 100 * number(sr, "physical_usage") / size), sr,
                           "physical_usage", "size"));
    }
    json_decref(srs);
    return top;
}

/* --- Counts --- */

static void count(json_t *status, const char *key)
{
    json_object_set_new(status, key, json_integer((json_int_t) number(status, key) + 1));
    json_object_set_new(status, "total", json_integer((json_int_t) number(status, "total") + 1));
}

static json_t *host_states(json_t *hosts)
{
    json_t *status = json_pack("{s:i, s:i, s:i, s:i}", "running", 0, "disabled", 0, "halted", 0,
                               "total", 0),
           *host;
    size_t i;
    json_array_foreach (hosts, i, host)
        count(status, !g_str_equal(json_text(host, "power_state"), "Running") ? "halted"
                      : json_is_true(json_object_get(host, "enabled"))        ? "running"
                                                                              : "disabled");
    return status;
}

static json_t *machine_states(json_t *vms)
{
    json_t *status = json_pack("{s:i, s:i, s:i, s:i, s:i}", "running", 0, "halted", 0, "paused", 0,
                               "suspended", 0, "total", 0),
           *vm;
    size_t i;
    json_array_foreach (vms, i, vm) {
        g_autofree char *state = g_ascii_strdown(json_text(vm, "power_state"), -1);
        count(status, json_object_get(status, state) ? state : "halted");
    }
    return status;
}

/* Processors of the hosts, and those that machines have which are not down. */
static json_t *provisioning(json_t *hosts, json_t *vms)
{
    double total = 0, assigned = 0;
    size_t i;
    json_t *one;
    json_array_foreach (hosts, i, one)
        total += number(json_object_get(one, "cpus"), "cores");
    json_array_foreach (vms, i, one)
        if (g_str_equal(json_text(one, "power_state"), "Running") ||
            g_str_equal(json_text(one, "power_state"), "Paused"))
            assigned += number(json_object_get(one, "CPUs"), "number");
    return json_pack("{s:I, s:I, s:f}", "total", (json_int_t) total, "assigned",
                     (json_int_t) assigned, "percent", total > 0 ? 100 * assigned / total : 0.0);
}

/* --- The page --- */

/* uuid → what it uses, of all hosts that answer; NULL: none did. */
static json_t *usage_of_all(RestRequest *request, json_t *hosts)
{
    g_autoptr(Link) link = servers_find(request->parts->servers, rest_arg(request, "id"), NULL);
    json_t *host, *all = NULL;
    size_t i;
    json_array_foreach (hosts, i, host) {
        json_t *used = link ? usage_of_host(pool_xapi(link_pool(link)), json_text(host, "address"),
                                            json_text(host, "_xapiRef"), NULL)
                            : NULL;
        if (used && !all)
            all = json_object();
        if (used)
            json_object_update(all, used);
        json_decref(used);
    }
    return all;
}

static bool add_alarm(const char *id, const char *text, size_t n, void *user)
{
    OfPool *of = user;
    g_autoptr(GBytes) bytes = g_bytes_new_static(text, n);
    if (is_of(bytes, of->pool))
        json_array_append_new(of->list, json_string(id));
    return true;
}

static json_t *updates(RestRequest *request)
{
    json_t *patches = patches_of(request, NULL);
    return patches ? json_pack("{s:b, s:o}", "hasAuthorization", 1, "missingPatches", patches)
                   : json_pack("{s:b}", "error", 1);
}

static void dashboard(RestRequest *request)
{
    if (!is_there(request))
        return;
    json_t *hosts = objects_of(request, "host"), *vms = objects_of(request, "VM");
    json_t *usage = usage_of_all(request, hosts);
    OfPool alarms = { rest_arg(request, "id"), json_array() };
    rest_each_alarm(request, NULL, add_alarm, &alarms, NULL);
    json_t *most_hosts = usage ? top_hosts(hosts, usage) : json_pack("{s:b}", "error", 1);
    json_t *most_vms = usage ? top_machines(vms, usage) : json_pack("{s:b}", "error", 1);
    rest_reply(request, 200,
               json_pack("{s:{s:o, s:o, s:o}, s:{s:o, s:o}, s:{s:o}, s:o, s:o}", "hosts", "status",
                         host_states(hosts), "topFiveUsage", most_hosts, "missingPatches",
                         updates(request), "vms", "status", machine_states(vms), "topFiveUsage",
                         most_vms, "srs", "topFiveUsage", top_srs(request), "alarms", alarms.list,
                         "cpuProvisioning", provisioning(hosts, vms)));
    json_decref(usage);
    json_decref(vms);
    json_decref(hosts);
}

const RestRoute rest_pool_routes[] = {
    { "GET", "pools/{id}/stats", stats,
      .summary = "What the hosts of a pool used, by host; granularity as for hosts.",
      .example = "$POOL granularity=minutes", .needs = "view" },
    { "GET", "pools/{id}/missing_patches", missing_patches,
      .summary = "The updates that wait for any host of a pool.", .example = "$POOL",
      .needs = "view" },
    { "GET", "pools/{id}/dashboard", dashboard, .summary = "The figures of one pool.",
      .example = "$POOL", .needs = "view" },
    { NULL },
};
