/* What a run will do: which VMs, on which pools, to which remotes, with which settings. The worker
 * gets all of it in one message and asks nothing but leases. */
#include "run/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "base/pattern.h"

#include <string.h>

char *run_journal_path(Runs *runs, const char *run_id)
{
    g_autofree char *name = g_strdelimit(g_strdup(run_id), ":", '-');
    return g_build_filename(runs->folder, name, NULL);
}

/* --- VMs --- */

static void fail_task(Run *run, const char *name, const char *type, const char *id,
                      const GError *error)
{
    json_t *properties = json_pack("{s:s, s:s}", "type", type, "id", id);
    task_fail(task_begin(tasklog_root(run->log), name, properties), error);
}

static bool has_tag(json_t *vm, const char *wanted)
{
    gsize i, n = strlen(wanted);
    json_t *tag;
    json_array_foreach (json_object_get(vm, "tags"), i, tag) {
        const char *name = json_string_value(tag);
        if (name && strncmp(name, wanted, n) == 0 && (name[n] == '\0' || name[n] == '='))
            return true;
    }
    return false;
}

/* A replica that this job itself made. */
static bool is_own_copy(json_t *vm, const char *job_id)
{
    return json_object_get(json_object_get(vm, "blockedOperations"), "start") &&
           strcmp(json_text(json_object_get(vm, "other"), "xo:backup:job"), job_id) == 0;
}

/* Smart mode: those that match at this moment. */
static json_t *matching(Run *run, json_t *pattern)
{
    const RunsOps *ops = &run->runs->config.ops;
    json_t *vms = ops->vms(ops->user), *ids = json_array(), *vm;
    gsize i;
    json_array_foreach (vms, i, vm) {
        bool left_out = has_tag(vm, "xo:no-bak") && !MUTANT(plan_no_bak_ignored); /* mutant: run */
        if (pattern_match(pattern, vm) && !left_out && !is_own_copy(vm, run->job_id))
            json_array_append_new(ids, json_string(json_text(vm, "id")));
    }
    json_decref(vms);
    return ids;
}

/* A pool that the pattern names and that is not connected: its VMs would be left out without a
 * word. */
static void fail_missing_pools(Run *run, json_t *pattern)
{
    const RunsOps *ops = &run->runs->config.ops;
    const char *name;
    json_t *each;
    gsize i;
    if (json_is_string(pattern)) {
        json_t *pool = ops->object(json_string_value(pattern), ops->user);
        g_autoptr(GError) error = NULL;
        err_set(&error, ERR_NOT_FOUND, "pool %s is not connected", json_string_value(pattern));
        if (!pool)
            fail_task(run, "missing pool", "pool", json_string_value(pattern), error);
        json_decref(pool);
    }
    json_array_foreach (pattern, i, each)
        fail_missing_pools(run, each);
    json_object_foreach (pattern, name, each)
        if (strcmp(name, "__not") != 0)
            fail_missing_pools(run, each);
}

static json_t *choose_vms(Run *run, GError **error)
{
    json_t *chosen = json_object_get(run->overrides, "vms"),
           *pattern = json_object_get(run->job, "vms");
    json_t *ids = json_array_size(chosen) > 0 ? json_deep_copy(chosen) : job_ids(pattern);
    if (!ids) {
        fail_missing_pools(run, json_object_get(pattern, "$pool"));
        ids = matching(run, pattern);
    }
    if (json_array_size(ids) > 0)
        return ids;
    json_decref(ids);
    err_set(error, ERR_NO_MATCH, "job %s: no VMs match its pattern", run->job_id);
    return NULL;
}

/* [{id, pool}] of the VMs that are on a connected pool; the others fail here. Connections, by pool,
 * go to `pools`. */
static json_t *place_vms(Run *run, json_t *ids, json_t *pools)
{
    const RunsOps *ops = &run->runs->config.ops;
    json_t *placed = json_array(), *id;
    gsize i;
    json_array_foreach (ids, i, id) {
        g_autoptr(GError) error = NULL;
        const char *vm = json_is_string(id) ? json_string_value(id) : "";
        json_t *pool = ops->connection_of(vm, ops->user, NULL);
        if (!pool) {
            err_set(&error, ERR_NOT_FOUND, "no XAPI associated to %s", vm);
            fail_task(run, "backup VM", "VM", vm, error);
            continue;
        }
        json_array_append_new(placed,
                              json_pack("{s:s, s:s}", "id", vm, "pool", json_text(pool, "id")));
        json_object_set_new(pools, json_text(pool, "id"), pool);
    }
    return placed;
}

/* --- Remotes --- */

static json_t *open_record(Run *run, const char *id, GError **error)
{
    const RunsOps *ops = &run->runs->config.ops;
    json_t *remote = ops->remote(id, ops->user, error);
    if (!remote || !json_is_false(json_object_get(remote, "enabled")))
        return remote;
    err_set(error, ERR_STATE, "remote %s (%s) is disabled: enable it", json_text(remote, "name"),
            id);
    json_decref(remote);
    return NULL;
}

/* The records of the job's remotes; one that cannot be had fails as a task. */
static json_t *choose_remotes(Run *run, GError **error)
{
    json_t *ids = job_ids(json_object_get(run->job, "remotes")), *remotes = json_array(), *id;
    g_autoptr(GError) first = NULL;
    gsize i;
    json_array_foreach (ids, i, id) {
        g_autoptr(GError) problem = NULL;
        json_t *remote = open_record(run, json_string_value(id), &problem);
        if (remote)
            json_array_append_new(remotes, remote);
        else
            fail_task(run, "get remote adapter", "remote", json_string_value(id), problem);
        if (!remote && !first)
            first = g_error_copy(problem);
    }
    json_decref(ids);
    if (json_array_size(remotes) > 0)
        return remotes;
    err_set(error, ERR_STATE, "couldn't instantiate any remote%s%s", first ? ": " : "",
            first ? first->message : "");
    json_decref(remotes);
    return NULL;
}

static bool has_target(Run *run, json_t *settings, GError **error)
{
    if (json_number_value(json_object_get(settings, "exportRetention")) >= 1)
        return true;
    err_set(error, ERR_INVALID,
            "job %s, schedule %s: exportRetention is 0, so no backup would be kept: set it to 1 or "
            "more",
            run->job_id, run->schedule_id);
    return false;
}

/* --- Messages --- */

/* Values of an object as an array. */
static json_t *values_of(json_t *object)
{
    json_t *list = json_array(), *value;
    const char *name;
    json_object_foreach (object, name, value)
        json_array_append(list, value);
    return list;
}

static json_t *keys_of(json_t *object)
{
    json_t *list = json_array(), *value;
    const char *name;
    json_object_foreach (object, name, value)
        json_array_append_new(list, json_string(name));
    return list;
}

/* The job as the worker reads it: overrides merged into its settings. */
static json_t *effective_job(Run *run)
{
    json_t *job = json_deep_copy(run->job), *values;
    json_t *settings = json_object_get(job, "settings");
    const char *scope;
    json_object_foreach (json_object_get(run->overrides, "settings"), scope, values) {
        json_t *own = json_object_get(settings, scope);
        if (own)
            json_object_update(own, values);
        else
            json_object_set_new(settings, scope, json_deep_copy(values));
    }
    return job;
}

static json_t *message_for(Run *run, json_t *settings, json_t *vms, json_t *pools, json_t *remotes)
{
    g_autofree char *journal = run_journal_path(run->runs, run->id);
    return json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:o, s:O, s:O, s:o, s:O}", "type", "start",
                     "version", PROTOCOL_VERSION, "kind", "backup", "runId", run->id, "journal",
                     journal, "scheduleId", run->schedule_id, "job", effective_job(run), "settings",
                     settings, "vms", vms, "pools", values_of(pools), "remotes", remotes);
}

static json_t *ids_of(json_t *records)
{
    json_t *ids = json_array(), *record;
    gsize i;
    json_array_foreach (records, i, record)
        json_array_append(ids, json_object_get(record, "id"));
    return ids;
}

static bool remember(Run *run, json_t *pools, json_t *remotes, GError **error)
{
    json_t *names = keys_of(pools), *ids = ids_of(remotes);
    bool ok = keeper_put(run, names, ids, error);
    json_decref(names);
    json_decref(ids);
    return ok;
}

json_t *plan_backup(Run *run, GError **error)
{
    json_t *settings = job_settings(run->job, json_object_get(run->overrides, "settings"),
                                    run->schedule_id, NULL, NULL);
    json_t *ids = has_target(run, settings, error) ? choose_vms(run, error) : NULL;
    json_t *remotes = ids ? choose_remotes(run, error) : NULL;
    json_t *pools = json_object(), *vms = NULL, *message = NULL;
    if (remotes) {
        if (!run->resumed) /* it is there already */
            task_info(tasklog_root(run->log), "vms", json_pack("{s:O}", "vms", ids));
        vms = place_vms(run, ids, pools);
        if (remember(run, pools, remotes, error))
            message = message_for(run, settings, vms, pools, remotes);
    }
    json_decref(settings);
    json_decref(ids);
    json_decref(remotes);
    json_decref(pools);
    json_decref(vms);
    return message;
}

/* "<remote id>//xo-vm-backups/…" → remote id and path. */
static bool split_backup_id(const char *backup_id, char **remote_id, const char **path,
                            GError **error)
{
    const char *slash = strchr(backup_id, '/');
    if (slash && slash > backup_id && slash[1] == '/' && slash[2]) {
        *remote_id = g_strndup(backup_id, (gsize) (slash - backup_id));
        *path = slash + 1;
        return true;
    }
    err_set(error, ERR_INVALID,
            "backup id \"%.200s\": expected \"<remote id>//xo-vm-backups/…json\"", backup_id);
    return false;
}

json_t *plan_restore(Run *run, GError **error)
{
    const RunsOps *ops = &run->runs->config.ops;
    const char *sr = json_text(run->request, "sr"), *path;
    g_autofree char *remote_id = NULL;
    g_autofree char *journal = run_journal_path(run->runs, run->id);
    if (!split_backup_id(json_text(run->request, "backupId"), &remote_id, &path, error))
        return NULL;
    json_t *remote = open_record(run, remote_id, error);
    json_t *pool = remote ? ops->connection_of(sr, ops->user, error) : NULL;
    json_t *names = pool ? json_pack("[s]", json_text(pool, "id")) : NULL;
    json_t *message = NULL;
    json_t *remotes = names ? json_pack("[s]", remote_id) : NULL;
    if (names && keeper_put(run, names, remotes, error))
        message = json_pack("{s:s, s:i, s:s, s:s, s:s, s:[O], s:[O], s:s, s:s, s:O*}", "type",
                            "start", "version", PROTOCOL_VERSION, "kind", "restore", "runId",
                            run->id, "journal", journal, "pools", pool, "remotes", remote, "path",
                            path, "sr", sr, "settings", json_object_get(run->request, "settings"));
    json_decref(names);
    json_decref(remotes);
    json_decref(pool);
    json_decref(remote);
    return message;
}
