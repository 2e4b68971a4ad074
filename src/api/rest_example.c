/* A route's example comes from its row, or from the example of the method that it calls: what the
 * path names goes there, the other parameters take REST's names. */
#include "api/rest_example.h"
#include "api/method.h"
#include "api/rest_call.h"

#include <string.h>

/* Words of a shell, with their quotes. */
static GPtrArray *words_of(const char *line)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);
    while (*line) {
        size_t n = 0;
        char quote = 0;
        for (; line[n] && (quote || line[n] != ' '); n++) {
            if (line[n] == '\\' && quote != '\'' && line[n + 1])
                n++;
            else if (quote && line[n] == quote)
                quote = 0;
            else if (!quote && (line[n] == '"' || line[n] == '\''))
                quote = line[n];
        }
        g_ptr_array_add(words, g_strndup(line, n));
        line += n;
        line += strspn(line, " ");
    }
    return words;
}

/* The next {name} of a path, or NULL; *n gets its length without braces, *after what follows. */
static const char *next_name(const char *path, size_t *n, const char **after)
{
    const char *open = strchr(path, '{');
    if (open) {
        *n = strcspn(open + 1, "*}");
        *after = strchr(open, '}') + 1;
    }
    return open ? open + 1 : NULL;
}

/* --- From a method's example --- */

/* In a body numbers are to be told from texts; for methods the command line knows which is which.
 */
static bool is_number(const RestCall *call, const Method *method, const char *name)
{
    const unsigned numbers = P_INTEGER | P_NUMBER;
    for (const Param *param = method->params; param && param->name; param++)
        if (g_str_equal(param->name, name))
            return !g_str_equal(call->verb, "GET") && param->types & numbers &&
                   !(param->types & P_STRING);
    return false;
}

/* What the path's names stand for, then the other parameters; as a row would say it. */
static char *of_method(const RestCall *call)
{
    const Method *method = method_find(call->method);
    g_autoptr(GPtrArray) words = words_of(method->example ? method->example : "");
    GString *in_path = g_string_new(NULL);
    g_autoptr(GString) others = g_string_new(NULL);
    const char *after = call->path, *name;
    g_autoptr(GHashTable) values = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    size_t n;
    for (unsigned i = 0; i < words->len; i++) {
        const char *word = words->pdata[i], *equals = strchr(word, '=');
        g_autofree char *theirs = equals ? g_strndup(word, (gsize) (equals - word)) : NULL;
        char *ours = theirs ? rest_call_name(call, theirs) : g_strdup("");
        g_hash_table_insert(values, ours, (void *) (equals ? equals + 1 : ""));
    }
    while ((name = next_name(after, &n, &after))) {
        g_autofree char *key = g_strndup(name, n);
        const char *value = g_hash_table_lookup(values, key);
        g_string_append_printf(in_path, "%s%s", in_path->len ? " " : "", value ? value : "");
        g_hash_table_remove(values, key);
    }
    for (unsigned i = 0; i < words->len; i++) {
        const char *word = words->pdata[i], *equals = strchr(word, '=');
        g_autofree char *theirs = equals ? g_strndup(word, (gsize) (equals - word)) : NULL;
        g_autofree char *ours = theirs ? rest_call_name(call, theirs) : g_strdup("");
        if (*ours && g_hash_table_contains(values, ours))
            g_string_append_printf(others, " %s=%s%s", ours,
                                   is_number(call, method, theirs) ? "json:" : "", equals + 1);
    }
    const char *rest = others->str + (in_path->len == 0 && others->len > 0);
    return g_string_free(g_string_append(in_path, rest), FALSE);
}

/* --- The line --- */

/* The path with the first words in the places of its names; NULL when there are too few. Then *used
 * is how many there were. */
static char *filled(const char *path, const GPtrArray *words, unsigned *used)
{
    GString *text = g_string_new(NULL);
    const char *after, *name;
    size_t n;
    for (; (name = next_name(path, &n, &after)); path = after) {
        if (*used == words->len || !*(char *) words->pdata[*used]) {
            g_string_free(text, TRUE);
            return NULL;
        }
        g_string_append_len(text, path, name - 1 - path);
        g_string_append(text, words->pdata[(*used)++]);
    }
    return g_string_free(g_string_append(text, path), FALSE);
}

static const char *word_of(const char *verb)
{
    return g_str_equal(verb, "DELETE") ? "del" : verb;
}

char *rest_example(const RestRoute *route)
{
    const RestCall *call = route->shape == REST_CALLS ? route->with : NULL;
    const char *said = call ? call->example : route->example;
    g_autofree char *derived = !said && call ? of_method(call) : NULL;
    if (!said && !derived)
        return NULL;
    g_autoptr(GPtrArray) words = words_of(said ? said : derived);
    unsigned used = 0;
    g_autofree char *path = filled(route->path, words, &used);
    if (!path)
        return NULL;
    bool is_action = call && strstr(route->path, "/actions/");
    g_autofree char *verb = g_ascii_strdown(word_of(route->verb), -1);
    GString *line = g_string_new(NULL);
    g_string_printf(line, is_action ? "cadenza rest %s \"%s?sync=true\"" : "cadenza rest %s %s",
                    verb, path);
    for (; used < words->len; used++)
        g_string_append_printf(line, " %s", (char *) words->pdata[used]);
    return g_string_free(line, FALSE);
}
