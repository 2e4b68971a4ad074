/* Statistics as XO's clients are given them: {endTimestamp, interval, stats}, arrays from the
 * oldest to the newest, null for what is not known. */
#pragma once

#include "stats/rrd.h"

#include <jansson.h>

/* What can be asked for: how far back, in which steps. */
typedef struct {
    const char *name; /* "seconds", "minutes", "hours", "days" */
    gint64 step_s;
    gint64 n_rows; /* that hosts keep */
} Granularity;

/* NULL name: "seconds"; NULL when there is none of that name. */
const Granularity *granularity_find(const char *name);
/* Where to start so that a host whose clock says `now_s` answers in these steps. */
gint64 granularity_start_s(const Granularity *granularity, gint64 now_s);

typedef enum { SERIES_VM, SERIES_HOST } SeriesKind;

/* The columns of that object, by XO's names and in XO's units; a new reference. */
json_t *series_json(const Rrd *rrd, SeriesKind kind, const char *uuid, gint64 now_s);
