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

/* --- Running --- */

/* Runs a job and waits for its end. */
static bool run(ApiCall *call, const char *job, const char *schedule, GError **error)
{
    Runs *runs = call_parts(call)->runs;
    g_autoptr(GError) failure = NULL;
    g_autofree char *run_id = runs_start(runs, job, schedule, NULL, &failure);
    if (run_id && runs_wait(runs, run_id, &failure))
        return true;
    if (!run_id && err_is(failure, ERR_NOT_FOUND))
        api_error_no_such(error, job, "job");
    else
        g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* One after the other, as long as none fails as a whole. */
static json_t *run_jobs(ApiCall *call, GError **error)
{
    size_t i;
    json_t *id;
    json_array_foreach (call_get(call, "idSequence"), i, id)
        if (!run(call, json_string_value(id), NULL, error))
            break;
    return NULL;
}

/* A job that finds no VM is no reason to stop. */
static bool run_schedule(ApiCall *call, const char *id, GError **error)
{
    GError *failure = NULL;
    json_t *schedule = jobs_get_schedule(jobs(call), id, &failure);
    if (!schedule) {
        tell(failure, id, error);
        return false;
    }
    bool ok = run(call, json_string_value(json_object_get(schedule, "jobId")), id, &failure);
    json_decref(schedule);
    if (failure && err_is(failure, ERR_NO_MATCH)) {
        g_clear_error(&failure);
        ok = true;
    }
    if (failure)
        g_propagate_error(error, failure);
    return ok;
}

static json_t *run_schedules(ApiCall *call, GError **error)
{
    size_t i;
    json_t *id;
    json_array_foreach (call_get(call, "schedules"), i, id)
        if (!run_schedule(call, json_string_value(id), error))
            break;
    return NULL;
}

/* --- Jobs that call methods --- */

static json_t *job_create(ApiCall *call, GError **error)
{
    json_t *job = json_copy(call_get(call, "job"));
    const char *type = json_string_value(json_object_get(job, "type"));
    char *id = NULL;
    if (!json_object_get(job, "userId"))
        json_object_set_new(job, "userId", json_string(call_user_id(call)));
    if (g_strcmp0(type, "call") == 0)
        id = jobs_create(jobs(call), "call", job, error);
    else
        api_error_invalid(error, "type: expected \"call\": other jobs have methods of their own");
    json_decref(job);
    json_t *made = id ? json_string(id) : NULL;
    g_free(id);
    return made;
}

/* The failure is taken. */
static void tell_job(GError *failure, const char *id, GError **error)
{
    if (failure && err_is(failure, ERR_NOT_FOUND)) {
        api_error_no_such(error, id, "job");
        g_error_free(failure);
    } else if (failure) {
        g_propagate_error(error, failure);
    }
}

static json_t *job_set(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    const char *id = json_string_value(json_object_get(call_get(call, "job"), "id"));
    if (!id) {
        api_error_invalid(error, "job: expected an id");
        return NULL;
    }
    jobs_edit(jobs(call), id, "call", call_get(call, "job"), &failure);
    tell_job(failure, id, error);
    return NULL;
}

static json_t *job_delete(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    jobs_delete(jobs(call), call_string(call, "id"), NULL, &failure);
    tell_job(failure, call_string(call, "id"), error);
    return NULL;
}

/* Jobs of kinds that have methods of their own, but for making them. */
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
    { "schedule.getAll", schedule_get_all, NULL, .example = "", .summary = "All schedules." },
    { "schedule.get", schedule_get, PARAMS(REQ(STR("id"))), .example = "id=$SCHEDULE",
      .summary = "One schedule." },
    { "schedule.create", schedule_create,
      PARAMS(REQ(STR("cron")), OPT(BOOL("enabled")), REQ(STR("jobId")), OPT(STR0("name")),
             OPT(STR("timezone"))),
      .example = "jobId=$JOB cron='0 3 * * 0' name=sundays timezone=Europe/Paris enabled=false",
      .summary = "Create a schedule of a job (months are 0 to 11)." },
    { "schedule.set", schedule_set,
      PARAMS(OPT(STR("cron")), OPT(BOOL("enabled")), REQ(STR("id")), OPT(STR("jobId")),
             OPT(TYPED("name", P_STRING | P_NULL), .may_be_empty = true), OPT(STR("timezone"))),
      .example = "id=$SCHEDULE cron='30 2 * * *'", .summary = "Change a schedule." },
    { "schedule.delete", schedule_delete, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_SCHEDULE",
      .summary = "Delete a schedule." },
    { "job.getAll", call_job_get_all, NULL, .example = "",
      .summary = "All jobs that call methods." },
    { "job.get", call_job_get, PARAMS(REQ(STR("id"))), .example = "id=$CALL_JOB",
      .summary = "One job that calls methods." },
    { "job.create", job_create,
      PARAMS(
          REQ(OBJ("job"), .words = "type (call), key, method, name, timeout in ms, paramsVector")),
      .example = "job=json:\"{\\\"type\\\":\\\"call\\\",\\\"key\\\":\\\"genericTask\\\","
                 "\\\"name\\\":\\\"snapshots\\\",\\\"method\\\":\\\"vm.snapshot\\\","
                 "\\\"paramsVector\\\":{\\\"type\\\":\\\"crossProduct\\\",\\\"items\\\":[{"
                 "\\\"type\\\":\\\"set\\\",\\\"values\\\":[{\\\"id\\\":\\\"$VM\\\"}]}]}}\"",
      .summary = "Create a job that calls a method." },
    { "job.set", job_set, PARAMS(REQ(OBJ("job"), .words = "its id, and what is to change")),
      .example = "job=json:\"{\\\"id\\\":\\\"$CALL_JOB\\\",\\\"name\\\":\\\"of the night\\\"}\"",
      .summary = "Change a job that calls a method." },
    { "job.delete", job_delete, PARAMS(REQ(STR("id"))), .example = "id=$CALL_JOB",
      .summary = "Delete a job and its schedules." },
    { "job.runSequence", run_jobs, PARAMS(REQ(ARR("idSequence", P_STRING))), .long_running = true,
      .example = "idSequence=json:\"[\\\"$CALL_JOB\\\"]\"",
      .summary = "Run jobs one after the other." },
    { "schedule.runSequence", run_schedules, PARAMS(REQ(ARR("schedules", P_STRING))),
      .long_running = true, .example = "schedules=json:\"[\\\"$SCHEDULE\\\"]\"",
      .summary = "Run the jobs of schedules one after the other." },
    { "mirrorBackup.getAllJobs", mirror_job_get_all, NULL, .example = "",
      .summary = "All jobs that mirror backup repositories." },
    { "mirrorBackup.getJob", mirror_job_get, PARAMS(REQ(STR("id"))), .example = "id=$MIRROR_JOB",
      .summary = "One job that mirrors backup repositories." },
    { "job.cancel", job_cancel, PARAMS(REQ(STR("runId"))), .example = "runId=$RUNNING_RUN",
      .summary = "Cancel a run." },
    { NULL },
};
