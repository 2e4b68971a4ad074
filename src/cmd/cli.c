/* cadenza: every method of the server as a verb, and a few verbs of its own. */
#include "cmd/cli.h"
#include "cmd/repo.h"
#include "base/error.h"

#include <curl/curl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const char help[] =
    "cadenza: the command line of a Cadenza server\n"
    "\n"
    "  cadenza [OPTIONS] METHOD name=value…      call a method: cadenza vm.start id=…\n"
    "  cadenza [OPTIONS] objects [FILTER…]       list objects: cadenza objects type:VM "
    "power_state:Running\n"
    "  cadenza [OPTIONS] run JOB [SCHEDULE]      run a backup job (by id or name) and follow it\n"
    "  cadenza [OPTIONS] watch                   print changes of objects as they happen\n"
    "  cadenza [OPTIONS] list-methods [WORD]     the methods of the server, with their parameters\n"
    "  cadenza [OPTIONS] help METHOD             one method with its parameters\n"
    "  cadenza [OPTIONS] login URL USER          sign in and remember the server\n"
    "  cadenza [OPTIONS] config export [FILE]    the configuration as a file, as XO has it\n"
    "  cadenza [OPTIONS] config import FILE      take in a configuration of this server or of XO\n"
    "  cadenza repo …                            look into a repository, without a server\n"
    "\n"
    "Values: true and false are booleans; json:… is any JSON; numbers where the method wants one;\n"
    "anything else is text.\n"
    "\n"
    "  --url URL            the server, such as https://backup.example.org (CADENZA_URL)\n"
    "  --token TOKEN        sign in with a token (better: CADENZA_TOKEN)\n"
    "  --fingerprint HEX    trust exactly this certificate (SHA-256)\n"
    "  --insecure           trust any certificate\n"
    "  --passphrase-file F  the passphrase that seals a configuration (CADENZA_PASSPHRASE)\n"
    "  --json               for programs: compact JSON, errors as JSON on stderr\n"
    "  --help, --version\n"
    "\n"
    "CADENZA_USER and CADENZA_PASSWORD sign in with a password.\n"
    "Exit status: 0 done, 1 the server said no, 2 wrong usage, 3 no connection.\n";

/* --- Verbs over one connection --- */

static int finish(const CliOptions *options, const char *what, json_t *result, json_t *refusal,
                  const GError *error)
{
    int status = CLI_OK;
    if (refusal)
        status = cli_print_refusal(options, what, refusal);
    else if (!result)
        status = cli_print_error(options, error);
    json_decref(refusal);
    return status;
}

static json_t *schema_of(CliClient *client, const char *method)
{
    json_t *refusal = NULL;
    json_t *signature = cli_call(client, "system.methodSignature",
                                 json_pack("{s:s}", "method", method), &refusal, NULL);
    json_t *schema = json_incref(json_object_get(json_array_get(signature, 0), "params"));
    json_decref(signature);
    json_decref(refusal);
    return schema;
}

static int call_method(const CliOptions *options, const char *method, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *schema = cli_params_need_schema(words) ? schema_of(client, method) : NULL;
    json_t *params = cli_params(words, schema, &error);
    json_decref(schema);
    if (!params)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *result = cli_call(client, method, params, &refusal, &error);
    int status = finish(options, method, result, refusal, error);
    if (status == CLI_OK)
        cli_print(options, result);
    json_decref(result);
    return status;
}

static int objects(const CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    g_autofree char *filter = g_strjoinv(" ", words);
    json_t *refusal = NULL;
    json_t *result = cli_call(client, "xo.getAllObjects", json_pack("{s:s}", "filter", filter),
                              &refusal, &error);
    int status = finish(options, "objects", result, refusal, error);
    if (status == CLI_OK)
        cli_print_objects(options, result);
    json_decref(result);
    return status;
}

static void print_type(json_t *type)
{
    size_t i;
    json_t *one;
    if (json_is_string(type))
        printf("%s", json_string_value(type));
    json_array_foreach (type, i, one)
        printf("%s%s", i ? "|" : "", json_string_value(one));
}

static void print_method(const char *name, json_t *info)
{
    const char *summary = json_string_value(json_object_get(info, "description"));
    const char *param;
    json_t *schema;
    printf("%s", name);
    json_object_foreach (json_object_get(info, "params"), param, schema) {
        bool optional = json_object_get(schema, "optional") || json_object_get(schema, "default");
        printf(optional ? " [%s=<" : " %s=<", param);
        print_type(json_object_get(schema, "type"));
        printf(optional ? ">]" : ">");
    }
    printf("\n    %s\n", summary ? summary : "");
}

static int list_methods(const CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *methods = cli_call(client, "system.getMethodsInfo", NULL, &refusal, &error);
    int status = finish(options, "list-methods", methods, refusal, error);
    const char *name;
    json_t *info;
    if (status == CLI_OK && options->json)
        cli_print(options, methods);
    else
        json_object_foreach (methods, name, info)
            if (!words[0] || strstr(name, words[0]))
                print_method(name, info);
    json_decref(methods);
    return status;
}

/* cadenza help METHOD */
static int help_method(const CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *signature = cli_call(client, "system.methodSignature",
                                 json_pack("{s:s*}", "method", words[0]), &refusal, &error);
    int status = finish(options, words[0], signature, refusal, error);
    if (status == CLI_OK)
        print_method(words[0], json_array_get(signature, 0));
    json_decref(signature);
    return status;
}

static void print_news(json_t *message, void *user)
{
    const CliOptions *options = user;
    json_t *params = json_object_get(message, "params");
    const char *type = json_string_value(json_object_get(params, "type"));
    const char *id;
    json_t *object;
    if (options->json)
        cli_print(options, message);
    else
        json_object_foreach (json_object_get(params, "items"), id, object) {
            const char *name = json_string_value(json_object_get(object, "name_label"));
            const char *class = json_string_value(json_object_get(object, "type"));
            printf("%-5s %-13s %s  %s\n", type ? type : "", class ? class : "", id,
                   name ? name : "");
        }
    fflush(stdout);
}

static int watch(const CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (client)
        cli_watch(client, print_news, (void *) options, &error);
    return cli_print_error(options, error);
}

/* --- Options and dispatch --- */

static const struct {
    const char *name;
    int (*run)(const CliOptions *options, char **words);
} verbs[] = {
    { "objects", objects },           { "run", cli_run },      { "watch", watch },
    { "list-methods", list_methods }, { "help", help_method }, { "config", cli_transfer },
};

static void free_options(CliOptions *options)
{
    g_free(options->url);
    g_free(options->passphrase_file);
    g_free(options->fingerprint);
    g_free(options->token);
    g_free(options->user);
    g_free(options->password);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CliOptions, free_options)

static char *environment(const char *name)
{
    const char *value = g_getenv(name);
    return value && *value ? g_strdup(value) : NULL;
}

/* "--url X" or "--url=X": the value is set and *i moves on; false: another option. */
static bool take_value(char **argv, int argc, int *i, const char *name, char **value)
{
    size_t n = strlen(name);
    if (!g_str_has_prefix(argv[*i], name) || (argv[*i][n] && argv[*i][n] != '='))
        return false;
    const char *given = argv[*i][n] ? argv[*i] + n + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    g_free(*value);
    *value = g_strdup(given);
    return given != NULL;
}

/* Sorts options from words; false after saying what is wrong. */
static bool parse(int argc, char **argv, CliOptions *options, GPtrArray *words)
{
    bool insecure = false;
    for (int i = 1; i < argc; i++) {
        if (!g_str_has_prefix(argv[i], "--")) {
            g_ptr_array_add(words, argv[i]);
        } else if (g_str_equal(argv[i], "--json")) {
            options->json = true;
        } else if (g_str_equal(argv[i], "--insecure")) {
            insecure = true;
        } else if (!take_value(argv, argc, &i, "--url", &options->url) &&
                   !take_value(argv, argc, &i, "--token", &options->token) &&
                   !take_value(argv, argc, &i, "--passphrase-file", &options->passphrase_file) &&
                   !take_value(argv, argc, &i, "--fingerprint", &options->fingerprint)) {
            fprintf(stderr, "cadenza: unknown or incomplete option %s; see cadenza --help\n",
                    argv[MIN(i, argc - 1)]);
            return false;
        }
    }
    options->trust = options->fingerprint ? HTTP_TRUST_FINGERPRINT
                     : insecure           ? HTTP_TRUST_ANY
                                          : HTTP_TRUST_SYSTEM;
    return true;
}

static int dispatch(CliOptions *options, const char *verb, char **words)
{
    g_autoptr(GError) error = NULL;
    if (g_str_equal(verb, "login"))
        return cli_login(options, words);
    if (!cli_config_complete(options, &error))
        return cli_print_error(options, error);
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++)
        if (g_str_equal(verb, verbs[i].name))
            return verbs[i].run(options, words);
    if (strchr(verb, '.'))
        return call_method(options, verb, words);
    fprintf(stderr, "cadenza: %s is no verb; see cadenza --help\n", verb);
    return CLI_USAGE;
}

static bool asks(int argc, char **argv, const char *option)
{
    return argc > 1 && g_str_equal(argv[1], option);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    if (asks(argc, argv, "repo"))
        return cmd_repo(argc - 1, argv + 1);
    if (asks(argc, argv, "--version")) {
        printf("cadenza %s\n", CADENZA_VERSION);
        return CLI_OK;
    }
    if (asks(argc, argv, "--help") || (argc == 2 && asks(argc, argv, "help"))) {
        fputs(help, stdout);
        return CLI_OK;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    g_auto(CliOptions) options = { .url = environment("CADENZA_URL"),
                                   .token = environment("CADENZA_TOKEN"),
                                   .user = environment("CADENZA_USER"),
                                   .password = environment("CADENZA_PASSWORD"),
                                   .fingerprint = environment("CADENZA_FINGERPRINT") };
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    if (!parse(argc, argv, &options, words))
        return CLI_USAGE;
    if (words->len == 0) {
        fputs(help, stderr);
        return CLI_USAGE;
    }
    g_ptr_array_add(words, NULL);
    return dispatch(&options, words->pdata[0], (char **) words->pdata + 1);
}
