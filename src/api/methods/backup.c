/* backupNg.*: jobs, runs, their logs, and the backups in the repositories. */
#include "api/method.h"
#include "base/date.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/pattern.h"

#include <stdlib.h>
#include <string.h>

enum { BARRIER_MS = 10000 };

static Jobs *jobs(ApiCall *call)
{
    return call_parts(call)->jobs;
}

static Runs *runs(ApiCall *call)
{
    return call_parts(call)->runs;
}

/* --- Jobs --- */

/* A missing job, as XO says it; the failure is taken. */
static void tell(GError *failure, const char *id, GError **error)
{
    if (failure && err_is(failure, ERR_NOT_FOUND)) {
        api_error_no_such(error, id, "job");
        g_error_free(failure);
    } else if (failure) {
        g_propagate_error(error, failure);
    }
}

static json_t *create_job(ApiCall *call, GError **error)
{
    g_autofree char *id = jobs_create(jobs(call), "backup", call_params(call), error);
    return id ? json_string(id) : NULL;
}

static json_t *edit_job(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *changes = json_copy(call_params(call));
    json_object_del(changes, "id");
    jobs_edit(jobs(call), call_string(call, "id"), "backup", changes, &failure);
    json_decref(changes);
    tell(failure, call_string(call, "id"), error);
    return NULL;
}

static json_t *get_job(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *job = jobs_get(jobs(call), call_string(call, "id"), "backup", &failure);
    tell(failure, call_string(call, "id"), error);
    return job;
}

static json_t *get_all_jobs(ApiCall *call, GError **error)
{
    return jobs_list(jobs(call), "backup", error);
}

static json_t *delete_job(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    jobs_delete(jobs(call), call_string(call, "id"), "backup", &failure);
    tell(failure, call_string(call, "id"), error);
    return NULL;
}

/* --- Runs --- */

static json_t *run_overrides(ApiCall *call)
{
    json_t *overrides = json_object();
    json_t *vms = call_get(call, "vms");
    if (call_string(call, "vm"))
        json_object_set_new(overrides, "vms", json_pack("[O]", call_get(call, "vm")));
    else if (vms)
        json_object_set(overrides, "vms", vms);
    if (call_get(call, "settings"))
        json_object_set(overrides, "settings", call_get(call, "settings"));
    return overrides;
}

static void tell_no_match(GError *failure, const char *run_id, ApiCall *call, GError **error)
{
    if (err_is(failure, ERR_NO_MATCH)) {
        api_error_plain(error, API_NO_MATCHING_VM,
                        json_pack("{s:s, s:s, s:s}", "jobId", call_string(call, "id"), "runJobId",
                                  run_id, "scheduleId", call_string(call, "schedule")));
        g_error_free(failure);
    } else {
        g_propagate_error(error, failure);
    }
}

/* As XO: a run that fails for some VMs is a success of the call; its log tells. */
static json_t *run_job(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *job = jobs_get(call_parts(call)->jobs, call_string(call, "id"), "backup", &failure);
    json_t *overrides = run_overrides(call);
    g_autofree char *run_id = job ? runs_start(runs(call), call_string(call, "id"),
                                               call_string(call, "schedule"), overrides, &failure)
                                  : NULL;
    json_decref(job);
    json_decref(overrides);
    if (!run_id)
        tell(failure, call_string(call, "id"), error);
    else if (!runs_wait(runs(call), run_id, &failure))
        tell_no_match(failure, run_id, call, error);
    return NULL;
}

/* --- Logs --- */

static json_t *as_lines(ApiCall *call, json_t *logs, GError **error)
{
    GString *text = g_string_new(NULL);
    const char *id;
    json_t *log;
    json_object_foreach (logs, id, log) {
        g_autofree char *line = json_dumps(log, JSON_COMPACT);
        g_string_append_printf(text, "%s\n", line);
    }
    json_decref(logs);
    return downloads_offer(call_parts(call)->downloads, "application/json; charset=utf-8",
                           g_string_free_to_bytes(text), error);
}

static json_t *get_all_logs(ApiCall *call, GError **error)
{
    json_t *logs = runs_logs(runs(call), 0, 0, 0, error);
    return logs && call_bool(call, "ndjson") ? as_lines(call, logs, error) : logs;
}

/* A number is a time; text is how long ago ("1m"). */
static bool read_time(ApiCall *call, const char *name, gint64 *ms, GError **error)
{
    json_t *value = call_get(call, name);
    *ms = call_integer(call, name);
    if (!json_is_string(value))
        return true;
    if (!date_parse_duration(json_string_value(value), ms, error)) {
        g_prefix_error(error, "%s: ", name);
        return false;
    }
    *ms = g_get_real_time() / 1000 - *ms;
    return true;
}

/* One log that matches, as text; NULL when it does not, or is no more. With no pattern to match,
 * the log of a run that is going on is never made a tree. */
static char *matching_log(ApiCall *call, const char *id, json_t *pattern)
{
    if (json_object_size(pattern) == 0)
        return runs_log_text(runs(call), id, NULL);
    json_t *log = runs_log(runs(call), id, NULL);
    char *text = log && pattern_match(pattern, log) ? json_dumps(log, JSON_COMPACT) : NULL;
    json_decref(log);
    return text;
}

/* The newest `limit` (0: all) of the logs that match, oldest first: ids are times. */
static Rope *select_logs(ApiCall *call, GPtrArray *ids, json_t *pattern, gint64 limit)
{
    g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
    for (unsigned i = ids->len; i-- > 0 && (limit <= 0 || found->len < limit);) {
        char *text = matching_log(call, ids->pdata[i], pattern);
        if (text)
            g_ptr_array_add(found, g_bytes_new_take(text, strlen(text)));
    }
    Rope *all = rope_new();
    rope_add_string(all, "[");
    for (unsigned i = found->len; i-- > 0;) {
        rope_add(all, found->pdata[i]);
        rope_add_string(all, i ? "," : "");
    }
    rope_add_string(all, "]");
    return all;
}

static json_t *get_logs(ApiCall *call, GError **error)
{
    gint64 after_ms, before_ms;
    if (!read_time(call, "after", &after_ms, error) ||
        !read_time(call, "before", &before_ms, error))
        return NULL;
    json_t *pattern = json_copy(call_params(call));
    const char *const own[] = { "after", "before", "limit" };
    for (unsigned i = 0; i < G_N_ELEMENTS(own); i++)
        json_object_del(pattern, own[i]);
    g_autoptr(GPtrArray) ids =
        pattern_check(pattern, error) ? runs_log_ids(runs(call), after_ms, before_ms, error) : NULL;
    if (ids)
        call_set_text(call, select_logs(call, ids, pattern, call_integer(call, "limit")));
    json_decref(pattern);
    return NULL;
}

/* --- Backups in repositories --- */

/* NULL, as XO, for a remote that cannot be listed; its record says why. */
static json_t *list_remote(ApiCall *call, const char *id)
{
    g_autoptr(GError) failure = NULL;
    json_t *remote = remotes_get(call_parts(call)->remotes, id, &failure);
    json_t *problems = NULL;
    json_t *list =
        remote ? repositories_list(call_parts(call)->repositories, remote, &problems, &failure)
               : NULL;
    size_t i;
    json_t *problem;
    json_array_foreach (problems, i, problem)
        log_warning("api", "remote %s: %s", id, json_string_value(problem));
    if (failure)
        log_warning("api", "remote %s: %s", id, failure->message);
    if (remote)
        remotes_set_error(call_parts(call)->remotes, id, failure ? failure->message : NULL);
    json_decref(problems);
    json_decref(remote);
    return list ? list : json_null();
}

static json_t *list_vm_backups(ApiCall *call, GError **error)
{
    json_t *all = json_object();
    size_t i;
    json_t *id;
    json_array_foreach (call_get(call, "remotes"), i, id)
        json_object_set_new(all, json_string_value(id), list_remote(call, json_string_value(id)));
    return all;
}

static json_t *import_vm_backup(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "sr");
    g_autofree char *vm = runs_restore(runs(call), call_string(call, "id"), sr->id,
                                       call_get(call, "settings"), error);
    if (!vm)
        return NULL;
    pool_barrier(link_pool(sr->link), BARRIER_MS, NULL);
    return json_string(vm);
}

/* "<remote id>//xo-vm-backups/<vm>/<date>.json" → the path from the single '/' on. */
static const char *split_backup_id(const char *id, char **remote_id, GError **error)
{
    const char *slash = strchr(id, '/');
    if (!slash || slash == id || slash[1] != '/') {
        api_error_invalid(error, "%s is not the id of a backup: <remote id>//xo-vm-backups/…", id);
        return NULL;
    }
    *remote_id = g_strndup(id, (gsize) (slash - id));
    return slash + 1;
}

/* Remote id → paths (GPtrArray of borrowed text, NULL-terminated by the caller). */
static GHashTable *group_by_remote(json_t *ids, GError **error)
{
    GHashTable *groups =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
    size_t i;
    json_t *id;
    json_array_foreach (ids, i, id) {
        g_autofree char *remote_id = NULL;
        const char *path = split_backup_id(json_string_value(id), &remote_id, error);
        if (!path) {
            g_hash_table_unref(groups);
            return NULL;
        }
        GPtrArray *paths = g_hash_table_lookup(groups, remote_id);
        if (!paths) {
            paths = g_ptr_array_new();
            g_hash_table_insert(groups, g_steal_pointer(&remote_id), paths);
        }
        g_ptr_array_add(paths, (char *) path);
    }
    return groups;
}

/* Every id must be right before the first backup goes. */
static void delete_backups(ApiCall *call, json_t *ids, GError **error)
{
    g_autoptr(GHashTable) groups = group_by_remote(ids, error);
    GHashTableIter iter;
    void *remote_id, *paths;
    if (!groups)
        return;
    g_hash_table_iter_init(&iter, groups);
    while (g_hash_table_iter_next(&iter, &remote_id, &paths)) {
        json_t *remote = remotes_get(call_parts(call)->remotes, remote_id, error);
        g_ptr_array_add(paths, NULL);
        bool ok = remote &&
                  repositories_delete(call_parts(call)->repositories, remote,
                                      (const char *const *) ((GPtrArray *) paths)->pdata, error);
        json_decref(remote);
        if (!ok)
            return;
    }
}

static json_t *delete_vm_backup(ApiCall *call, GError **error)
{
    json_t *ids = json_pack("[O]", call_get(call, "id"));
    delete_backups(call, ids, error);
    json_decref(ids);
    return NULL;
}

static json_t *delete_vm_backups(ApiCall *call, GError **error)
{
    delete_backups(call, call_get(call, "ids"), error);
    return NULL;
}

static json_t *suggested_excluded_tags(ApiCall *call, GError **error)
{
    return json_pack("[s, s, s]", "Continuous Replication", "Disaster Recovery", "XOA Proxy");
}

/* Fields of a job; NULL takes one away when editing. */
#define NULLABLE(t) ((t) | P_NULL)
#define COMPRESSION OPT(CHOICE("compression", "|native|zstd"))
#define PATTERNS(n) OPT(TYPED("remotes", n)), OPT(TYPED("srs", n))

const Method methods_backup[] = {
    { "backupNg.createJob", create_job,
      PARAMS(COMPRESSION, REQ(CHOICE("mode", "full|delta")), OPT(STR("name")), OPT(STR("proxy")),
             PATTERNS(P_OBJECT), OPT(OBJ("schedules")), OPT(OBJ("settings")), REQ(OBJ("vms"))),
      .example =
          "name=nightly mode=delta vms=json:\"{\\\"id\\\":\\\"$VM\\\"}\" "
          "remotes=json:\"{\\\"id\\\":\\\"$REPOSITORY\\\"}\" schedules=json:'{\"a\":{\"cron\":\"0 "
          "2 * * *\",\"enabled\":true}}' settings=json:'{\"a\":{\"exportRetention\":7}}'",
      .summary = "Create a backup job with its schedules." },
    { "backupNg.editJob", edit_job,
      PARAMS(COMPRESSION, REQ(STR("id")), OPT(CHOICE("mode", "full|delta")),
             OPT(TYPED("name", NULLABLE(P_STRING))), OPT(TYPED("proxy", NULLABLE(P_STRING))),
             PATTERNS(NULLABLE(P_OBJECT)), OPT(OBJ("settings")), OPT(OBJ("vms"))),
      .example = "id=$JOB name='every night'", .summary = "Change a backup job." },
    { "backupNg.getAllJobs", get_all_jobs, NULL, .example = "", .summary = "All backup jobs." },
    { "backupNg.getJob", get_job, PARAMS(REQ(STR("id"))), .example = "id=$JOB",
      .summary = "One backup job." },
    { "backupNg.deleteJob", delete_job, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_JOB",
      .summary = "Delete a backup job and its schedules; the backups stay." },
    { "backupNg.runJob", run_job,
      PARAMS(REQ(STR("id")), REQ(STR("schedule")), OPT(OBJ("settings")), OPT(STR("vm")),
             OPT(ARR("vms", P_STRING))),
      .long_running = true, .example = "id=$JOB schedule=$SCHEDULE",
      .summary = "Run a backup job now, with a schedule's settings." },
    { "backupNg.getAllLogs", get_all_logs, PARAMS(OPT(BOOL("ndjson"))), .example = "",
      .summary = "The logs of all runs and restores, by id." },
    { "backupNg.getLogs", get_logs,
      PARAMS(OPT(TYPED("after", P_NUMBER | P_STRING)), OPT(TYPED("before", P_NUMBER | P_STRING)),
             OPT(NUM("limit")), ANY_OTHER),
      .example = "limit=5 status=success",
      .summary = "Logs of runs and restores, oldest first; other parameters are a pattern." },
    { "backupNg.listVmBackups", list_vm_backups,
      PARAMS(OPT(BOOL("_forceRefresh")), REQ(ARR("remotes", P_STRING))), .long_running = true,
      .example = "remotes=json:\"[\\\"$REPOSITORY\\\"]\"",
      .summary = "The backups in repositories, by repository and VM." },
    { "backupNg.importVmBackup", import_vm_backup,
      PARAMS(REQ(STR("id")), OPT(OBJ("settings")), REQ(ID("sr", "SR", "administrate")),
             OPT(BOOL("useDifferentialRestore"))),
      .long_running = true, .example = "id=$BACKUP sr=$SR",
      .summary = "Restore a backup as a new VM on a storage repository." },
    { "backupNg.deleteVmBackup", delete_vm_backup, PARAMS(REQ(STR("id"))), .long_running = true,
      .example = "id=$BACKUP", .summary = "Delete a backup." },
    { "backupNg.deleteVmBackups", delete_vm_backups, PARAMS(REQ(ARR("ids", P_STRING))),
      .long_running = true, .example = "ids=json:\"[\\\"$BACKUP\\\"]\"",
      .summary = "Delete backups." },
    { "backupNg.getSuggestedExcludedTags", suggested_excluded_tags, NULL, .access = ACCESS_USER,
      .example = "", .summary = "Tags of VMs that are better left out of smart backups." },
    { NULL },
};
