/* The text that a member of an object is. */
#pragma once

#include <jansson.h>

/* "" when there is no such member, or it is no text; belongs to the object. */
const char *json_text(json_t *object, const char *name);
