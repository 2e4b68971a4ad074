/* cadenza login URL USER: makes a token of one's own and keeps it; logout ends it. */
#include "cmd/cli.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static char *read_line(FILE *from)
{
    char line[4096];
    if (!fgets(line, sizeof line, from))
        return NULL;
    line[strcspn(line, "\r\n")] = 0;
    return g_strdup(line);
}

/* From the terminal without echo, else a line of stdin. */
static char *ask_password(const char *user)
{
    struct termios shown, hidden;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &shown) != 0)
        return read_line(stdin);
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t) ECHO;
    fprintf(stderr, "Password of %s: ", user);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    char *password = read_line(stdin);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    fprintf(stderr, "\n");
    return password;
}

/* A person may confirm a certificate that nobody vouches for. */
static bool confirm(CliOptions *options, const GError *error)
{
    const char *const *detail = err_detail(error);
    if (!err_is(error, ERR_TLS) || !detail || !detail[0] || !isatty(STDIN_FILENO) ||
        options->trust != HTTP_TRUST_SYSTEM)
        return false;
    fprintf(stderr,
            "%s.\nIs that the server's own certificate? Type yes to trust it: ", error->message);
    g_autofree char *answer = read_line(stdin);
    if (g_strcmp0(answer, "yes") != 0)
        return false;
    options->trust = HTTP_TRUST_FINGERPRINT;
    options->fingerprint = g_strdup(detail[0]);
    return true;
}

static CliClient *open_trusted(CliOptions *options, GError **error)
{
    g_autoptr(GError) failure = NULL;
    CliClient *client = cli_open(options, &failure);
    if (!client && confirm(options, failure))
        return cli_open(options, error);
    if (!client)
        g_propagate_error(error, g_steal_pointer(&failure));
    return client;
}

static void set(char **place, const char *value)
{
    g_free(*place);
    *place = g_strdup(value);
}

/* The password is the third word only for the scripts of xo-cli: others see it there. */
static bool take_words(CliOptions *options, char **words)
{
    if (!words[0] || !words[1] || (words[2] && words[3])) {
        fprintf(stderr, "usage: cadenza login URL USER   (password: terminal, stdin or "
                        "CADENZA_PASSWORD)\n");
        return false;
    }
    set(&options->url, words[0]);
    set(&options->user, words[1]);
    g_clear_pointer(&options->token, g_free);
    if (words[2])
        set(&options->password, words[2]);
    else if (!options->password)
        options->password = ask_password(options->user);
    return true;
}

int cli_login(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    if (!take_words(options, words))
        return CLI_USAGE;
    g_autoptr(CliClient) client = open_trusted(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *token = cli_call(client, "token.create",
                             json_pack("{s:s, s:s*}", "description", "cadenza command line",
                                       "expiresIn", options->expires_in),
                             &refusal, &error);
    int status = CLI_OK;
    if (refusal)
        status = cli_print_refusal(options, "token.create", refusal);
    options->token = g_strdup(json_string_value(token));
    if (error || (status == CLI_OK && !cli_config_save(options, &error)))
        status = cli_print_error(options, error);
    if (status == CLI_OK)
        fprintf(stderr, "Signed in to %s as %s.\n", options->url, options->user);
    json_decref(refusal);
    json_decref(token);
    return status;
}

int cli_logout(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    json_t *refusal = NULL;
    json_t *done = client
                       ? cli_call(client, "token.deleteOwn",
                                  json_pack("{s:[s]}", "tokens", options->token), &refusal, &error)
                       : NULL;
    json_decref(done);
    if (refusal) {
        int status = cli_print_refusal(options, "logout", refusal);
        json_decref(refusal);
        return status;
    }
    /* A token that the server does not know any more has ended, too. */
    if (error && !err_is(error, ERR_BAD_LOGIN))
        return cli_print_error(options, error);
    g_clear_error(&error);
    if (!cli_config_forget(options, &error))
        return cli_print_error(options, error);
    fprintf(stderr, "Signed out of %s.\n", options->url);
    return CLI_OK;
}
