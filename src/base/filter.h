/* XO's filter language (complex-matcher), as typed by people and sent by REST clients:
 * `power_state:running name_label:"my VM" !tags:/^test$/ snapshots:length:>2`. Grammar and meaning:
 * the terms of a filter are ANDed; text matches case-insensitively and unanchored, and looks into
 * arrays and objects. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum { FILTER_MAX_BYTES = 64 * 1024, FILTER_MAX_DEPTH = 64 };

typedef struct Filter Filter;

/* The empty text matches all. INVALID names the position. */
Filter *filter_parse(const char *text, GError **error);
bool filter_match(const Filter *filter, json_t *value);
/* The names of the properties that the filter looks at, borrowed from it; NULL when it looks at the
 * value as a whole. An object with these alone gives the same verdict. */
GPtrArray *filter_properties(const Filter *filter);
void filter_free(Filter *filter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Filter, filter_free)
