/* Durations as people write them ("30 days", "10m", "1.5h", a number of ms), with the words of
 * npm's `ms`, which XO's clients rely on. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/* Non-negative milliseconds; INVALID names the text. */
bool date_parse_duration(const char *text, gint64 *ms, GError **error);
/* The same from a JSON number of ms or a string. */
bool date_duration(json_t *value, gint64 *ms, GError **error);
/* "2026-11-22T02:16:50.123Z" */
char *date_format_iso(gint64 ms);
