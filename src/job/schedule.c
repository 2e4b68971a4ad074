/* Schedule records. */
#include "job/jobs.h"

#include "base/error.h"

#include <string.h>

/* "true" and "false" as text are tolerated, as older XO records have them. */
static json_t *read_enabled(json_t *value)
{
    const char *text = json_string_value(value);
    if (text && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return json_boolean(strcmp(text, "true") == 0);
    return value && !json_is_null(value) ? json_incref(value) : json_false();
}

json_t *schedule_new(json_t *params, const char *job_id, const char *user_id)
{
    g_autofree char *id = g_uuid_string_random();
    json_t *cron = json_object_get(params, "cron"), *name = json_object_get(params, "name");
    json_t *zone = json_object_get(params, "timezone");
    json_t *schedule = json_pack("{s:O*, s:o, s:s, s:s*, s:s}", "cron", cron, "enabled",
                                 read_enabled(json_object_get(params, "enabled")), "jobId", job_id,
                                 "userId", user_id, "id", id);
    json_object_set_new(schedule, "name",
                        name && !json_is_null(name) ? json_incref(name) : json_string(""));
    if (zone && !json_is_null(zone))
        json_object_set(schedule, "timezone", zone);
    return schedule;
}

json_t *jobs_create_schedule(Jobs *jobs, json_t *params, const char *user_id, GError **error)
{
    json_t *job = jobs_get(jobs, job_text(params, "jobId"), NULL, error);
    if (!job)
        return NULL;
    json_t *schedule = schedule_new(params, job_text(job, "id"), user_id);
    json_decref(job);
    if (schedule_check(schedule, error) &&
        store_add(jobs->store, "schedules", job_text(schedule, "id"), schedule, error)) {
        jobs_say(jobs, "schedule.changed", job_text(schedule, "id"));
        return schedule;
    }
    json_decref(schedule);
    return NULL;
}

json_t *jobs_get_schedule(Jobs *jobs, const char *id, GError **error)
{
    return jobs_record(jobs, "schedules", "schedule", id, error);
}

json_t *jobs_list_schedules(Jobs *jobs, GError **error)
{
    return store_list(jobs->store, "schedules", error);
}

static void apply_changes(json_t *schedule, json_t *changes)
{
    static const char *const given[] = { "cron", "jobId", "name", "timezone" };
    for (gsize i = 0; i < G_N_ELEMENTS(given); i++) {
        json_t *value = json_object_get(changes, given[i]);
        if (json_is_null(value))
            json_object_del(schedule, given[i]);
        else if (value)
            json_object_set(schedule, given[i], value);
    }
    if (json_object_get(changes, "enabled"))
        json_object_set_new(schedule, "enabled", read_enabled(json_object_get(changes, "enabled")));
    if (!json_object_get(schedule, "name"))
        json_object_set_new(schedule, "name", json_string(""));
}

static bool check_job(Jobs *jobs, json_t *schedule, GError **error)
{
    json_t *job = jobs_get(jobs, job_text(schedule, "jobId"), NULL, error);
    json_decref(job);
    return job != NULL;
}

bool jobs_edit_schedule(Jobs *jobs, const char *id, json_t *changes, GError **error)
{
    pthread_mutex_lock(&jobs->lock);
    json_t *schedule = jobs_get_schedule(jobs, id, error);
    if (schedule)
        apply_changes(schedule, changes);
    bool ok = schedule && schedule_check(schedule, error) && check_job(jobs, schedule, error) &&
              store_put(jobs->store, "schedules", id, schedule, error);
    pthread_mutex_unlock(&jobs->lock);
    json_decref(schedule);
    if (ok)
        jobs_say(jobs, "schedule.changed", id);
    return ok;
}

bool jobs_delete_schedule(Jobs *jobs, const char *id, GError **error)
{
    bool existed = false;
    if (!store_drop(jobs->store, "schedules", id, &existed, error))
        return false;
    if (!existed)
        err_set(error, ERR_NOT_FOUND, "no such schedule %s", id);
    else
        jobs_say(jobs, "schedule.changed", id);
    return existed;
}

bool schedules_drop_of(Jobs *jobs, const char *job_id, GError **error)
{
    json_t *schedules = jobs_list_schedules(jobs, error), *schedule;
    bool ok = schedules != NULL;
    gsize i;
    json_array_foreach (schedules, i, schedule)
        if (ok && strcmp(job_text(schedule, "jobId"), job_id) == 0)
            ok = store_drop(jobs->store, "schedules", job_text(schedule, "id"), NULL, error);
    json_decref(schedules);
    return ok;
}
