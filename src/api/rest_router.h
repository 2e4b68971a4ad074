/* Which function answers which request: a table of routes, made of the tables that the files of the
 * REST API declare.
 *
 * A path is written below /rest/v0, such as "vms/{id}/actions/start": {name} stands for one
 * segment, a segment may end with a suffix ("{id}.raw"), and {name*} stands for the rest of the
 * path, slashes included. The first route that matches counts. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct RestRequest RestRequest;
typedef struct RestRouter RestRouter;

/* What a route takes and answers, for its description. */
typedef enum {
    REST_PLAIN,
    REST_LIST, /* the query parameters of lists */
    REST_CALLS /* `with` is a RestCall: the parameters of its method */
} RestShape;

typedef struct {
    const char *verb, *path;
    void (*run)(RestRequest *request);
    const void *with;    /* what `run` needs to know */
    const char *summary; /* one sentence */
    bool is_public;      /* for anybody, signed in or not */
    RestShape shape;
    /* What the names of the path stand for, in their order, then the rest of a line of `cadenza
     * rest`: "$DISK --output disk.raw". "" when there is nothing to say. Of calls: their rows'. */
    const char *example;
    const char *needs;  /* the permission on {id} that the route itself asks; "admin" */
    const char *action; /* what privileges call it; NULL: follows from verb and path */
    bool untold;        /* changes nothing that lasts, or tells the audit log by itself */
} RestRoute;

RestRouter *rest_router_new(void);
void rest_router_free(RestRouter *router);
/* Adds a table that ends with a route without a verb; it must outlive the router. */
void rest_router_add_table(RestRouter *router, const RestRoute *routes);
/* Adds one; the path is copied. */
void rest_router_add(RestRouter *router, const RestRoute *route, const char *path);
/* Takes memory over that routes need; returns it. */
void *rest_router_keep(RestRouter *router, void *memory);
/* The route, and in *args (a new reference) what its names stand for; or NULL. *allowed then tells
 * the verbs that the path has, "GET, PUT", or NULL when there is no such path; caller frees. */
const RestRoute *rest_router_find(const RestRouter *router, const char *verb, const char *path,
                                  json_t **args, char **allowed);
unsigned rest_router_n(const RestRouter *router);
const RestRoute *rest_router_nth(const RestRouter *router, unsigned i);

/* Whether `path` matches `pattern`; `args` (may be NULL) gets the names. */
bool rest_path_match(const char *pattern, const char *path, json_t *args);
