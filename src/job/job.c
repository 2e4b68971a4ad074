/* Job records: made, changed, deleted with their schedules. */
#include "job/jobs.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

Jobs *jobs_new(Store *store, Bus *bus)
{
    Jobs *jobs = g_new0(Jobs, 1);
    jobs->store = store;
    jobs->bus = bus;
    pthread_mutex_init(&jobs->lock, NULL);
    return jobs;
}

void jobs_free(Jobs *jobs)
{
    if (!jobs)
        return;
    pthread_mutex_destroy(&jobs->lock);
    g_free(jobs);
}

void jobs_say(Jobs *jobs, const char *topic, const char *id)
{
    bus_say(jobs->bus, topic, json_pack("{s:s}", "id", id));
}

void jobs_look_again(Jobs *jobs)
{
    jobs_say(jobs, "job.changed", "");
    jobs_say(jobs, "schedule.changed", "");
}

json_t *jobs_record(Jobs *jobs, const char *collection, const char *words, const char *id,
                    GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *record = store_get(jobs->store, collection, id, &problem);
    if (!record && err_is(problem, ERR_NOT_FOUND))
        err_set(error, ERR_NOT_FOUND, "no such %s %s", words, id);
    else if (!record)
        g_propagate_error(error, g_steal_pointer(&problem));
    return record;
}

json_t *jobs_get(Jobs *jobs, const char *id, const char *type, GError **error)
{
    json_t *job = jobs_record(jobs, "jobs", "job", id, error);
    if (!job || !type || strcmp(job_text(job, "type"), type) == 0)
        return job;
    json_decref(job);
    err_set(error, ERR_NOT_FOUND, "no such job %s", id);
    return NULL;
}

json_t *jobs_list(Jobs *jobs, const char *type, GError **error)
{
    json_t *all = store_list(jobs->store, "jobs", error), *job;
    json_t *list = all ? json_array() : NULL;
    gsize i;
    json_array_foreach (all, i, job)
        if (!type || strcmp(job_text(job, "type"), type) == 0)
            json_array_append(list, job);
    json_decref(all);
    return list;
}

/* --- Making --- */

/* The kinds that are run, each with the fields that a caller may give; null means absent. */
typedef struct {
    const char *type;
    const char *given[10];
    bool has_settings;
    bool (*check)(json_t *job, GError **error);
} Kind;

static const Kind kinds[] = {
    { "backup",
      { "name", "mode", "compression", "vms", "remotes", "srs", "proxy", "settings" },
      true,
      job_check },
    { "call",
      { "name", "key", "method", "timeout", "userId", "paramsVector" },
      false,
      call_job_check },
};

static const Kind *kind_of(const char *type, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].type, type) == 0)
            return &kinds[i];
    err_set(error, ERR_UNSUPPORTED, "jobs of type %s", type);
    return NULL;
}

static void settle(const Kind *kind, json_t *job)
{
    if (kind->has_settings && !json_object_get(job, "settings"))
        json_object_set_new(job, "settings", json_object());
}

static json_t *new_record(const Kind *kind, json_t *params)
{
    g_autofree char *id = g_uuid_string_random();
    json_t *job = json_object();
    for (const char *const *name = kind->given; *name; name++) {
        json_t *value = json_object_get(params, *name);
        if (value && !json_is_null(value))
            json_object_set_new(job, *name, json_deep_copy(value));
    }
    settle(kind, job);
    json_object_set_new(job, "type", json_string(kind->type));
    json_object_set_new(job, "id", json_string(id));
    return job;
}

/* The schedule's settings move from its temporary id to its own. */
static void rename_settings(json_t *job, const char *from, const char *to)
{
    json_t *settings = json_object_get(job, "settings");
    json_t *values = json_is_object(settings) ? json_object_get(settings, from) : NULL;
    if (!values || MUTANT(job_settings_kept)) /* mutant: job */
        return;
    json_object_set(settings, to, values);
    json_object_del(settings, from);
}

/* The schedules to make, an array; NULL with an error. */
static json_t *new_schedules(json_t *job, json_t *params, GError **error)
{
    json_t *list = json_array(), *wanted = json_object_get(params, "schedules"), *each;
    const char *temporary;
    if (wanted && !json_is_object(wanted)) {
        err_set(error, ERR_INVALID, "schedules: expected an object of schedules by temporary id");
        json_decref(list);
        return NULL;
    }
    json_object_foreach (wanted, temporary, each) {
        json_t *schedule = schedule_new(each, job_text(job, "id"), NULL);
        json_array_append_new(list, schedule);
        if (!schedule_check(schedule, error)) {
            g_prefix_error(error, "schedules[\"%s\"]: ", temporary);
            json_decref(list);
            return NULL;
        }
        rename_settings(job, temporary, job_text(schedule, "id"));
    }
    return list;
}

static bool save(Jobs *jobs, json_t *job, json_t *schedules, GError **error)
{
    gsize i;
    json_t *schedule;
    if (!store_add(jobs->store, "jobs", job_text(job, "id"), job, error))
        return false;
    json_array_foreach (schedules, i, schedule)
        if (!store_add(jobs->store, "schedules", job_text(schedule, "id"), schedule, error))
            return false;
    return true;
}

char *jobs_create(Jobs *jobs, const char *type, json_t *params, GError **error)
{
    const Kind *kind = kind_of(type, error);
    if (!kind)
        return NULL;
    json_t *job = new_record(kind, params);
    json_t *schedules = kind->check(job, error) ? new_schedules(job, params, error) : NULL;
    char *id = NULL;
    if (schedules && save(jobs, job, schedules, error))
        id = g_strdup(job_text(job, "id"));
    if (id) {
        jobs_say(jobs, "job.changed", id);
        jobs_say(jobs, "schedule.changed", "");
    }
    json_decref(schedules);
    json_decref(job);
    return id;
}

/* --- Changing --- */

static void apply_changes(const Kind *kind, json_t *job, json_t *changes)
{
    for (const char *const *name = kind->given; *name; name++) {
        json_t *value = json_object_get(changes, *name);
        if (json_is_null(value))
            json_object_del(job, *name);
        else if (value)
            json_object_set_new(job, *name, json_deep_copy(value));
    }
    settle(kind, job);
}

bool jobs_edit(Jobs *jobs, const char *id, const char *type, json_t *changes, GError **error)
{
    pthread_mutex_lock(&jobs->lock);
    json_t *job = jobs_get(jobs, id, type, error);
    const Kind *kind = job ? kind_of(job_text(job, "type"), error) : NULL;
    if (kind)
        apply_changes(kind, job, changes);
    bool ok = kind && kind->check(job, error) && store_put(jobs->store, "jobs", id, job, error);
    pthread_mutex_unlock(&jobs->lock);
    json_decref(job);
    if (ok)
        jobs_say(jobs, "job.changed", id);
    return ok;
}

bool jobs_delete(Jobs *jobs, const char *id, const char *type, GError **error)
{
    pthread_mutex_lock(&jobs->lock);
    json_t *job = jobs_get(jobs, id, type, error);
    bool ok = job && schedules_drop_of(jobs, id, error) &&
              store_drop(jobs->store, "jobs", id, NULL, error);
    pthread_mutex_unlock(&jobs->lock);
    json_decref(job);
    if (ok) {
        jobs_say(jobs, "job.changed", id);
        jobs_say(jobs, "schedule.changed", "");
    }
    return ok;
}
