/* The figures of one machine's page: what it is, its alarms, and how it is backed up. What concerns
 * backups is for administrators; for others it is empty. */
#include "api/rest_collection.h"
#include "api/rest_events.h"
#include "base/json_text.h"
#include "base/pattern.h"

#include <string.h>

enum { N_NEWEST = 3, MAX_LOGS = 500 };

/* --- What it is --- */

/* `member` of the field alone; NULL: the field as it is. */
static const struct {
    const char *field, *member;
} rows[] = {
    { "id", NULL },
    { "power_state", NULL },
    { "uuid", NULL },
    { "name_description", NULL },
    { "CPUs", "number" },
    { "mainIpAddress", NULL },
    { "os_version", "name" },
    { "memory", "size" },
    { "creation", NULL },
    { "$pool", NULL },
    { "virtualizationMode", NULL },
    { "tags", NULL },
    { "pvDriversDetected", NULL },
    { "pvDriversVersion", NULL },
    { "pvDriversUpToDate", NULL },
    { "startTime", NULL },
};

static json_t *quick_info(RestRequest *request, json_t *vm)
{
    json_t *info = json_pack("{s:{}}", "creation");
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *value = json_object_get(vm, rows[i].field);
        if (value && rows[i].member)
            json_object_set_new(
                info, rows[i].field,
                json_pack("{s:O*}", rows[i].member, json_object_get(value, rows[i].member)));
        else if (value)
            json_object_set(info, rows[i].field, value);
    }
    const char *type = NULL, *container = json_text(vm, "$container");
    g_autoptr(GBytes) host = servers_text(container, &type, request->parts->servers);
    if (g_strcmp0(type, "host") == 0 && g_str_equal(json_text(vm, "power_state"), "Running"))
        json_object_set_new(info, "host", json_string(container));
    return info;
}

static bool add_id(const char *id, const char *text, size_t n, void *user)
{
    json_array_append_new(user, json_string(id));
    return true;
}

/* --- Backups --- */

static bool is_of(json_t *log, const char *vm)
{
    size_t i;
    json_t *task;
    json_array_foreach (json_object_get(log, "tasks"), i, task)
        if (g_str_equal(json_text(json_object_get(task, "data"), "id"), vm))
            return true;
    return false;
}

/* Its newest runs that have ended. */
static json_t *last_runs(RestRequest *request, const char *vm)
{
    json_t *runs = json_array();
    g_autoptr(GPtrArray) ids = runs_log_ids(request->parts->runs, 0, 0, NULL);
    for (unsigned i = ids ? ids->len : 0, n = 0;
         i-- > 0 && n < MAX_LOGS && json_array_size(runs) < N_NEWEST; n++) {
        json_t *log = runs_log(request->parts->runs, ids->pdata[i], NULL);
        if (json_object_get(log, "end") && is_of(log, vm))
            json_array_append_new(runs, json_pack("{s:O*, s:O, s:O*}", "backupJobId",
                                                  json_object_get(log, "jobId"), "timestamp",
                                                  json_object_get(log, "end"), "status",
                                                  json_object_get(log, "status")));
        json_decref(log);
    }
    return runs;
}

/* Protected: by a job with a schedule that runs, and the last run went well. */
static const char *protection(RestRequest *request, json_t *vm, json_t *runs)
{
    json_t *jobs = jobs_list(request->parts->jobs, "backup", NULL), *job;
    json_t *schedules = jobs_list_schedules(request->parts->jobs, NULL);
    bool in_job = false, goes_on = false;
    size_t i;
    json_array_foreach (jobs, i, job) {
        json_t *pattern = json_object_get(job, "vms");
        if (!pattern || !pattern_match(pattern, vm))
            continue;
        in_job = true;
        goes_on = goes_on || rest_job_is_scheduled(schedules, json_text(job, "id"));
    }
    json_decref(jobs);
    json_decref(schedules);
    bool well = g_str_equal(json_text(json_array_get(runs, 0), "status"), "success");
    return !in_job ? "not-in-active-job" : goes_on && well ? "protected" : "unprotected";
}

/* The newest first. */
static void add_archive(json_t *newest, json_t *archive)
{
    double time_ms = json_number_value(json_object_get(archive, "timestamp"));
    size_t at = 0;
    while (at < json_array_size(newest) &&
           json_number_value(json_object_get(json_array_get(newest, at), "timestamp")) >= time_ms)
        at++;
    json_array_insert_new(newest, at,
                          json_pack("{s:O*, s:O*, s:O*, s:O*}", "id",
                                    json_object_get(archive, "id"), "timestamp",
                                    json_object_get(archive, "timestamp"), "backupRepository",
                                    json_object_get(archive, "backupRepository"), "size",
                                    json_object_get(archive, "size")));
    if (json_array_size(newest) > N_NEWEST)
        json_array_remove(newest, N_NEWEST);
}

static json_t *archives(RestRequest *request, const char *vm)
{
    json_t *remotes = remotes_list(request->parts->remotes, NULL), *remote, *of_remote, *archive;
    json_t *ids = json_array(), *newest = json_array();
    size_t i;
    json_array_foreach (remotes, i, remote)
        if (json_is_true(json_object_get(remote, "enabled")))
            json_array_append(ids, json_object_get(remote, "id"));
    json_t *params = json_pack("{s:o}", "remotes", ids);
    json_t *all = rest_call(request, "backupNg.listVmBackups", params, NULL);
    const char *id;
    json_object_foreach (all, id, of_remote)
        json_array_foreach (json_object_get(of_remote, vm), i, archive)
            add_archive(newest, archive);
    json_decref(params);
    json_decref(all);
    json_decref(remotes);
    return newest;
}

static json_t *backups_info(RestRequest *request, json_t *vm)
{
    if (!request->is_admin)
        return json_object();
    json_t *runs = last_runs(request, json_text(vm, "id"));
    return json_pack("{s:s, s:o, s:{}, s:o}", "vmProtection", protection(request, vm, runs),
                     "lastRuns", runs, "replication", "backupArchives",
                     archives(request, json_text(vm, "uuid")));
}

static void machine(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    if (!rest_check_item(request, rest_collection_find("vms"), &error)) {
        rest_fail(request, error);
        return;
    }
    json_t *vm = servers_object(request->parts->servers, rest_arg(request, "id"));
    json_t *alarms = json_array();
    rest_each_own_alarm(request, NULL, add_id, alarms, NULL);
    rest_reply(request, 200,
               json_pack("{s:o, s:o, s:o}", "quickInfo", quick_info(request, vm), "alarms", alarms,
                         "backupsInfo", backups_info(request, vm)));
    json_decref(vm);
}

const RestRoute rest_machine_routes[] = {
    { "GET", "vms/{id}/dashboard", machine, .summary = "The figures of one machine.",
      .example = "$VM", .needs = "view" },
    { NULL },
};
