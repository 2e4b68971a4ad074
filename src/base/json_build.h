/* jansson values out of a token stream, one sub-tree at a time: the records of a long document are
 * built one by one, the document never. */
#pragma once

#include "base/json_stream.h"

#include <jansson.h>

typedef struct JsonBuild JsonBuild;

JsonBuild *json_build_new(void);
void json_build_free(JsonBuild *build);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonBuild, json_build_free)

/* Adds the next token; the first begins a value. When it is complete, *done is it (a new reference)
 * and the builder is ready for the next one; before, *done is NULL. A repeated key keeps its last
 * value. NaN and the infinities, which jansson cannot hold, become null. False only on the end of
 * something never begun (INVALID). */
bool json_build_add(JsonBuild *build, const JsonToken *token, json_t **done, GError **error);
/* A value has begun and is not complete. */
bool json_build_is_open(const JsonBuild *build);
/* Forgets the value that was begun. */
void json_build_reset(JsonBuild *build);
