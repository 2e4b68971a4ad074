/* cadenza rest VERB PATH [name=value…]: one request of the REST API, in the forms of xo-cli. What
 * is read has its parameters in the query, what changes something in a JSON body. */
#include "cmd/cli.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define BASE "/rest/v0/"

enum { MAX_JSON_BYTES = 1 << 30 };

static const struct {
    const char *word, *verb;
    bool in_query;
} rest_verbs[] = {
    { "get", "GET", true },      { "post", "POST", false }, { "put", "PUT", false },
    { "patch", "PATCH", false }, { "del", "DELETE", true },
};

typedef struct {
    const CliOptions *options;
    int status;
    bool is_json;
    GString *text; /* JSON, to be printed for people */
} Answer;

static void header_seen(const char *name, const char *value, void *user)
{
    Answer *answer = user;
    if (g_str_equal(name, ":status"))
        answer->status = atoi(value);
    else if (g_str_equal(name, "content-type"))
        answer->is_json = g_str_has_prefix(value, "application/json");
}

/* Lines and files pass through as they come. */
static bool sink(const void *data, size_t n, void *user, GError **error)
{
    Answer *answer = user;
    bool ok = answer->status / 100 == 2;
    if (!ok || (answer->is_json && !answer->options->json)) {
        if (n > MAX_JSON_BYTES - answer->text->len) {
            err_set(error, ERR_LIMIT, "the answer is longer than %d bytes", MAX_JSON_BYTES);
            return false;
        }
        g_string_append_len(answer->text, data, (gssize) n);
        return true;
    }
    if (fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0)
        return true;
    err_set(error, ERR_IO, "the output is closed");
    return false;
}

static char *query_of(json_t *params)
{
    GString *query = g_string_new(NULL);
    const char *name;
    json_t *value;
    json_object_foreach (params, name, value) {
        g_autofree char *text = json_is_string(value) ? g_strdup(json_string_value(value))
                                                      : json_dumps(value, JSON_ENCODE_ANY);
        g_autofree char *left = g_uri_escape_string(name, NULL, false);
        g_autofree char *right = g_uri_escape_string(text, NULL, false);
        g_string_append_printf(query, "%c%s=%s", query->len ? '&' : '?', left, right);
    }
    return g_string_free(query, FALSE);
}

/* "https://server/rest/v0/vms"; the words may begin with "/rest/v0/" or not. */
static char *url_of(const CliOptions *options, const char *path, const char *query)
{
    g_autofree char *root = g_strdup(options->url);
    size_t n = strlen(root);
    while (n && root[n - 1] == '/')
        root[--n] = 0;
    path += g_str_has_prefix(path, BASE) ? strlen(BASE) : strspn(path, "/");
    return g_strdup_printf("%s" BASE "%s%s", root, path, query);
}

static char *who(const CliOptions *options)
{
    if (options->token)
        return g_strdup_printf("Cookie: authenticationToken=%s", options->token);
    if (!options->user || !options->password)
        return NULL;
    g_autofree char *both = g_strdup_printf("%s:%s", options->user, options->password);
    g_autofree char *encoded = g_base64_encode((const guchar *) both, strlen(both));
    return g_strdup_printf("Authorization: Basic %s", encoded);
}

static int tell(const Answer *answer, const char *what)
{
    json_t *json = answer->text->len ? json_loads(answer->text->str, JSON_DECODE_ANY, NULL) : NULL;
    bool ok = answer->status / 100 == 2;
    if (ok && json)
        cli_print(answer->options, json);
    else if (ok)
        fputs(answer->text->str, stdout);
    else
        fprintf(stderr, answer->options->json ? "%s%d%s\n" : "cadenza: %s: %d %s\n",
                answer->options->json ? "" : what, answer->status, answer->text->str);
    json_decref(json);
    return ok ? CLI_OK : CLI_REFUSED;
}

static int ask(const CliOptions *options, unsigned verb, const char *path, json_t *params)
{
    g_autoptr(GError) error = NULL;
    bool in_query = rest_verbs[verb].in_query;
    g_autofree char *query = in_query ? query_of(params) : g_strdup("");
    g_autofree char *body = !in_query && json_object_size(params) ? json_dumps(params, JSON_COMPACT)
                                                                  : NULL;
    g_autofree char *url = url_of(options, path, query), *credentials = who(options);
    const char *headers[3] = { credentials, body ? "Content-Type: application/json" : NULL, NULL };
    Answer answer = { options, 0, false, g_string_new(NULL) };
    HttpCall call = { .method = rest_verbs[verb].verb,
                      .url = url,
                      .headers = credentials ? headers : headers + 1,
                      .trust = options->trust,
                      .fingerprint = options->fingerprint,
                      .body = body ? body : "",
                      .body_bytes = body ? strlen(body) : 0,
                      .once = !in_query,
                      .sink = sink,
                      .header_seen = header_seen,
                      .user = &answer };
    int status = http_call(&call, &error);
    status = status ? tell(&answer, path) : cli_print_error(options, error);
    g_string_free(answer.text, TRUE);
    return status;
}

int cli_rest(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    for (unsigned i = 0; words[0] && words[1] && i < G_N_ELEMENTS(rest_verbs); i++) {
        if (!g_str_equal(words[0], rest_verbs[i].word))
            continue;
        json_t *params = cli_params(words + 2, NULL, &error);
        int status = params ? ask(options, i, words[1], params) : cli_print_error(options, error);
        json_decref(params);
        return status;
    }
    fprintf(stderr, "usage: cadenza rest get|post|put|patch|del PATH [name=value…]\n");
    return CLI_USAGE;
}
