/* Parts of a JSON text that is at hand as a whole, where a few fields of a large document are
 * wanted: only they are built, the rest is passed over. Of what is passed over, brackets and quotes
 * must match; its spelling is not judged. Thread-safe; nothing here blocks. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* A table ends with a key of NULL. */
typedef struct JsonWant {
    const char *key;               /* "*": each that is not in a row above */
    const struct JsonWant *inside; /* of it, if it is an object; NULL: the whole value */
} JsonWant;

enum { JSON_PART_MAX_DEPTH = 128 }; /* of what is built */

/* A new reference: the value without the members of its objects that are not wanted. A repeated key
 * keeps its last value, but what follows when all that is wanted is there is passed over. INVALID,
 * with the place, when the text is not one JSON value. */
json_t *json_part(const char *text, gsize n, const JsonWant *wants, GError **error);
