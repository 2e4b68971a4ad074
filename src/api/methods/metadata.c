/* metadataBackup.*: backups of configurations and of pools' databases. They are listed; the jobs
 * that make them are kept (they came with a configuration), but not run. */
#include "api/method.h"
#include "base/log.h"

#define JOB_TYPE "metadataBackup"

static json_t *get_all_jobs(ApiCall *call, GError **error)
{
    return jobs_list(call_parts(call)->jobs, JOB_TYPE, error);
}

static json_t *get_job(ApiCall *call, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *job = jobs_get(call_parts(call)->jobs, call_string(call, "id"), JOB_TYPE, &failure);
    if (failure && err_is(failure, ERR_NOT_FOUND))
        api_error_no_such(error, call_string(call, "id"), "job");
    else if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return job;
}

/* --- Backups in repositories --- */

static void warn(const char *id, json_t *problems)
{
    size_t i;
    json_t *problem;
    json_array_foreach (problems, i, problem)
        log_warning("api", "remote %s: %s", id, json_string_value(problem));
}

/* A remote that cannot be listed is left out, as XO does; its record says why. */
static void list_remote(ApiCall *call, const char *id, json_t *xo, json_t *pool)
{
    const ApiParts *parts = call_parts(call);
    g_autoptr(GError) failure = NULL;
    json_t *remote = remotes_get(parts->remotes, id, &failure), *problems = NULL;
    json_t *found = remote ? repositories_metadata(parts->repositories, remote, &problems, &failure)
                           : NULL;
    warn(id, problems);
    if (failure)
        log_warning("api", "remote %s: %s", id, failure->message);
    if (remote)
        remotes_set_error(parts->remotes, id, failure ? failure->message : NULL);
    if (found) {
        json_object_set(xo, id, json_object_get(found, "xo"));
        json_object_set(pool, id, json_object_get(found, "pool"));
    }
    json_decref(found);
    json_decref(problems);
    json_decref(remote);
}

static json_t *list(ApiCall *call, GError **error)
{
    json_t *xo = json_object(), *pool = json_object(), *id;
    size_t i;
    json_array_foreach (call_get(call, "remotes"), i, id)
        list_remote(call, json_string_value(id), xo, pool);
    return json_pack("{s:o, s:o}", "xo", xo, "pool", pool);
}

const Method methods_metadata[] = {
    { "metadataBackup.getAllJobs", get_all_jobs, NULL, .example = "",
      .summary = "All jobs that back up metadata." },
    { "metadataBackup.getJob", get_job, PARAMS(REQ(STR("id"))), .example = "id=$METADATA_JOB",
      .summary = "One job that backs up metadata." },
    { "metadataBackup.list", list, PARAMS(REQ(ARR("remotes", P_STRING))), .long_running = true,
      .example = "remotes=json:\"[\\\"$REPOSITORY\\\"]\"",
      .summary = "The backups of configurations and pools in repositories." },
    { NULL },
};
