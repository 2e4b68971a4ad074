/* schedule.*, the jobs of other kinds than backups, and what concerns runs of every kind. */
#include "api/method.h"

static Jobs *jobs(ApiCall *call)
{
    return call_parts(call)->jobs;
}

/* XO's words for a missing schedule are "[object Object]"; ours name it. The failure is taken. */
static void tell(GError *failure, const char *id, GError **error)
{
    if (failure && err_is(failure, ERR_NOT_FOUND)) {
        api_error_no_such(error, id, "schedule");
        g_error_free(failure);
    } else if (failure) {
        g_propagate_error(error, failure);
    }
}

static json_t *schedule_get_all(ApiCall *call, GError **error)
{
    return jobs_list_schedules(jobs(call), error);
}

static json_t *schedule_get(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *schedule = jobs_get_schedule(jobs(call), call_string(call, "id"), &failure);
    tell(failure, call_string(call, "id"), error);
    return schedule;
}

static json_t *schedule_create(ApiCall *call, GError **error)
{
    return jobs_create_schedule(jobs(call), call_params(call), call_user_id(call), error);
}

static json_t *schedule_set(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *changes = json_copy(call_params(call));
    json_object_del(changes, "id");
    jobs_edit_schedule(jobs(call), call_string(call, "id"), changes, &failure);
    json_decref(changes);
    tell(failure, call_string(call, "id"), error);
    return NULL;
}

static json_t *schedule_delete(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    jobs_delete_schedule(jobs(call), call_string(call, "id"), &failure);
    tell(failure, call_string(call, "id"), error);
    return NULL;
}

/* Jobs of kinds that are kept (they came with a configuration), but not run. */
static json_t *jobs_of(ApiCall *call, const char *type, GError **error)
{
    return jobs_list(jobs(call), type, error);
}

static json_t *job_of(ApiCall *call, const char *type, GError **error)
{
    g_autoptr(GError) failure = NULL;
    json_t *job = jobs_get(jobs(call), call_string(call, "id"), type, &failure);
    if (failure && err_is(failure, ERR_NOT_FOUND))
        api_error_no_such(error, call_string(call, "id"), "job");
    else if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return job;
}

#define KIND(name, type)                                                                           \
    static json_t *name##_get_all(ApiCall *call, GError **error)                                   \
    {                                                                                              \
        return jobs_of(call, type, error);                                                         \
    }                                                                                              \
    static json_t *name##_get(ApiCall *call, GError **error)                                       \
    {                                                                                              \
        return job_of(call, type, error);                                                          \
    }
KIND(call_job, "call")
KIND(mirror_job, "mirrorBackup")
#undef KIND

static json_t *job_cancel(ApiCall *call, GError **error)
{
    runs_cancel(call_parts(call)->runs, call_string(call, "runId"), error);
    return NULL;
}

const Method methods_job[] = {
    { "schedule.getAll", schedule_get_all, NULL, .summary = "All schedules." },
    { "schedule.get", schedule_get, PARAMS(REQ(STR("id"))), .summary = "One schedule." },
    { "schedule.create", schedule_create,
      PARAMS(REQ(STR("cron")), OPT(BOOL("enabled")), REQ(STR("jobId")), OPT(STR0("name")),
             OPT(STR("timezone"))),
      .summary = "Create a schedule of a job (months are 0 to 11)." },
    { "schedule.set", schedule_set,
      PARAMS(OPT(STR("cron")), OPT(BOOL("enabled")), REQ(STR("id")), OPT(STR("jobId")),
             OPT(TYPED("name", P_STRING | P_NULL), .may_be_empty = true), OPT(STR("timezone"))),
      .summary = "Change a schedule." },
    { "schedule.delete", schedule_delete, PARAMS(REQ(STR("id"))), .summary = "Delete a schedule." },
    { "job.getAll", call_job_get_all, NULL, .summary = "All jobs that call methods." },
    { "job.get", call_job_get, PARAMS(REQ(STR("id"))), .summary = "One job that calls methods." },
    { "mirrorBackup.getAllJobs", mirror_job_get_all, NULL,
      .summary = "All jobs that mirror backup repositories." },
    { "mirrorBackup.getJob", mirror_job_get, PARAMS(REQ(STR("id"))),
      .summary = "One job that mirrors backup repositories." },
    { "job.cancel", job_cancel, PARAMS(REQ(STR("runId"))), .summary = "Cancel a run." },
    { NULL },
};
