/* The command line: what its verbs share. */
#pragma once

#include "http/client.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/* Exit statuses of `cadenza`. */
enum { CLI_OK = 0, CLI_REFUSED = 1, CLI_USAGE = 2, CLI_NO_CONNECTION = 3 };

/* How to reach the server and how to print; from options, the environment, and `cadenza login`. */
typedef struct {
    char *url;
    HttpTrust trust;
    char *fingerprint;
    char *token;
    char *user, *password;
    char *otp;             /* the second factor */
    char *profile;         /* which of the remembered servers */
    char *expires_in;      /* of the token that login makes, such as "30 days" */
    char *passphrase_file; /* of a configuration */
    bool json;             /* for programs: JSON on stdout, the error as one JSON line on stderr */
} CliOptions;

/* --- cli_config.c: what `cadenza login` keeps, 0600, in $XDG_CONFIG_HOME/cadenza/servers.json ---
 */

/* Fills what neither options nor environment gave. INVALID when no server is known at all. */
bool cli_config_complete(CliOptions *options, GError **error);
bool cli_config_save(const CliOptions *options, GError **error);
bool cli_config_forget(const CliOptions *options, GError **error);

/* --- cli_client.c: a signed-in connection --- */

typedef struct CliClient CliClient;

/* Connects, and signs in when there are credentials. */
CliClient *cli_open(const CliOptions *options, GError **error);
void cli_close(CliClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CliClient, cli_close)
/* Calls and waits; the reference of params is taken (NULL: none). NULL with *error for the
 * connection, or with *refusal ({code, message, data}, a new reference) from the server. */
json_t *cli_call(CliClient *client, const char *method, json_t *params, json_t **refusal,
                 GError **error);
/* The two halves: the id of the call, and its answer when it has come (within timeout_ms, 0: for
 * ever); other answers are kept for their own cli_receive. TIMEOUT. */
gint64 cli_send(CliClient *client, const char *method, json_t *params, GError **error);
json_t *cli_receive(CliClient *client, gint64 id, unsigned timeout_ms, json_t **refusal,
                    GError **error);
/* Calls back for each notification until the connection ends. */
void cli_watch(CliClient *client, void (*seen)(json_t *message, void *user), void *user,
               GError **error);

/* --- cli_params.c --- */

/* "name=value" words → params: true and false are booleans, "json:…" is parsed, digits become a
 * number where the method declares one (`schema`, may be NULL). INVALID names the word. */
json_t *cli_params(char **words, json_t *schema, GError **error);
/* Whether a word's meaning depends on the schema. */
bool cli_params_need_schema(char **words);

/* --- cli_print.c --- */

void cli_print(const CliOptions *options, json_t *value);
/* One line for each object. */
void cli_print_objects(const CliOptions *options, json_t *objects);
/* Prints an error of the server or of ours; the exit status. */
int cli_print_refusal(const CliOptions *options, const char *what, json_t *refusal);
int cli_print_error(const CliOptions *options, const GError *error);

/* --- cli_stream.c --- */

/* The address of a path that the server gave. */
char *cli_address(const CliOptions *options, const char *path);
/* A file, or "-" for standard output or input; -1 with an error. An output must not be there
 * before, and only its owner may read it. An input's size is -1 when it is not known. */
int cli_open_output(const char *path, GError **error);
int cli_open_input(const char *path, gint64 *n_bytes, GError **error);
/* Closes an output; one that is not `whole`, or cannot be made durable (an error), is removed. */
bool cli_close_output(int fd, const char *path, bool whole, GError **error);
bool cli_write(int fd, const char *bytes, gsize n);
ssize_t cli_read(int fd, void *data, size_t n, GError **error);
/* Moves a file from or to a one-time path of the server; "-" is standard output or input. What the
 * server answers to an upload is printed. The exit status; a file that could not be got whole is
 * removed, one that was there before is an error. */
int cli_download(const CliOptions *options, const char *from, const char *path);
int cli_upload(const CliOptions *options, const char *to, const char *path);

/* --- Verbs: words follow the verb, NULL-terminated; the exit status --- */

typedef struct {
    const char *name;
    int (*run)(CliOptions *options, char **words);
    const char *words, *summary; /* NULL: not for people */
    bool offline;                /* wants no server */
    bool own_options;            /* words that begin with -- are its own */
} CliVerb;

extern const CliVerb cli_verbs[]; /* the last has no name */

int cli_login(CliOptions *options, char **words);
int cli_logout(CliOptions *options, char **words);
int cli_objects(CliOptions *options, char **words);
int cli_list_objects(CliOptions *options, char **words);
int cli_watch_objects(CliOptions *options, char **words);
int cli_list_methods(CliOptions *options, char **words);
int cli_help(CliOptions *options, char **words);
/* cadenza config import|export */
int cli_transfer(CliOptions *options, char **words);
int cli_run(CliOptions *options, char **words);
int cli_rest(CliOptions *options, char **words);
/* What a path of REST answers, a new reference; NULL when it is no JSON, or nobody answers. */
json_t *cli_rest_get(const CliOptions *options, const char *path);
/* cadenza audit verify|fingerprint|export|check */
int cli_audit(CliOptions *options, char **words);
int cli_complete(CliOptions *options, char **words);
/* What the last of the n words that follow `cadenza rest` may become, a line each. */
void cli_complete_rest(const CliOptions *options, char **words, unsigned n);
int cli_completion(CliOptions *options, char **words);

/* --- cli_call.c --- */

int cli_call_method(const CliOptions *options, const char *method, char **words);
/* Prints what went wrong with a call, if anything; takes the refusal. */
int cli_finish(const CliOptions *options, const char *what, json_t *result, json_t *refusal,
               const GError *error);
