/* Completion of `cadenza rest`: the verbs, paths by the server's own description, a segment at a
 * time, ids by its lists, and the names of parameters. */
#include "cmd/cli.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *word, *verb;
} rest_verbs[] = {
    { "get", "get" },     { "post", "post" },  { "put", "put" },
    { "patch", "patch" }, { "del", "delete" },
};

static void offer(const char *last, const char *word)
{
    if (g_str_has_prefix(word, last))
        printf("%s\n", word);
}

/* NULL: no such word. */
static const char *verb_of(const char *word)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rest_verbs); i++)
        if (g_str_equal(word, rest_verbs[i].word))
            return rest_verbs[i].verb;
    return NULL;
}

/* --- Paths --- */

/* How many segments the words of a path fill, but for the last one. */
static bool fits(char **pattern, char **path, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!pattern[i] || (*pattern[i] != '{' && !g_str_equal(pattern[i], path[i])))
            return false;
    return pattern[n] != NULL;
}

static char *join(char **path, unsigned n)
{
    GString *text = g_string_new(NULL);
    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, "%s/", path[i]);
    return g_string_free(text, FALSE);
}

/* The ids that a list answers: "/rest/v0/vms/<id>". */
static void offer_ids(const CliOptions *options, const char *below, const char *last)
{
    json_t *paths = cli_rest_get(options, below), *path;
    size_t i;
    json_array_foreach (paths, i, path) {
        const char *slash = json_is_string(path) ? strrchr(json_string_value(path), '/') : NULL;
        g_autofree char *word = slash ? g_strconcat(below, slash + 1, NULL) : NULL;
        if (word)
            offer(last, word);
    }
    json_decref(paths);
}

static void offer_paths(const CliOptions *options, json_t *paths, const char *verb,
                        const char *last)
{
    g_auto(GStrv) path = g_strsplit(last, "/", -1);
    unsigned n = MAX(g_strv_length(path), 1) - 1;
    g_autofree char *below = join(path, n);
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const char *name;
    json_t *verbs;
    bool wants_id = false;
    json_object_foreach (paths, name, verbs) {
        g_auto(GStrv) pattern = g_strsplit(name + 1, "/", -1);
        if (!json_object_get(verbs, verb) || !fits(pattern, path, n))
            continue;
        wants_id = wants_id || g_str_equal(pattern[n], "{id}");
        char *word = g_strconcat(below, pattern[n], NULL);
        if (*pattern[n] != '{' && g_hash_table_add(seen, word))
            offer(last, word);
        else if (*pattern[n] == '{')
            g_free(word);
    }
    if (wants_id && n > 0)
        offer_ids(options, below, last);
}

/* --- Parameters --- */

static json_t *operation_of(json_t *paths, const char *verb, const char *path)
{
    g_auto(GStrv) segments = g_strsplit(path, "/", -1);
    unsigned n = g_strv_length(segments);
    const char *name;
    json_t *verbs;
    json_object_foreach (paths, name, verbs) {
        g_auto(GStrv) pattern = g_strsplit(name + 1, "/", -1);
        json_t *operation = json_object_get(verbs, verb);
        if (operation && n > 0 && g_strv_length(pattern) == n && fits(pattern, segments, n - 1) &&
            (*pattern[n - 1] == '{' || g_str_equal(pattern[n - 1], segments[n - 1])))
            return operation;
    }
    return NULL;
}

static void offer_param(char **words, const char *last, const char *name)
{
    g_autofree char *word = g_strconcat(name, "=", NULL);
    for (unsigned i = 0; words[i]; i++)
        if (g_str_has_prefix(words[i], word))
            return;
    offer(last, word);
}

/* In the query, or members of the body. */
static void offer_params(json_t *operation, char **words, const char *last)
{
    json_t *body = json_object_get(json_object_get(operation, "requestBody"), "content");
    json_t *schema = json_object_get(json_object_get(body, "application/json"), "schema");
    json_t *param, *member;
    size_t i;
    const char *name;
    json_array_foreach (json_object_get(operation, "parameters"), i, param)
        if (g_strcmp0(json_string_value(json_object_get(param, "in")), "query") == 0)
            offer_param(words, last, json_string_value(json_object_get(param, "name")));
    json_object_foreach (json_object_get(schema, "properties"), name, member)
        offer_param(words, last, name);
}

void cli_complete_rest(const CliOptions *options, char **words, unsigned n)
{
    const char *last = n ? words[n - 1] : "", *verb = n > 1 ? verb_of(words[0]) : NULL;
    if (n == 1)
        for (unsigned i = 0; i < G_N_ELEMENTS(rest_verbs); i++)
            offer(last, rest_verbs[i].word);
    if (!verb || !options->url)
        return;
    json_t *document = cli_rest_get(options, "docs/swagger.json");
    json_t *paths = json_object_get(document, "paths");
    if (n == 2)
        offer_paths(options, paths, verb, last);
    else
        offer_params(operation_of(paths, verb, words[1]), words, last);
    json_decref(document);
}
