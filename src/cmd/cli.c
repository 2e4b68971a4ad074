/* cadenza: every method of the server as a verb, and a few verbs of its own. */
#include "cmd/cli.h"
#include "cmd/repo.h"
#include "base/error.h"

#include <curl/curl.h>
#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const CliVerb cli_verbs[] = {
    { "objects", cli_objects, "[FILTER…]", "list objects: objects type:VM power_state:Running" },
    { "list-objects", cli_list_objects, "[--PROPERTY…] [name=value…]",
      "objects as JSON, by properties: list-objects --uuid type=VM", .own_options = true },
    { "run", cli_run, "JOB [SCHEDULE]", "run a backup job (by id or name) and follow it" },
    { "watch", cli_watch_objects, "", "print changes of objects as they happen" },
    { "rest", cli_rest, "get|post|put|patch|del PATH [name=value…] [--input FILE] [--output FILE]",
      "one request of the REST API: rest get vms fields=name_label", .own_options = true },
    { "list-methods", cli_list_methods, "[WORD]", "the methods of the server, with parameters" },
    { "list-commands", cli_list_methods, NULL, NULL },
    { "help", cli_help, "METHOD", "one method with its parameters" },
    { "login", cli_login, "URL USER", "sign in and remember the server", .offline = true },
    { "register", cli_login, NULL, NULL, .offline = true },
    { "logout", cli_logout, "", "end the remembered sign-in" },
    { "unregister", cli_logout, NULL, NULL },
    { "config", cli_transfer, "export [FILE] | import FILE",
      "the configuration as a file, as XO has it" },
    { "audit", cli_audit, "verify [FINGERPRINT] | fingerprint | export FILE | check FILE",
      "the log of who did what: check it, keep it, check what was kept" },
    { "completion", cli_completion, "bash|zsh", "what a shell evaluates to complete words",
      .offline = true },
    { "complete", cli_complete, NULL, NULL, .offline = true, .own_options = true },
    { NULL },
};

static const char help_head[] =
    "cadenza: the command line of a Cadenza server\n"
    "\n"
    "  cadenza [OPTIONS] METHOD name=value… [@=FILE]\n"
    "      call a method: vm.start id=…; files go to and come from FILE (- for a pipe)\n";

static const char help_tail[] =
    "  cadenza repo …\n"
    "      look into a repository, without a server\n"
    "\n"
    "Values: true and false are booleans; json:… is any JSON; numbers where the method wants one;\n"
    "anything else is text. Scripts for xo-cli run unchanged: --list-objects, --list-commands,\n"
    "--register and --unregister are verbs.\n"
    "\n"
    "  --url URL            the server, such as https://backup.example.org (CADENZA_URL)\n"
    "  --profile NAME       one of several servers that login remembers (CADENZA_PROFILE)\n"
    "  --token TOKEN        sign in with a token (better: CADENZA_TOKEN)\n"
    "  --otp CODE           the second factor of a sign-in with a password\n"
    "  --expiresIn TIME     how long a login lasts, such as \"30 days\"\n"
    "  --fingerprint HEX    trust exactly this certificate (SHA-256)\n"
    "  --insecure           trust any certificate; login keeps that for the server\n"
    "  --passphrase-file F  the passphrase that seals a configuration (CADENZA_PASSPHRASE)\n"
    "  --json               for programs: compact JSON, errors as JSON on stderr\n"
    "  --help, --version\n"
    "\n"
    "CADENZA_USER and CADENZA_PASSWORD sign in with a password.\n"
    "Exit status: 0 done, 1 the server said no, 2 wrong usage, 3 no connection.\n";

static void print_help(FILE *to)
{
    fputs(help_head, to);
    for (const CliVerb *verb = cli_verbs; verb->name; verb++)
        if (verb->summary)
            fprintf(to, "  cadenza [OPTIONS] %s%s%s\n      %s\n", verb->name,
                    *verb->words ? " " : "", verb->words, verb->summary);
    fputs(help_tail, to);
}

/* --- Options and dispatch --- */

/* Options with a value, and where it is kept. */
static const struct {
    const char *name;
    size_t place;
    const char *variable; /* of the environment, when the option is not given */
} with_value[] = {
    { "--url", offsetof(CliOptions, url), "CADENZA_URL" },
    { "--profile", offsetof(CliOptions, profile), "CADENZA_PROFILE" },
    { "--token", offsetof(CliOptions, token), "CADENZA_TOKEN" },
    { NULL, offsetof(CliOptions, user), "CADENZA_USER" },
    { NULL, offsetof(CliOptions, password), "CADENZA_PASSWORD" },
    { "--otp", offsetof(CliOptions, otp), NULL },
    { "--expiresIn", offsetof(CliOptions, expires_in), NULL },
    { "--passphrase-file", offsetof(CliOptions, passphrase_file), NULL },
    { "--fingerprint", offsetof(CliOptions, fingerprint), "CADENZA_FINGERPRINT" },
};

static char **place_of(CliOptions *options, unsigned i)
{
    return (char **) ((char *) options + with_value[i].place);
}

static void free_options(CliOptions *options)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(with_value); i++)
        g_free(*place_of(options, i));
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CliOptions, free_options)

static void read_environment(CliOptions *options)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(with_value); i++) {
        const char *value = with_value[i].variable ? g_getenv(with_value[i].variable) : NULL;
        if (value && *value)
            *place_of(options, i) = g_strdup(value);
    }
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

static bool take_option(CliOptions *options, char **argv, int argc, int *i, bool *insecure)
{
    static const char *const trusting[] = { "--insecure", "--allowUnauthorized", "--au", NULL };
    if (g_strv_contains(trusting, argv[*i]))
        return *insecure = true;
    if (g_str_equal(argv[*i], "--json"))
        return options->json = true;
    for (unsigned n = 0; n < G_N_ELEMENTS(with_value); n++)
        if (with_value[n].name &&
            take_value(argv, argc, i, with_value[n].name, place_of(options, n)))
            return true;
    return false;
}

static const CliVerb *find_verb(const char *word)
{
    for (const CliVerb *verb = cli_verbs; verb->name; verb++)
        if (g_str_equal(verb->name, word))
            return verb;
    return NULL;
}

/* xo-cli writes its first verbs as options. */
static char *as_verb(char *word)
{
    return find_verb(word + 2) ? word + 2 : NULL;
}

/* Sorts options from words; false after saying what is wrong. */
static bool parse(int argc, char **argv, CliOptions *options, GPtrArray *words)
{
    bool insecure = false;
    for (int i = 1; i < argc; i++) {
        const CliVerb *verb = words->len ? find_verb(words->pdata[0]) : NULL;
        if (!g_str_has_prefix(argv[i], "--")) {
            g_ptr_array_add(words, argv[i]);
        } else if (!words->len && as_verb(argv[i])) {
            g_ptr_array_add(words, as_verb(argv[i]));
        } else if (take_option(options, argv, argc, &i, &insecure)) {
            continue;
        } else if (verb && verb->own_options) {
            g_ptr_array_add(words, argv[MIN(i, argc - 1)]);
        } else {
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

static int dispatch(CliOptions *options, const char *word, char **words)
{
    g_autoptr(GError) error = NULL;
    const CliVerb *verb = find_verb(word);
    if (!verb && !strchr(word, '.')) {
        fprintf(stderr, "cadenza: %s is no verb; see cadenza --help\n", word);
        return CLI_USAGE;
    }
    if (!(verb && verb->offline) && !cli_config_complete(options, &error))
        return cli_print_error(options, error);
    return verb ? verb->run(options, words) : cli_call_method(options, word, words);
}

static bool asks(int argc, char **argv, const char *option)
{
    return argc > 1 && g_str_equal(argv[1], option);
}

/* Of a pipe. */
static bool reader_has_gone(void)
{
    struct pollfd out = { .fd = STDOUT_FILENO };
    return poll(&out, 1, 0) == 1 && out.revents & POLLERR;
}

/* An answer that could not be written is no success; a reader that has enough is. */
static int told(int status)
{
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || reader_has_gone())
        return status;
    fprintf(stderr, "cadenza: standard output: %s\n",
            errno ? g_strerror(errno) : "not all could be written");
    return status == CLI_OK ? CLI_REFUSED : status;
}

static int run(int argc, char **argv)
{
    if (asks(argc, argv, "repo"))
        return cmd_repo(argc - 1, argv + 1);
    if (asks(argc, argv, "--version")) {
        printf("cadenza %s\n", CADENZA_VERSION);
        return CLI_OK;
    }
    if (asks(argc, argv, "--help") || (argc == 2 && asks(argc, argv, "help"))) {
        print_help(stdout);
        return CLI_OK;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    g_auto(CliOptions) options = { 0 };
    read_environment(&options);
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    if (!parse(argc, argv, &options, words))
        return CLI_USAGE;
    if (words->len == 0) {
        print_help(stderr);
        return CLI_USAGE;
    }
    g_ptr_array_add(words, NULL);
    return dispatch(&options, words->pdata[0], (char **) words->pdata + 1);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    return told(run(argc, argv));
}
