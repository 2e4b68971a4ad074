/* What roles of REST let somebody do: the words of a route, in those of privileges. Roles only ever
 * allow what concerns the object of the path; what else a request names needs rules of its own. */
#include "api/rest_collection.h"
#include "base/mutant.h"

#include <string.h>

/* "clean_shutdown" is "shutdown:clean". */
static char *action_of_word(const char *word)
{
    static const char *const verbs[] = { "shutdown", "reboot" };
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
        size_t n = strlen(word), n_verb = strlen(verbs[i]);
        if (n > n_verb + 1 && g_str_has_suffix(word, verbs[i]) && word[n - n_verb - 1] == '_')
            return g_strdup_printf("%s:%.*s", verbs[i], (int) (n - n_verb - 1), word);
    }
    return g_strdup(word);
}

/* Caller frees. */
static char *action_of(const RestRoute *route)
{
    const char *below = strchr(route->path, '}') + 1;
    if (g_str_has_prefix(below, "/actions/"))
        return action_of_word(below + strlen("/actions/"));
    if (g_str_has_prefix(below, "/tags/"))
        return g_strdup("update:tags");
    if (g_str_equal(route->verb, "GET"))
        return g_strdup("read");
    return g_strdup(g_str_equal(route->verb, "DELETE") && !*below ? "delete" : "update");
}

bool rest_is_granted(RestRequest *request)
{
    const char *id = rest_arg(request, "id"), *type = NULL;
    g_autofree char *name = g_strndup(request->route->path, strcspn(request->route->path, "/"));
    const RestCollection *collection = rest_collection_find(name);
    if (!request->grants || !id || !collection || collection->each != rest_each_object)
        return false;
    g_autoptr(GBytes) text = servers_text(id, &type, request->parts->servers);
    const char *resource = rest_resource_of(collection->type);
    g_autofree char *action = action_of(request->route);
    if (!text || g_strcmp0(type, collection->type) != 0 || !resource)
        return false;
    return grants_allow(request->grants, resource, action, text) ||
           MUTANT(rest_grants_all); /* mutant: system:test_rest.People.test_given_roles */
}
