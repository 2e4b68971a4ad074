/* The figures of a first page: counted over the objects that are held, the jobs, and the logs of
 * the last days; updates and the space of repositories are asked for, in a bounded time. */
#include "api/error.h"
#include "api/rest_collection.h"
#include "api/rest_events.h"
#include "base/json_list.h"
#include "base/json_pick.h"
#include "base/json_text.h"
#include "base/pattern.h"

#include <string.h>

enum { RECENT_DAYS = 7, RUNS_OF_A_JOB = 3, MAX_LOGS = 2000, PATIENCE_S = 20 };

static void count(json_t *part, const char *key)
{
    json_object_set_new(part, key,
                        json_integer(json_integer_value(json_object_get(part, key)) + 1));
}

static void add(json_t *part, const char *key, json_t *value)
{
    json_int_t sum = json_integer_value(json_object_get(part, key)) +
                     (json_int_t) json_number_value(value);
    json_object_set_new(part, key, json_integer(sum));
}

/* An object of zeros. */
static json_t *zeros(const char *keys)
{
    g_auto(GStrv) names = g_strsplit(keys, " ", -1);
    json_t *part = json_object();
    for (unsigned i = 0; names[i]; i++)
        json_object_set_new(part, names[i], json_integer(0));
    return part;
}

/* --- Objects --- */

typedef struct {
    void (*see)(json_t *object, json_t *part, json_t *resources);
    json_t *part, *resources;
} Count;

static void count_one(const char *id, const char *type, GBytes *text, void *user)
{
    Count *counting = user;
    json_t *object =
        json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), JSON_ALLOW_NUL, NULL);
    counting->see(object, counting->part, counting->resources);
    json_decref(object);
}

static void see_host(json_t *host, json_t *part, json_t *resources)
{
    const char *state = json_text(host, "power_state");
    bool enabled = json_is_true(json_object_get(host, "enabled"));
    count(part, "total");
    count(part, g_str_equal(state, "Halted")     ? "halted"
                : !g_str_equal(state, "Running") ? "unknown"
                : enabled                        ? "running"
                                                 : "disabled");
    add(resources, "nCpus", json_object_get(json_object_get(host, "cpus"), "cores"));
    add(resources, "memorySize", json_object_get(json_object_get(host, "memory"), "size"));
}

/* Machines are many: their texts are not parsed. */
static void count_vm(const char *id, const char *type, GBytes *text, void *user)
{
    static const char *const states[][3] = { { "\"Running\"", "running", "active" },
                                             { "\"Halted\"", "halted", "inactive" },
                                             { "\"Paused\"", "paused", "active" },
                                             { "\"Suspended\"", "suspended", "inactive" } };
    json_t *part = user;
    JsonPick state = { "power_state" };
    json_pick(g_bytes_get_data(text, NULL), g_bytes_get_size(text), &state, 1);
    count(part, "total");
    for (unsigned i = 0; state.value && i < G_N_ELEMENTS(states); i++) {
        if (strlen(states[i][0]) != state.n || memcmp(states[i][0], state.value, state.n) != 0)
            continue;
        count(part, states[i][1]);
        count(part, states[i][2]);
        return;
    }
    count(part, "unknown");
}

static void see_sr(json_t *sr, json_t *part, json_t *resources)
{
    const char *content = json_text(sr, "content_type"), *kind = json_text(sr, "SR_type");
    if (g_str_equal(content, "iso") || g_str_equal(kind, "iso") || g_str_equal(kind, "udev") ||
        json_number_value(json_object_get(sr, "size")) <= 0)
        return;
    add(part, "total", json_object_get(sr, "size"));
    add(part, "used", json_object_get(sr, "physical_usage"));
    add(part, "other", json_object_get(sr, "physical_usage"));
    add(resources, "srSize", json_object_get(sr, "size"));
}

static void add_objects(RestRequest *request, json_t *all)
{
    Servers *servers = request->parts->servers;
    json_t *resources = zeros("nCpus memorySize srSize");
    json_t *hosts = zeros("disabled running halted unknown total");
    json_t *vms = zeros("active inactive running halted paused suspended unknown total");
    json_t *size = zeros("available other replicated total used");
    Count of_hosts = { see_host, hosts, resources }, of_srs = { see_sr, size, resources };
    servers_each(servers, "host", count_one, &of_hosts);
    servers_each(servers, "SR", count_one, &of_srs);
    servers_each(servers, "VM", count_vm, vms);
    json_object_set_new(size, "available",
                        json_integer(json_integer_value(json_object_get(size, "total")) -
                                     json_integer_value(json_object_get(size, "used"))));
    json_object_set(all, "nHosts", json_object_get(hosts, "total"));
    json_object_set_new(all, "hostsStatus", hosts);
    json_object_set_new(all, "vmsStatus", vms);
    json_object_set_new(all, "storageRepositories", json_pack("{s:o}", "size", size));
    json_object_set_new(all, "resourcesOverview", resources);
}

static void add_pools(RestRequest *request, json_t *all)
{
    json_t *servers = servers_list(request->parts->servers, NULL), *server;
    json_t *part = zeros("connected disconnected unreachable unknown total");
    size_t i;
    json_array_foreach (servers, i, server) {
        bool connected = g_str_equal(json_text(server, "status"), "connected");
        count(part, "total");
        count(part, connected                          ? "connected"
                    : json_object_get(server, "error") ? "unreachable"
                                                       : "disconnected");
    }
    json_decref(servers);
    json_object_set(all, "nPools", json_object_get(part, "connected"));
    json_object_set_new(all, "poolsStatus", part);
}

/* --- Updates --- */

typedef struct {
    RestRequest *request;
    json_t *part, *pools; /* the latter: {id: null}, those with hosts that lack some */
    gint64 until_us;
} Updates;

static void ask_host(const char *id, const char *type, GBytes *text, void *user)
{
    g_ptr_array_add(user, g_strdup(id));
}

static void count_host(Updates *updates, const char *id)
{
    json_t *params = json_pack("{s:s}", "host", id);
    bool late = g_get_monotonic_time() > updates->until_us;
    json_t *missing = late ? NULL
                           : rest_call(updates->request, "pool.listMissingPatches", params, NULL);
    json_t *host = servers_object(updates->request->parts->servers, id);
    count(updates->part, "nHosts");
    if (!missing)
        count(updates->part, "nHostsFailed");
    if (json_array_size(missing) > 0) {
        count(updates->part, "nHostsWithMissingPatches");
        json_object_set_new(updates->pools, json_text(host, "$pool"), json_null());
    }
    json_decref(host);
    json_decref(missing);
    json_decref(params);
}

/* Hosts that do not say, or not in time, have failed. When support ends is not known. */
static void add_updates(RestRequest *request, json_t *all)
{
    Updates updates = { request,
                        zeros("nHosts nHostsFailed nHostsWithMissingPatches "
                              "nPools nPoolsWithMissingPatches"),
                        json_object(),
                        g_get_monotonic_time() + (gint64) PATIENCE_S * G_USEC_PER_SEC };
    g_autoptr(GPtrArray) hosts = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) pools = g_ptr_array_new_with_free_func(g_free);
    servers_each(request->parts->servers, "host", ask_host, hosts);
    servers_each(request->parts->servers, "pool", ask_host, pools);
    for (unsigned i = 0; i < hosts->len; i++)
        count_host(&updates, hosts->pdata[i]);
    json_object_set_new(updates.part, "hasAuthorization", json_true());
    json_object_set_new(updates.part, "nHostsEol", json_pack("{s:b}", "isEmpty", 1));
    json_object_set_new(updates.part, "nPools", json_integer(pools->len));
    json_object_set_new(updates.part, "nPoolsWithMissingPatches",
                        json_integer((json_int_t) json_object_size(updates.pools)));
    json_object_set_new(all, "missingPatches", updates.part);
    json_decref(updates.pools);
}

/* --- Repositories --- */

/* The bytes of all backups of one. */
static json_int_t bytes_of(json_t *vms)
{
    const char *vm;
    json_t *points, *point;
    json_int_t sum = 0;
    size_t i;
    json_object_foreach (vms, vm, points)
        json_array_foreach (points, i, point)
            sum += (json_int_t) json_number_value(json_object_get(point, "size"));
    return sum;
}

/* Object storage has no end: only what is in it is told. */
static void add_repository(json_t *part, json_t *remote, json_t *info, json_t *vms)
{
    bool s3 = g_str_has_prefix(json_text(remote, "url"), "s3");
    const char *kind = s3 ? "s3" : "other";
    json_t *sum = json_object_get(part, kind);
    json_int_t backups = bytes_of(vms);
    json_int_t used = (json_int_t) json_number_value(json_object_get(info, "used"));
    if (!sum)
        json_object_set_new(part, kind,
                            sum = zeros(s3 ? "backups" : "available backups other total used"));
    json_t *own = json_pack("{s:I, s:I, s:I}", "backups", backups, "used", used, "other",
                            used > backups ? used - backups : 0);
    add(sum, "backups", json_object_get(own, "backups"));
    if (!s3) {
        add(sum, "used", json_object_get(own, "used"));
        add(sum, "other", json_object_get(own, "other"));
        add(sum, "available", json_object_get(info, "available"));
        add(sum, "total", json_object_get(info, "size"));
    }
    json_decref(own);
}

/* {s3?: {size}, other?: {size}}; a repository that does not answer is left out. */
static void add_repositories(RestRequest *request, json_t *all)
{
    json_t *remotes = remotes_list(request->parts->remotes, NULL), *remote, *ids = json_array();
    json_t *sums = json_object(), *part = json_object(), *sum;
    json_t *infos = json_array_size(remotes) ? rest_call(request, "remote.getAllInfo", NULL, NULL)
                                             : NULL;
    const char *id, *kind;
    size_t i;
    json_object_foreach (infos, id, sum)
        json_array_append_new(ids, json_string(id));
    json_t *params = json_pack("{s:o}", "remotes", ids);
    json_t *backups =
        json_array_size(ids) ? rest_call(request, "backupNg.listVmBackups", params, NULL) : NULL;
    json_array_foreach (remotes, i, remote) {
        json_t *info = json_object_get(infos, json_text(remote, "id"));
        if (info)
            add_repository(sums, remote, info, json_object_get(backups, json_text(remote, "id")));
    }
    json_object_foreach (sums, kind, sum)
        json_object_set_new(part, kind, json_pack("{s:O}", "size", sum));
    if (json_object_size(part) == 0)
        json_object_set_new(part, json_array_size(remotes) ? "error" : "isEmpty", json_true());
    json_object_set_new(all, "backupRepositories", part);
    json_decref(sums);
    json_decref(backups);
    json_decref(params);
    json_decref(infos);
    json_decref(remotes);
}

/* --- Backups --- */

/* Job id → the statuses of its newest runs. */
static json_t *recent_runs(RestRequest *request)
{
    gint64 since_ms = g_get_real_time() / 1000 - (gint64) RECENT_DAYS * 86400 * 1000;
    g_autoptr(GPtrArray) ids = runs_log_ids(request->parts->runs, since_ms, 0, NULL);
    json_t *runs = json_object();
    for (unsigned i = ids ? ids->len : 0, n = 0; i-- > 0 && n < MAX_LOGS; n++) {
        json_t *log = runs_log(request->parts->runs, ids->pdata[i], NULL);
        const char *job = json_text(log, "jobId"), *status = json_text(log, "status");
        json_t *statuses = json_object_get(runs, job);
        if (!statuses && *job)
            json_object_set_new(runs, job, statuses = json_array());
        if (*job && !g_str_equal(status, "pending") && json_array_size(statuses) < RUNS_OF_A_JOB)
            json_array_append_new(statuses, json_string(status));
        json_decref(log);
    }
    return runs;
}

bool rest_job_is_scheduled(json_t *schedules, const char *job)
{
    size_t i;
    json_t *schedule;
    json_array_foreach (schedules, i, schedule)
        if (g_str_equal(json_text(schedule, "jobId"), job) &&
            json_is_true(json_object_get(schedule, "enabled")))
            return true;
    return false;
}

static const char *verdict(json_t *statuses, bool enabled)
{
    return !enabled                         ? "disabled"
           : json_array_size(statuses) == 0 ? "noRecentRun"
           : json_list_has_text(statuses, "failure") || json_list_has_text(statuses, "interrupted")
               ? "failed"
           : json_list_has_text(statuses, "skipped") ? "skipped"
                                                     : "successful";
}

typedef struct {
    json_t *jobs, *part;
    GHashTable *good; /* jobs whose last runs went well */
} Protection;

static void protect(const char *id, const char *type, GBytes *text, void *user)
{
    Protection *protection = user;
    json_t *vm =
        json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), JSON_ALLOW_NUL, NULL);
    bool in_job = false, good = false;
    size_t i;
    json_t *job;
    json_array_foreach (protection->jobs, i, job) {
        json_t *pattern = json_object_get(job, "vms");
        if (!pattern || good || !pattern_match(pattern, vm))
            continue;
        in_job = true;
        good = g_hash_table_contains(protection->good, json_text(job, "id"));
    }
    count(protection->part, good ? "protected" : in_job ? "unprotected" : "notInJob");
    json_decref(vm);
}

static void add_backups(RestRequest *request, json_t *all)
{
    json_t *jobs = jobs_list(request->parts->jobs, "backup", NULL), *job;
    json_t *schedules = jobs_list_schedules(request->parts->jobs, NULL);
    json_t *runs = recent_runs(request), *issues = json_array();
    json_t *part = zeros("disabled failed noRecentRun skipped successful total");
    g_autoptr(GHashTable) good = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_array_foreach (jobs, i, job) {
        const char *id = json_text(job, "id");
        json_t *statuses = json_object_get(runs, id);
        const char *word = verdict(statuses, rest_job_is_scheduled(schedules, id));
        count(part, "total");
        count(part, word);
        if (g_str_equal(word, "failed"))
            json_array_append_new(issues, json_pack("{s:O, s:s, s:O, s:s}", "logs", statuses,
                                                    "name", json_text(job, "name"), "type",
                                                    json_object_get(job, "type"), "uuid", id));
        else if (g_str_equal(word, "successful"))
            g_hash_table_add(good, (void *) id);
    }
    json_t *machines = zeros("protected unprotected notInJob");
    Protection protection = { jobs, machines, good };
    servers_each(request->parts->servers, "VM", protect, &protection);
    json_object_set_new(
        all, "backups",
        json_pack("{s:o, s:o, s:o}", "jobs", part, "issues", issues, "vmsProtection", machines));
    json_decref(runs);
    json_decref(schedules);
    json_decref(jobs);
}

/* --- The page --- */

static void reply_lines(RestRequest *request, json_t *all)
{
    GString *lines = g_string_new(NULL);
    const char *key;
    json_t *part;
    json_object_foreach (all, key, part) {
        json_t *one = json_pack("{s:O}", key, part);
        g_autofree char *text = json_dumps(one, JSON_COMPACT);
        g_string_append_printf(lines, "%s\n", text);
        json_decref(one);
    }
    json_decref(all);
    http_reply(request->http, 200, "application/x-ndjson", lines->str, lines->len);
    g_string_free(lines, TRUE);
}

static void dashboard(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    if (!request->is_admin) {
        api_error_unauthorized(&error, "admin", NULL);
        rest_fail(request, error);
        return;
    }
    json_t *all = json_object();
    add_pools(request, all);
    add_objects(request, all);
    add_backups(request, all);
    add_updates(request, all);
    add_repositories(request, all);
    if (rest_flag(request, "ndjson"))
        reply_lines(request, all);
    else
        rest_reply(request, 200, all);
}

const RestRoute rest_dashboard_routes[] = {
    { "GET", "dashboard", dashboard, .summary = "The figures of a first page.", .example = "",
      .needs = "admin" },
    { NULL },
};
