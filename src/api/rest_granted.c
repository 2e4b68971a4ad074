/* What roles of REST let somebody do: the words of a route, in those of privileges. Roles only ever
 * allow what concerns the object of the path; what else a request names needs rules of its own. */
#include "api/rest_collection.h"
#include "base/mutant.h"

#include <string.h>

/* Words of routes that privileges have others for; `resource` NULL: of any. */
static const struct {
    const char *resource, *word, *action;
} words[] = {
    { "pools", "emergency_shutdown", "emergency-shutdown" },
    { NULL, "rolling_reboot", "rolling-reboot" },
    { NULL, "migrate", "migrate-send" },
    { NULL, "create_vm", "create:vm" },
    { NULL, "create_network", "create:network" },
    { NULL, "management_reconfigure", "update:management" },
};

/* "clean_shutdown" is "shutdown:clean". */
static char *action_of_word(const char *collection, const char *word)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_equal(words[i].word, word) &&
            (!words[i].resource || g_str_equal(words[i].resource, collection)))
            return g_strdup(words[i].action);
    static const char *const verbs[] = { "shutdown", "reboot" };
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
        size_t n = strlen(word), n_verb = strlen(verbs[i]);
        if (n > n_verb + 1 && g_str_has_suffix(word, verbs[i]) && word[n - n_verb - 1] == '_')
            return g_strdup_printf("%s:%.*s", verbs[i], (int) (n - n_verb - 1), word);
    }
    return g_strdelimit(g_strdup(word), "_", '-');
}

/* Caller frees. */
static char *action_of(const RestRoute *route, const char *collection)
{
    if (route->action)
        return g_strdup(route->action);
    const char *below = strchr(route->path, '}') + 1;
    if (g_str_has_prefix(below, "/actions/"))
        return action_of_word(collection, below + strlen("/actions/"));
    if (g_str_has_prefix(below, "/tags/"))
        return g_strdup("update:tags");
    if (g_str_equal(route->verb, "GET"))
        return g_strdup("read");
    return g_strdup(g_str_equal(route->verb, "DELETE") && !*below ? "delete" : "update");
}

bool rest_grants(const RestRequest *request, const char *id, const char *wanted, const char *action)
{
    const char *type = NULL, *resource = rest_resource_of(wanted);
    if (!request->grants || !resource)
        return false;
    g_autoptr(GBytes) text = servers_text(id, &type, request->parts->servers);
    return text && g_strcmp0(type, wanted) == 0 &&
           (grants_allow(request->grants, resource, action, text) ||
            MUTANT(rest_grants_all)); /* mutant: system:test_rest.People.test_given_roles */
}

bool rest_is_granted(RestRequest *request)
{
    const char *id = rest_arg(request, "id");
    g_autofree char *name = g_strndup(request->route->path, strcspn(request->route->path, "/"));
    const RestCollection *collection = rest_collection_find(name);
    if (!request->grants || !id || !collection || collection->each != rest_each_object)
        return false;
    g_autofree char *action = action_of(request->route, name);
    return rest_grants(request, id, collection->type, action);
}
