/* Whether something is in an array: of ids, of names. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* An equal value. */
bool json_list_has(json_t *list, json_t *value);
bool json_list_has_text(json_t *list, const char *text);
/* Takes the first such text out; whether there was one. */
bool json_list_take_text(json_t *list, const char *text);
