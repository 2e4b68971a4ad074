/* One request of the REST API, for the files rest_*.c that answer it. */
#pragma once

#include "account/role.h"
#include "api/call.h"
#include "api/rest.h"
#include "api/rest_router.h"
#include "api/session.h"
#include "api/tasks.h"

#include <jansson.h>

#define REST_BASE "/rest/v0"

struct Rest {
    const ApiParts *parts;
    RestRouter *router;
    GThreadPool *actions;    /* of rest_action.c */
    struct RestFeeds *feeds; /* of rest_events.c */
    gint n_waiting;          /* of rest_tasks.c */
};

struct RestRequest {
    Rest *rest;
    const ApiParts *parts;
    HttpRequest *http;
    const RestRoute *route;
    json_t *args;     /* what the route's {names} stand for */
    Session *session; /* NULL on public routes, as is the user */
    json_t *user;     /* public record */
    bool is_admin;
    Viewer *viewer;  /* of objects; NULL: all are shown */
    Grants *grants;  /* what roles of REST give besides; NULL: nothing */
    GError *failure; /* why it was refused, for the audit log */
};

/* All routes; the caller frees them. */
RestRouter *rest_routes_new(void);
/* What {name} of the route stands for. */
const char *rest_arg(const RestRequest *request, const char *name);
/* A query parameter that is there with another value than "false". */
bool rest_flag(const RestRequest *request, const char *name);
/* The JSON object of the body, {} when there is none; a new reference. */
json_t *rest_body(RestRequest *request, GError **error);

/* --- Answers; each request has one --- */

/* The reference of `value` is taken. */
void rest_reply(RestRequest *request, int status, json_t *value);
void rest_reply_nothing(RestRequest *request);
/* {"error": text}; `data`, whose reference is taken, may be NULL. */
void rest_refuse(RestRequest *request, int status, const char *text, json_t *data);
/* What went wrong, when the answer cannot say it any more. */
void rest_note_failure(RestRequest *request, const GError *error);
/* The status and words of an error, as this caller may see it. */
void rest_fail(RestRequest *request, const GError *error);
void rest_redirect(RestRequest *request, int status, const char *path);

/* --- Checks and calls --- */

/* Who asks; false when the request was answered with a refusal. */
bool rest_sign_in(RestRequest *request);
/* Why somebody could not sign in: 401, or 429 when it was too soon after the last time. */
void rest_refuse_login(RestRequest *request, const GError *error);
/* Calls a method as the caller; `params` is borrowed. The result, a new reference (null when the
 * method has nothing to say), or NULL. */
json_t *rest_call(RestRequest *request, const char *method, json_t *params, GError **error);
json_t *rest_call_on(RestRequest *request, const char *method, json_t *params,
                     const CallTerms *terms, GError **error);
/* Whether a role of REST lets the caller do what the route does to the object {id} of its path. */
bool rest_is_granted(RestRequest *request);
/* Whether a role lets the caller do `action` to an object of XO's type `wanted`. */
bool rest_grants(const RestRequest *request, const char *id, const char *wanted,
                 const char *action);
/* Whether the caller is shown an object, with its type and its text. */
bool rest_may_view(RestRequest *request, const char *id, const char *type, GBytes *text);
