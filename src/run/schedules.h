/* The clock: one thread that starts the enabled schedules' jobs at their times. The next time of a
 * schedule is computed after its run has ended, as XO does. */
#pragma once

#include "run/runs.h"

typedef struct Schedules Schedules;

/* Starts the thread. Nothing is taken over. Follows "schedule.changed" on the bus. */
Schedules *schedules_new(Jobs *jobs, Runs *runs, Bus *bus);
/* Stops the thread; runs go on. */
void schedules_free(Schedules *schedules);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Schedules, schedules_free)
/* When a schedule fires next (Unix ms), 0 when it does not. */
gint64 schedules_next(Schedules *schedules, const char *schedule_id);
