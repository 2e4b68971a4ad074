/* What a request of the REST API would ask, without asking it: for acl.explain. */
#include "api/rest.h"
#include "api/error.h"
#include "api/rest_call.h"
#include "api/rest_collection.h"

#include <string.h>

void rest_asked_clear(RestAsked *asked)
{
    g_clear_pointer(&asked->params, json_decref);
    g_clear_pointer(&asked->id, g_free);
}

/* "/rest/v0/vms/x?sync=true" → "vms/x" */
static char *bare_path(const char *path)
{
    static const char base[] = REST_BASE "/";
    bool whole = strncmp(path, base, strlen(base)) == 0;
    path += whole ? strlen(base) : strspn(path, "/");
    return g_strndup(path, strcspn(path, "?"));
}

/* Lists show what may be seen of them; single records are what a method gives. */
static void ask_collection(RestRequest *request, const RestCollection *collection, RestAsked *asked)
{
    if (!rest_arg(request, "id"))
        return;
    if (collection->each == rest_each_object)
        asked->permission = "view";
    else
        asked->method = collection->methods[0];
}

/* "vms/{id}/alarms": the one that the path begins with. */
static const RestCollection *owner_of(const RestRoute *route)
{
    const char *brace = strchr(route->path, '{');
    g_autofree char *name = g_strndup(route->path, brace ? brace - route->path - 1 : 0);
    return rest_collection_find(name);
}

static bool ask_call(RestRequest *request, json_t *body, RestAsked *asked, GError **error)
{
    const RestCall *call = request->route->with;
    asked->params =
        rest_call_params(request, &call, body ? json_deep_copy(body) : json_object(), error);
    asked->method = call->method;
    return asked->params != NULL;
}

static bool ask(RestRequest *request, json_t *body, RestAsked *asked, GError **error)
{
    const RestRoute *route = request->route;
    const RestCollection *owner = owner_of(route);
    asked->is_public = route->is_public;
    asked->id = g_strdup(rest_arg(request, "id"));
    asked->granted = rest_is_granted(request);
    if (route->shape == REST_CALLS)
        return ask_call(request, body, asked, error);
    asked->permission = route->needs;
    if (!route->needs && owner)
        ask_collection(request, owner, asked);
    return true;
}

bool rest_ask(const ApiParts *parts, Session *session, const char *line, json_t *body,
              RestAsked *asked, GError **error)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 2);
    g_autofree char *path = bare_path(words[0] && words[1] ? words[1] : "");
    g_autofree char *allowed = NULL;
    RestRouter *router = rest_routes_new();
    RestRequest request = { .parts = parts, .session = session };
    *asked = (RestAsked){ NULL };
    request.route =
        rest_router_find(router, words[0] ? words[0] : "", path, &request.args, &allowed);
    request.user = session_user(session);
    request.is_admin = request.user && account_is_admin(request.user);
    if (request.user && !request.is_admin)
        request.grants = grants_new(parts->accounts, request.user);
    bool ok = request.route && ask(&request, body, asked, error);
    if (!request.route)
        api_error_no_such(error, line, "route");
    g_clear_error(&request.failure);
    g_clear_pointer(&request.grants, grants_free);
    json_decref(request.user);
    json_decref(request.args);
    rest_router_free(router);
    return ok;
}
