/* Parameter vectors of jobs that call methods: a small language that gives a list of parameter
 * objects. Source: XO's job manager.
 *
 *   set {values}                              the list itself
 *   crossProduct {items}                      every combination of one element of each, merged; the
 *                                             first item varies fastest
 *   map {collection, iteratee, paramName?}    the iteratee for each element, given as `value`
 *   extractProperties {mapping, value}        {new name: value[old name]}
 *   fetchObjects {pattern}                    all objects that match */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum { VECTOR_MAX_ELEMENTS = 10000, VECTOR_MAX_DEPTH = 16 };

/* All objects that match the pattern: an array, a new reference. */
typedef json_t *(*VectorObjects)(json_t *pattern, void *user);

/* The list, a new reference, each element an object; INVALID in XO's words. NULL vector: one empty
 * object. */
json_t *vector_resolve(json_t *vector, VectorObjects objects, void *user, GError **error);
/* Whether it makes sense, as far as can be told without objects. */
bool vector_check(json_t *vector, GError **error);
