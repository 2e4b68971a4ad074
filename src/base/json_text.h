/* The text that a member of an object is. */
#pragma once

#include <jansson.h>

/* "" when there is no such member, or it is no text; belongs to the object. */
const char *json_text(json_t *object, const char *name);
/* A new text of any bytes, such as a file's name: what is not UTF-8 is replaced, as jansson makes
 * nothing of it. */
json_t *json_text_of_bytes(const char *bytes);
