/* Job and schedule records in XO's shape (collections "jobs", "schedules"), their validation, and
 * which setting counts for what.
 *
 * Thread-safe; calls block for the disk. Returned JSON is a new reference, the caller's alone. */
#pragma once

#include "base/bus.h"
#include "store/store.h"

typedef struct Jobs Jobs;

/* Neither is taken over; both must outlive it. Says "schedule.changed" {id} and "job.changed" {id}
 * on the bus (which may be NULL). */
Jobs *jobs_new(Store *store, Bus *bus);
void jobs_free(Jobs *jobs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Jobs, jobs_free)

/* --- Jobs --- */

/* `type` "backup" (backupNg.createJob): {name?, mode, compression?, vms, remotes?, srs?, proxy?,
 * schedules?, settings?}; schedules are created and their temporary ids replaced in settings.
 * `type` "call" (job.create): {method, key, name?, timeout?, userId?, paramsVector?}.
 * Returns the id. INVALID names the field. */
char *jobs_create(Jobs *jobs, const char *type, json_t *params, GError **error);
/* NOT_FOUND "no such job <id>", also when it has another type (NULL: any). */
json_t *jobs_get(Jobs *jobs, const char *id, const char *type, GError **error);
/* All of a type (NULL: all). */
json_t *jobs_list(Jobs *jobs, const char *type, GError **error);
/* Fields given replace the old ones; null removes one. */
bool jobs_edit(Jobs *jobs, const char *id, const char *type, json_t *changes, GError **error);
/* Its schedules go with it. */
bool jobs_delete(Jobs *jobs, const char *id, const char *type, GError **error);

/* --- Schedules --- */

/* {jobId, cron, enabled? (false), name? (""), timezone?} → the record. */
json_t *jobs_create_schedule(Jobs *jobs, json_t *params, const char *user_id, GError **error);
json_t *jobs_get_schedule(Jobs *jobs, const char *id, GError **error);
json_t *jobs_list_schedules(Jobs *jobs, GError **error);
bool jobs_edit_schedule(Jobs *jobs, const char *id, json_t *changes, GError **error);
bool jobs_delete_schedule(Jobs *jobs, const char *id, GError **error);

/* --- Records from elsewhere --- */

/* A whole job record of type "backup", as it would be stored; INVALID names the field. */
bool job_check(json_t *job, GError **error);
/* The same of type "call". */
bool call_job_check(json_t *job, GError **error);
/* A whole schedule record. */
bool schedule_check(json_t *schedule, GError **error);
/* Records were changed in the store by somebody else: says so on the bus. */
void jobs_look_again(Jobs *jobs);

/* --- Reading a record --- */

/* The ids of {id: "x"} or {id: {__or: [...]}}, an array; NULL when it is another pattern. An absent
 * pattern has none (empty array). */
json_t *job_ids(json_t *pattern);
/* The settings that count, weakest first: built-in, the job's (""), the schedule's, the VM's, the
 * target's (remote or SR); the last three may be NULL. `overrides` (of runJob's settings, same map)
 * is merged over the job's first, may be NULL. */
json_t *job_settings(json_t *job, json_t *overrides, const char *schedule_id, const char *vm_id,
                     const char *target_id);
/* The built-in values: one object. */
json_t *job_default_settings(void);
