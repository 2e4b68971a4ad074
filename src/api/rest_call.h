/* Routes that are calls of methods in XO's REST words: one row each. The method checks who may and
 * what is right, as for JSON-RPC; the row only translates names, and says how the result is told.
 *
 * A route with "/actions/" is an action: it is a task, answered with 202 and where to look, or with
 * its result when the client says sync=true. */
#pragma once

#include "api/rest_request.h"

enum { REST_ACTION_THREADS = 128, REST_MAX_WAITING_ACTIONS = 1000 };

typedef struct RestCall RestCall;
struct RestCall {
    const char *verb, *path;
    const char *method; /* of the method table */
    /* "hostId:host fast:!full_copy id:": REST's name, the method's; '!' turns a boolean round,
     * nothing after the colon leaves it out. Other names are the same in both. */
    const char *renames;
    const char *fixed; /* a JSON object of parameters that the route implies */
    const char *wraps; /* "enabled": the answer is {"enabled": result} */
    const char *makes; /* the collection of what the result names: 201 with {id} and its address */
    /* What only REST asks of the method's parameters; false with an error. May be NULL. */
    bool (*check)(RestRequest *request, json_t *params, GError **error);
    /* The same, and completes them: what the method requires may be missing. */
    bool (*prepare)(RestRequest *request, json_t *params, GError **error);
    const char *summary; /* NULL: the method's */
    const char *example; /* as of a RestRoute; NULL: the method's, in the words of REST */
    /* A body with this member is for another method: a row that is in no table. */
    const char *when;
    const RestCall *instead;
};

/* Adds the table, and the routes that methods name themselves where the table has none. */
void rest_calls_add(RestRouter *router);

/* REST's name of a parameter of the method, caller frees; "" when the route does not take it. */
char *rest_call_name(const RestCall *call, const char *name);

/* The method's parameters: what was sent (the reference is taken), what the path says, what the
 * route implies; NULL with an error. *call becomes what stands in for it when that was sent. */
json_t *rest_call_params(RestRequest *request, const RestCall **call, json_t *sent, GError **error);

/* Answers with the error as rest_fail does, in the words of the route; NULL: of the methods. */
void rest_call_fail(RestRequest *request, const RestCall *call, const GError *error);
/* Serves such a route; the route's `with` is its RestCall. */
void rest_call_serve(RestRequest *request);

/* The threads that actions run in. */
GThreadPool *rest_actions_new(Rest *rest);
