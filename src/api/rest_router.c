/* Matching paths, segment by segment, in the order of the table. */
#include "api/rest_router.h"

#include <string.h>

struct RestRouter {
    GPtrArray *routes; /* of RestRoute; borrowed ones and own copies */
    GPtrArray *own;
};

RestRouter *rest_router_new(void)
{
    RestRouter *router = g_new0(RestRouter, 1);
    router->routes = g_ptr_array_new();
    router->own = g_ptr_array_new_with_free_func(g_free);
    return router;
}

void rest_router_free(RestRouter *router)
{
    g_ptr_array_unref(router->routes);
    g_ptr_array_unref(router->own);
    g_free(router);
}

void *rest_router_keep(RestRouter *router, void *memory)
{
    g_ptr_array_add(router->own, memory);
    return memory;
}

void rest_router_add_table(RestRouter *router, const RestRoute *routes)
{
    for (; routes->verb; routes++)
        g_ptr_array_add(router->routes, (void *) routes);
}

void rest_router_add(RestRouter *router, const RestRoute *route, const char *path)
{
    RestRoute *copy = rest_router_keep(router, g_memdup2(route, sizeof *route));
    copy->path = rest_router_keep(router, g_strdup(path));
    g_ptr_array_add(router->routes, copy);
}

static void set_arg(json_t *args, const char *name, size_t n_name, const char *text, size_t n)
{
    g_autofree char *key = g_strndup(name, n_name);
    if (args)
        json_object_set_new(args, key, json_stringn(text, n));
}

/* One segment "{name}suffix" of the pattern against n bytes. */
static bool match_name(const char *pattern, size_t n_pattern, const char *text, size_t n,
                       json_t *args)
{
    const char *close = memchr(pattern, '}', n_pattern);
    const char *suffix = close + 1;
    size_t n_suffix = (size_t) (pattern + n_pattern - suffix);
    if (n <= n_suffix || memcmp(text + n - n_suffix, suffix, n_suffix) != 0)
        return false;
    set_arg(args, pattern + 1, (size_t) (close - pattern) - 1, text, n - n_suffix);
    return true;
}

bool rest_path_match(const char *pattern, const char *path, json_t *args)
{
    for (;;) {
        size_t n_pattern = strcspn(pattern, "/"), n = strcspn(path, "/");
        if (*pattern == '{' && n_pattern > 2 && pattern[n_pattern - 2] == '*') {
            set_arg(args, pattern + 1, n_pattern - 3, path, strlen(path));
            return *path != 0;
        }
        bool same = *pattern == '{' ? match_name(pattern, n_pattern, path, n, args)
                                    : n == n_pattern && memcmp(pattern, path, n) == 0;
        if (!same || !pattern[n_pattern] != !path[n])
            return false;
        if (!pattern[n_pattern])
            return true;
        pattern += n_pattern + 1;
        path += n + 1;
    }
}

static void allow(GString *allowed, const char *verb)
{
    g_autofree char *all = g_strdup_printf(", %s,", allowed->str);
    g_autofree char *word = g_strdup_printf(", %s,", verb);
    if (!strstr(all, word))
        g_string_append_printf(allowed, "%s%s", allowed->len ? ", " : "", verb);
}

const RestRoute *rest_router_find(const RestRouter *router, const char *verb, const char *path,
                                  json_t **args, char **allowed)
{
    g_autoptr(GString) verbs = g_string_new(NULL);
    for (unsigned i = 0; i < router->routes->len; i++) {
        const RestRoute *route = router->routes->pdata[i];
        if (!rest_path_match(route->path, path, NULL))
            continue;
        if (strcmp(route->verb, verb) == 0) {
            *args = json_object();
            rest_path_match(route->path, path, *args);
            return route;
        }
        allow(verbs, route->verb);
    }
    *allowed = verbs->len ? g_strdup(verbs->str) : NULL;
    return NULL;
}

unsigned rest_router_n(const RestRouter *router)
{
    return router->routes->len;
}

const RestRoute *rest_router_nth(const RestRouter *router, unsigned i)
{
    return router->routes->pdata[i];
}
