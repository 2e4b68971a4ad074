/* XO's patterns (value-matcher), as stored in jobs and sent as filters of xo.getAllObjects: a
 * scalar equals; an array needs each of its patterns to match some element; {__and}, {__or},
 * {__not}; any other object needs each listed property to exist and match. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum { PATTERN_MAX_DEPTH = 64 };

bool pattern_match(json_t *pattern, json_t *value);
/* INVALID where it nests too deeply or __and/__or is no array. */
bool pattern_check(json_t *pattern, GError **error);
