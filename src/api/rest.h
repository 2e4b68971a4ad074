/* REST v0: XO's paths below /rest/v0. Collections of objects and records, actions, tasks, events.
 *
 * Whatever changes something goes through the method table (call_run), and so through the same
 * checks as JSON-RPC; what is only read asks account_may for each object. Administrators see
 * everything, others the objects that an access rule shows them and what their methods give them.
 */
#pragma once

#include "api/parts.h"
#include "api/session.h"
#include "http/server.h"

#include <jansson.h>

typedef struct Rest Rest;

enum {
    REST_MAX_BODY_BYTES = 1024 * 1024, /* of JSON */
    REST_MAX_FIELDS = 64,
    REST_FLUSH_BYTES = 128 * 1024, /* a longer answer is streamed in pieces of about this */
};

/* The parts must outlive it. */
Rest *rest_new(const ApiParts *parts);
/* The HTTP server must have stopped. */
void rest_free(Rest *rest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rest, rest_free)

/* All routes (OpenAPI), without a server; a new reference. */
json_t *rest_describe(void);
/* What a request would ask before it does anything: a call of a method, or a permission ("admin":
 * to be an administrator) on an object; neither: nothing but to be signed in. */
typedef struct {
    const char *method; /* NULL: none */
    json_t *params;
    const char *permission;
    char *id;
    bool is_public;
    bool granted; /* a role of REST lets the owner do that to the object `id` */
} RestAsked;
/* "POST /vms/<id>/actions/start", and what would be sent (borrowed; NULL: nothing), from the owner
 * of the session. NO_SUCH_OBJECT when there is no such route; other errors are the request's. */
bool rest_ask(const ApiParts *parts, Session *session, const char *line, json_t *body,
              RestAsked *asked, GError **error);
void rest_asked_clear(RestAsked *asked);

/* --- Roles --- */

/* One of those that are there by themselves, or that somebody made; a new reference, or NULL. */
json_t *rest_role(const ApiParts *parts, const char *id);
/* An array, a new reference. */
json_t *rest_role_privileges(const ApiParts *parts, const char *id);
/* What privileges are given on: "vm", of XO's type "VM" (NULL: on none such). */
bool rest_is_resource(const char *name);
const char *rest_resource_of(const char *type);

/* Answers a request below /rest; false when it is not one. */
bool rest_handle(Rest *rest, HttpRequest *request);
