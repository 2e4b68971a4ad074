/* The keeper of jobs and schedules, between the files of this room. */
#pragma once

#include "job/private.h"

#include <pthread.h>

struct Jobs {
    Store *store;
    Bus *bus;
    pthread_mutex_t lock; /* of everything that reads, changes and writes a record */
};

void jobs_say(Jobs *jobs, const char *topic, const char *id);
/* NOT_FOUND "no such <words> <id>". */
json_t *jobs_record(Jobs *jobs, const char *collection, const char *words, const char *id,
                    GError **error);
/* A record with a new id, not yet checked. user_id may be NULL. */
json_t *schedule_new(json_t *params, const char *job_id, const char *user_id);
/* Lock held. */
bool schedules_drop_of(Jobs *jobs, const char *job_id, GError **error);
