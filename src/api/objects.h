/* What methods do to the objects that their parameters name: calls on their pool, and waiting until
 * the inventory shows what was done. */
#pragma once

#include "api/call.h"

/* Calls block this long at most until the inventory has seen what they did. */
enum { API_BARRIER_MS = 30000 };

/* Of the object's pool; valid as long as the object. */
Xapi *api_object_xapi(const ApiObject *object);
/* What the pool did before this call is visible afterwards to everybody. */
void api_object_barrier(const ApiObject *object);
/* A text field of XO's view, "" when absent. */
const char *api_object_text(const ApiObject *object, const char *field);
/* Its class in XAPI, when it is of those that have tags and other_config; else NULL. */
const char *api_object_class(const ApiObject *object);
/* The XAPI record, a new reference; NULL when it has gone meanwhile. */
json_t *api_object_record(const ApiObject *object);
/* Calls a method whose first parameter is the object; `more` is an array of the others (NULL:
 * none), whose reference is taken. */
bool api_object_do(const ApiObject *object, const char *method, json_t *more, GError **error);
/* As xapi_call_task in the object's pool: who looks at the call's task sees how far it is, and may
 * end it: what the pool makes then all the same is taken away again. */
char *api_object_task(const ApiObject *object, const char *method, json_t *params, GError **error);
/* XO's id (uuid) of what a call of the object's pool made. Waits for the inventory; NULL with an
 * error. */
json_t *api_object_made(const ApiObject *object, const char *cls, const char *ref, GError **error);
