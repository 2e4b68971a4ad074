/* The resource set behind a call: who may use it, what it lends, what is left of its limits. */
#pragma once

#include "api/method.h"

/* What the method asks of a resource set when it is called with these parameters by `user`:
 * {id, name, isSubject, objects: [{id, lent}], limits: [{limit, total, usage}]}; *why is set
 * (caller frees) when it would refuse. NULL when the call is not about a set. */
json_t *explain_set(const ApiParts *parts, json_t *user, json_t *params, char **why);
/* Where a call without a set needs a right that no row of its parameters names: the object (a copy,
 * NULL: none) and *permission. */
char *explain_without_set(const ApiParts *parts, const Method *method, json_t *params,
                          const char **permission);
