/* A few members of a JSON object's text, found by name in one walk (base/json_members.h): only
 * among those of the outermost object, so that nothing inside a member can pass for one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name;  /* without escapes */
    const char *value; /* its JSON text within the object's, NULL: there is none */
    size_t n;          /* bytes of value */
} JsonPick;

/* Fills the picks, ends at once when all are found; of repeated names the first counts. */
void json_pick(const char *text, size_t n, JsonPick *picks, unsigned n_picks);
/* The strings of a picked array, or the picked string, one after the other, without their quotes;
 * begins with *at = 0. Those with escapes, and whatever is no string, are passed over. False at the
 * end. */
bool json_pick_text(const JsonPick *pick, size_t *at, const char **text, size_t *n);
