/* The members of an object in JSON text, one after the other, without making anything of them: for
 * answers that are cut out of texts that are held already.
 *
 * The text should be valid JSON, as ours is; with any other the walk ends early, within its bounds.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name; /* as written, without its quotes */
    size_t n_name;
    const char *value; /* as written */
    size_t n_value;
} JsonMember;

typedef struct {
    const char *at, *end;
} JsonMembers;

/* The text is borrowed and must outlive the walk. */
void json_members_init(JsonMembers *members, const char *text, size_t n);
/* False at the end. */
bool json_members_next(JsonMembers *members, JsonMember *member);
