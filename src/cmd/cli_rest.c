/* cadenza rest VERB PATH [name=value…]: one request of the REST API, in the forms of xo-cli. What
 * is read has its parameters in the query, what changes something in a JSON body. */
#include "cmd/cli.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BASE "/rest/v0/"

enum { MAX_JSON_BYTES = 1 << 30, MAX_REDIRECTIONS = 3 };

static const struct {
    const char *word, *verb;
    bool in_query;
} rest_verbs[] = {
    { "get", "GET", true },      { "post", "POST", false }, { "put", "PUT", false },
    { "patch", "PATCH", false }, { "del", "DELETE", true },
};

/* What follows the verb: a path, parameters, and the files that the words --input and --output
 * name. */
typedef struct {
    const char *verb;
    char *path; /* changes when the server redirects */
    json_t *params;
    bool in_query;
    const char *input, *output; /* NULL: none */
} Asked;

typedef struct {
    const CliOptions *options;
    int status, in, out; /* files: -1: none */
    bool is_json;
    GString *text;  /* JSON, to be printed for people */
    char *location; /* of a redirection */
} Answer;

static bool is_done(const Answer *answer)
{
    return answer->status / 100 == 2;
}

static void header_seen(const char *name, const char *value, void *user)
{
    Answer *answer = user;
    if (g_str_equal(name, ":status")) {
        answer->status = atoi(value);
    } else if (g_str_equal(name, "content-type")) {
        answer->is_json = g_str_has_prefix(value, "application/json");
    } else if (g_str_equal(name, "location")) {
        g_free(answer->location);
        answer->location = g_strdup(value);
    }
}

/* Lines and files pass through as they come. */
static bool sink(const void *data, size_t n, void *user, GError **error)
{
    Answer *answer = user;
    bool to_file = is_done(answer) && answer->out >= 0;
    if (!to_file && (!is_done(answer) || (answer->is_json && !answer->options->json))) {
        if (n > MAX_JSON_BYTES - answer->text->len) {
            err_set(error, ERR_LIMIT, "the answer is longer than %d bytes", MAX_JSON_BYTES);
            return false;
        }
        g_string_append_len(answer->text, data, (gssize) n);
        return true;
    }
    if (to_file ? cli_write(answer->out, data, n)
                : fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0)
        return true;
    err_set_errno(error, errno, "the output");
    return false;
}

static ssize_t source(void *data, size_t n, void *user, GError **error)
{
    Answer *answer = user;
    return cli_read(answer->in, data, n, error);
}

static char *query_of(const char *path, json_t *params)
{
    GString *query = g_string_new(NULL);
    bool first = !strchr(path, '?');
    const char *name;
    json_t *value;
    json_object_foreach (params, name, value) {
        g_autofree char *text = json_is_string(value) ? g_strdup(json_string_value(value))
                                                      : json_dumps(value, JSON_ENCODE_ANY);
        g_autofree char *left = g_uri_escape_string(name, NULL, false);
        g_autofree char *right = g_uri_escape_string(text, NULL, false);
        g_string_append_printf(query, "%c%s=%s", first ? '?' : '&', left, right);
        first = false;
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
    bool ok = is_done(answer);
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

/* The body: a file, or the parameters. */
static bool call_once(const Asked *asked, gint64 n_bytes, Answer *answer, GError **error)
{
    const CliOptions *options = answer->options;
    bool with_body = !asked->in_query && !asked->input && json_object_size(asked->params);
    g_autofree char *query = with_body ? g_strdup("") : query_of(asked->path, asked->params);
    g_autofree char *body = with_body ? json_dumps(asked->params, JSON_COMPACT) : NULL;
    g_autofree char *url = url_of(options, asked->path, query), *credentials = who(options);
    const char *headers[3] = { credentials, NULL, NULL };
    headers[1] = asked->input ? "Content-Type: application/octet-stream"
                 : body       ? "Content-Type: application/json"
                              : NULL;
    HttpCall call = { .method = asked->verb,
                      .url = url,
                      .headers = credentials ? headers : headers + 1,
                      .trust = options->trust,
                      .fingerprint = options->fingerprint,
                      .body = body ? body : "",
                      .body_bytes = body ? strlen(body) : 0,
                      .source = asked->input ? source : NULL,
                      .source_bytes = n_bytes,
                      .once = !asked->in_query,
                      .sink = sink,
                      .header_seen = header_seen,
                      .user = answer };
    return http_call(&call, error) != 0;
}

/* "users/me/groups" leads elsewhere; what was sent is sent again, unless it was a file. */
static bool call_all(Asked *asked, gint64 n_bytes, Answer *answer, GError **error)
{
    for (unsigned i = 0; i < MAX_REDIRECTIONS; i++) {
        if (!call_once(asked, n_bytes, answer, error))
            return false;
        bool elsewhere = answer->status == 307 || answer->status == 308;
        if (!elsewhere || asked->input || !g_str_has_prefix(answer->location, BASE))
            break;
        g_free(asked->path);
        asked->path = g_steal_pointer(&answer->location);
        g_string_truncate(answer->text, 0);
        if (strchr(asked->path, '?')) /* the query is in it */
            json_object_clear(asked->params);
    }
    return true;
}

static int ask(const CliOptions *options, Asked *asked)
{
    g_autoptr(GError) error = NULL;
    gint64 n_bytes = 0;
    Answer answer = { options, 0, -1, -1, false, g_string_new(NULL), NULL };
    if (asked->input)
        answer.in = cli_open_input(asked->input, &n_bytes, &error);
    if (asked->output && !error)
        answer.out = cli_open_output(asked->output, &error);
    bool ok = !error && call_all(asked, n_bytes, &answer, &error);
    if (answer.out >= 0)
        ok = cli_close_output(answer.out, asked->output, ok && is_done(&answer),
                              error ? NULL : &error) &&
             ok;
    int status = ok ? tell(&answer, asked->path) : cli_print_error(options, error);
    if (answer.in > STDIN_FILENO)
        close(answer.in);
    g_string_free(answer.text, TRUE);
    g_free(answer.location);
    return status;
}

/* "--input FILE" or "--input=FILE", taken out of the words; false when the file is missing. */
static bool take_file(char **words, const char *option, const char **file)
{
    unsigned kept = 0;
    size_t n = strlen(option);
    bool ok = true;
    for (unsigned i = 0; words[i]; i++) {
        if (!g_str_has_prefix(words[i], option) || (words[i][n] && words[i][n] != '=')) {
            words[kept++] = words[i];
            continue;
        }
        *file = words[i][n] ? words[i] + n + 1 : words[i + 1];
        ok = ok && *file && **file;
        i += *file && !words[i][n];
    }
    words[kept] = NULL;
    return ok;
}

static int usage(void)
{
    fprintf(stderr, "usage: cadenza rest get|post|put|patch|del PATH [name=value…] [--input FILE] "
                    "[--output FILE]\n");
    return CLI_USAGE;
}

int cli_rest(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    Asked asked = { 0 };
    if (!take_file(words, "--input", &asked.input) ||
        !take_file(words, "--output", &asked.output) || !words[0] || !words[1])
        return usage();
    for (unsigned i = 0; i < G_N_ELEMENTS(rest_verbs); i++) {
        if (!g_str_equal(words[0], rest_verbs[i].word))
            continue;
        asked.verb = rest_verbs[i].verb;
        asked.in_query = rest_verbs[i].in_query;
    }
    for (unsigned i = 1; words[i]; i++)
        if (!asked.verb || g_str_has_prefix(words[i], "--"))
            return usage();
    asked.path = g_strdup(words[1]);
    asked.params = cli_params(words + 2, NULL, &error);
    int status = asked.params ? ask(options, &asked) : cli_print_error(options, error);
    json_decref(asked.params);
    g_free(asked.path);
    return status;
}

json_t *cli_rest_get(const CliOptions *options, const char *path)
{
    CliOptions quiet = *options;
    quiet.json = false; /* the answer is kept */
    Asked asked = {
        .verb = "GET", .path = g_strdup(path), .in_query = true, .params = json_object()
    };
    Answer answer = { &quiet, 0, -1, -1, false, g_string_new(NULL), NULL };
    bool ok = call_all(&asked, 0, &answer, NULL) && is_done(&answer) && answer.is_json;
    json_t *json = ok ? json_loads(answer.text->str, JSON_DECODE_ANY, NULL) : NULL;
    g_string_free(answer.text, TRUE);
    g_free(answer.location);
    json_decref(asked.params);
    g_free(asked.path);
    return json;
}
