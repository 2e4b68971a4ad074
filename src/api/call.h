/* One call of a method: who calls, what was sent, the objects it names, already found and allowed.
 *
 * Every surface comes through call_run, so that the order of checks exists once: the method exists,
 * the caller may use it, the parameters are right, the objects exist and the caller may touch them.
 */
#pragma once

#include "api/error.h"
#include "api/parts.h"
#include "api/session.h"
#include "base/rope.h"

typedef struct ApiCall ApiCall;

/* An object named by a parameter, as of the moment of the call. */
typedef struct {
    Link *link;
    Inventory *inventory;
    const char *id;   /* XO's */
    const char *type; /* "VM" */
    const char *ref;  /* opaque reference */
    json_t *view;     /* XO's view */
    ApiCall *call;    /* that found it */
} ApiObject;

/* What a call gave: JSON text, or a value (NULL: true). */
typedef struct {
    Rope *text;
    json_t *value;
} ApiResult;
void api_result_clear(ApiResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ApiResult, api_result_clear)

/* Runs a method in this thread; `params` is borrowed, may be NULL. */
bool call_run(const ApiParts *parts, Session *session, const char *method, json_t *params,
              ApiResult *result, GError **error);
/* What is special about a call; NULL: nothing. */
typedef struct {
    /* It is a part of this task, which the caller ends: it shows how far the call is, and aborting
     * it cancels the call. call_run makes a task of a method that lasts by itself. */
    const char *task;
    const char *granted; /* the id of an object that this call may administrate */
} CallTerms;
bool call_run_on(const ApiParts *parts, Session *session, const char *method, json_t *params,
                 const CallTerms *terms, ApiResult *result, GError **error);
/* An error as the result of a task. */
json_t *call_task_failure(const ApiParts *parts, Session *session, const GError *error);
/* Everything that call_run asks before it runs the method: whether the call would be allowed now.
 */
bool call_check(const ApiParts *parts, Session *session, const char *method, json_t *params,
                const CallTerms *terms, GError **error);
/* How this caller sees an error: {code, message[, data]}, a new reference. */
json_t *call_error_json(const ApiParts *parts, Session *session, const GError *error);

/* --- For methods --- */

const ApiParts *call_parts(ApiCall *call);
/* "vm.start", as its table has it. */
const char *call_name(ApiCall *call);
Session *call_session(ApiCall *call);
/* The caller's public record; NULL when nobody is signed in. Borrowed. */
json_t *call_user(ApiCall *call);
const char *call_user_id(ApiCall *call);
/* All parameters, checked; owned by the call. */
json_t *call_params(ApiCall *call);
/* One parameter; NULL, false, 0 when absent. */
json_t *call_get(ApiCall *call, const char *name);
const char *call_string(ApiCall *call, const char *name);
bool call_bool(ApiCall *call, const char *name);
gint64 call_integer(ApiCall *call, const char *name);
/* The object of a parameter declared by ID(); NULL when the parameter is absent. */
const ApiObject *call_object(ApiCall *call, const char *name);
/* Finds and checks one more object, owned by the call. `types` as in ID(). */
const ApiObject *call_find(ApiCall *call, const char *id, const char *types, const char *permission,
                           GError **error);
/* What an abort of the call's task sets; NULL: nobody can. */
Cancel *call_cancel(ApiCall *call);
/* How far the call is, 0 … 1; in the form that xapi_call_task wants. */
void call_tell_progress(double done, void *call);
/* A step of what lasts, about an object: shown below the call's task. Its id (caller frees), NULL
 * when the call has no task. */
char *call_begin_step(ApiCall *call, const char *name, const ApiObject *about);
void call_end_step(ApiCall *call, const char *step, bool success);
/* The result is this JSON text; the method then returns NULL. The reference is taken. */
void call_set_text(ApiCall *call, Rope *text);
