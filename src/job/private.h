/* Small readers, between the files of this room. */
#pragma once

#include "job/job.h"

/* "" when absent or no text. */
const char *job_text(json_t *record, const char *name);
