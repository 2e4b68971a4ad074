/* Forms: a JSON schema says what a plug-in's configuration looks like, for people's forms and for
 * checking. Of JSON Schema: type (one), enum, default, properties, required, additionalProperties
 * (false), items, minItems, minimum, maximum, minLength, pattern; other words are for people. The
 * parameters of API methods are flat and have rows of their own (api/params.h). No I/O. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* Fills the defaults into `value`, which is changed, and gives all that does not fit: an array of
 * {instancePath, schemaPath, keyword, params, message}, a new reference, empty when all is well. */
json_t *schema_check(json_t *schema, json_t *value);
/* "/transport/port must be integer" of the first of them, a copy; "must be object" of the root. */
char *schema_words(json_t *violations);
