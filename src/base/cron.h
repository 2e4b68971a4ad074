/* Schedules in XO's cron dialect: five fields minute hour dayOfMonth month dayOfWeek, or @hourly,
 * @daily, @weekly, @monthly, @yearly, @annually.
 *
 * Months are 0-11 (or jan…dec), days of the week 0-7 (or sun mon tue wen thu fri sat; "wed" is
 * understood too); with both day fields set either may match; steps only after * and a-b. Computed
 * on the wall clock of the zone: a time that daylight saving skips moves on by the gap, one that
 * comes twice fires once. Never blocks. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Cron Cron;

/* timezone: an IANA name, "local", or NULL for UTC. INVALID names the field and what it allows. */
Cron *cron_parse(const char *text, const char *timezone, GError **error);
/* The next occurrence strictly after the minute of after_ms (Unix ms), or 0 with INVALID when there
 * is none within 28 years (30 February). */
gint64 cron_next(const Cron *cron, gint64 after_ms, GError **error);
/* The same schedule in XO's words, from those of others: long and capital names, "wed", ranges over
 * the end ("fri-mon", "22-4"), "a/n", "?", six fields when the seconds are 0. NULL when it is in
 * none of these dialects. */
char *cron_translate(const char *text);
void cron_free(Cron *cron);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cron, cron_free)
