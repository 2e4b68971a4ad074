/* Completion by a shell: `cadenza complete WORD…` prints what the last of the words may become, a
 * line each; `cadenza completion bash` prints what makes a shell ask that. What the server knows
 * (methods, parameters, objects, jobs) is asked of the server, so it is never out of date. */
#include "cmd/cli.h"

#include <stdio.h>
#include <string.h>

static const char bash_script[] =
    "# eval \"$(cadenza completion bash)\"\n"
    "_cadenza() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} word=${COMP_WORDS[COMP_CWORD]} found words\n"
    "    read -ra words <<< \"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=('')\n"
    "    [[ $word == [=:] ]] && word=\n"
    "    local last=${words[-1]}\n"
    "    mapfile -t found < <(cadenza complete \"${words[@]:1}\" 2> /dev/null)\n"
    "    # bash takes = and : for the ends of words: what stands before is there already\n"
    "    COMPREPLY=(\"${found[@]#\"${last%\"$word\"}\"}\")\n"
    "    [[ ${#found[@]} == 1 && ${found[0]} == *= ]] && compopt -o nospace 2> /dev/null\n"
    "    return 0\n"
    "}\n"
    "complete -F _cadenza cadenza\n";

static const char zsh_script[] =
    "#compdef cadenza\n"
    "# eval \"$(cadenza completion zsh)\"\n"
    "_cadenza() {\n"
    "    local -a found\n"
    "    found=(\"${(@f)$(cadenza complete \"${(@)words[2,CURRENT]}\" 2> /dev/null)}\")\n"
    "    compadd -S '' -- ${(M)found:#*=}\n"
    "    compadd -- ${found:#*=}\n"
    "}\n"
    "compdef _cadenza cadenza\n";

int cli_completion(CliOptions *options, char **words)
{
    bool zsh = g_strcmp0(words[0], "zsh") == 0;
    if (!zsh && g_strcmp0(words[0], "bash") != 0) {
        fputs("usage: cadenza completion bash|zsh\n", stderr);
        return CLI_USAGE;
    }
    fputs(zsh ? zsh_script : bash_script, stdout);
    return CLI_OK;
}

/* --- Candidates --- */

typedef struct {
    CliClient *client; /* NULL: without a server only verbs are known */
    const char *last;  /* the word to complete */
    const CliOptions *options;
} Completion;

static void offer(const Completion *completion, const char *word, const char *suffix)
{
    if (g_str_has_prefix(word, completion->last))
        printf("%s%s\n", word, suffix);
}

static json_t *ask(const Completion *completion, const char *method, json_t *params)
{
    json_t *refusal = NULL;
    json_t *answer =
        completion->client ? cli_call(completion->client, method, params, &refusal, NULL) : NULL;
    json_decref(refusal);
    return answer;
}

static void offer_verbs(const Completion *completion)
{
    for (const CliVerb *verb = cli_verbs; verb->name; verb++)
        if (verb->summary)
            offer(completion, verb->name, "");
    offer(completion, "repo", "");
}

static void offer_methods(const Completion *completion)
{
    json_t *methods = ask(completion, "system.listMethods", NULL), *method;
    size_t i;
    json_array_foreach (methods, i, method)
        offer(completion, json_string_value(method), "");
    json_decref(methods);
}

static void offer_names(const Completion *completion, const char *method)
{
    json_t *list = ask(completion, method, NULL), *record;
    size_t i;
    json_array_foreach (list, i, record) {
        const char *name = json_string_value(json_object_get(record, "name"));
        if (name && *name)
            offer(completion, name, "");
    }
    json_decref(list);
}

/* --- The parameters of a method --- */

static json_t *params_of(const Completion *completion, const char *method)
{
    json_t *signature =
        ask(completion, "system.methodSignature", json_pack("{s:s}", "method", method));
    json_t *params = json_incref(json_object_get(json_array_get(signature, 0), "params"));
    json_decref(signature);
    return params;
}

static bool is_given(char **words, const char *name)
{
    size_t n = strlen(name);
    for (unsigned i = 0; words[i]; i++)
        if (strncmp(words[i], name, n) == 0 && words[i][n] == '=')
            return true;
    return false;
}

static void offer_value(const Completion *completion, const char *name, const char *value)
{
    g_autofree char *word = g_strdup_printf("%s=%s", name, value);
    offer(completion, word, "");
}

static void offer_objects(const Completion *completion, const char *name, json_t *types)
{
    size_t i;
    json_t *type, *object;
    const char *id;
    json_array_foreach (types, i, type) {
        json_t *objects =
            ask(completion, "xo.getAllObjects", json_pack("{s:{s:O}}", "filter", "type", type));
        json_object_foreach (objects, id, object)
            offer_value(completion, name, id);
        json_decref(objects);
    }
}

static bool is_type(json_t *schema, const char *name)
{
    return g_strcmp0(json_string_value(json_object_get(schema, "type")), name) == 0;
}

static void offer_values(const Completion *completion, const char *name, json_t *schema)
{
    size_t i;
    json_t *choice;
    json_array_foreach (json_object_get(schema, "enum"), i, choice)
        if (json_is_string(choice))
            offer_value(completion, name, json_string_value(choice));
    if (is_type(schema, "boolean")) {
        offer_value(completion, name, "false");
        offer_value(completion, name, "true");
    }
    offer_objects(completion, name, json_object_get(json_object_get(schema, "resolve"), "types"));
}

static void offer_params(const Completion *completion, const char *method, char **given)
{
    json_t *params = params_of(completion, method), *schema;
    const char *name, *equals = strchr(completion->last, '=');
    json_object_foreach (params, name, schema) {
        gsize n = strlen(name);
        bool is_it = equals && (gsize) (equals - completion->last) == n &&
                     strncmp(completion->last, name, n) == 0;
        if (is_it)
            offer_values(completion, name, schema);
        else if (!equals && !g_str_equal(name, "*") && !is_given(given, name))
            offer(completion, name, "=");
    }
    json_decref(params);
}

/* --- Which of them --- */

static void offer_for(const Completion *completion, char **words, unsigned n)
{
    const char *verb = n > 1 ? words[0] : "";
    if (n <= 1) {
        offer_verbs(completion);
        offer_methods(completion);
    } else if (strchr(verb, '.')) {
        offer_params(completion, verb, words + 1);
    } else if (g_str_equal(verb, "help") && n == 2) {
        offer_methods(completion);
    } else if (g_str_equal(verb, "run")) {
        offer_names(completion, n == 2 ? "backupNg.getAllJobs" : "schedule.getAll");
    } else if (g_str_equal(verb, "rest")) {
        cli_complete_rest(completion->options, words + 1, n - 1);
    } else if (g_str_equal(verb, "config") && n == 2) {
        offer(completion, "export", "");
        offer(completion, "import", "");
    }
}

int cli_complete(CliOptions *options, char **words)
{
    unsigned n = g_strv_length(words);
    bool reachable = cli_config_complete(options, NULL);
    g_autoptr(CliClient) client = reachable ? cli_open(options, NULL) : NULL;
    Completion completion = { .client = client, .last = n ? words[n - 1] : "", .options = options };
    offer_for(&completion, words, n);
    return CLI_OK;
}
