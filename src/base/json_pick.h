/* Members of a JSON object's text without parsing the rest: the names asked for are found among the
 * members of the outermost object only, so that nothing inside a member can pass for one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name;  /* without escapes */
    const char *value; /* its JSON text within the object's, NULL: there is none */
    size_t n;          /* bytes of value */
} JsonPick;

/* Fills the picks, ends at once when all are found; of repeated names the first counts. False when
 * the text is no object as far as it was read. */
bool json_pick(const char *text, size_t n, JsonPick *picks, unsigned n_picks);
/* The next element of a picked array, or the value itself once; begins with *at = 0. A string comes
 * without its quotes; one with escapes, and whatever is no string, is passed over. False at the
 * end. */
bool json_pick_text(const JsonPick *pick, size_t *at, const char **text, size_t *n);
