/* Checks of records, between the files of this room. */
#pragma once

#include "job/job.h"

/* A whole job record, as it would be stored; INVALID names the field. */
bool job_check(json_t *job, GError **error);
/* A whole schedule record. */
bool schedule_check(json_t *schedule, GError **error);
/* "" when absent or no text. */
const char *job_text(json_t *record, const char *name);
