/* Options of `cadenzad`, from the command line and from systemd. */
#include "cmd/server.h"
#include "api/methods/vm_cloud.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTEN_FDS_START = 3, MAX_LISTEN_FDS = 64 };

#define DEFAULT_LISTEN "0.0.0.0:8443"

static const char *host_of(const char *address, char **copy)
{
    const char *colon = strrchr(address, ':');
    *copy = colon ? g_strndup(address, (gsize) (colon - address)) : g_strdup(address);
    return *copy;
}

static bool is_loopback(const char *address)
{
    g_autofree char *copy = NULL;
    const char *host = host_of(address, &copy);
    return g_str_has_prefix(host, "127.") || g_str_equal(host, "[::1]") ||
           g_str_equal(host, "localhost");
}

/* Passwords must not travel in clear over a network. */
static bool check_loopback(const ServerOptions *options)
{
    for (unsigned i = 0; options->insecure_http && options->listen[i]; i++)
        if (!is_loopback(options->listen[i])) {
            fprintf(stderr,
                    "cadenzad: --insecure-http is for loopback addresses only, not %s: passwords "
                    "would travel in clear\n",
                    options->listen[i]);
            return false;
        }
    if (options->insecure_http && options->n_fds) {
        fprintf(stderr, "cadenzad: --insecure-http does not go with passed sockets\n");
        return false;
    }
    return true;
}

/* sd_listen_fds(3): sockets are ours when LISTEN_PID is us. */
static void take_passed_sockets(ServerOptions *options)
{
    const char *pid = g_getenv("LISTEN_PID"), *n = g_getenv("LISTEN_FDS");
    guint64 n_fds = 0;
    if (pid && n && g_ascii_strtoll(pid, NULL, 10) == getpid() &&
        g_ascii_string_to_unsigned(n, 10, 0, MAX_LISTEN_FDS, &n_fds, NULL))
        options->n_fds = (unsigned) n_fds;
    options->first_fd = LISTEN_FDS_START;
    g_unsetenv("LISTEN_PID");
    g_unsetenv("LISTEN_FDS");
    g_unsetenv("LISTEN_FDNAMES");
}

static int wrong(const char *text)
{
    fprintf(stderr, "cadenzad: %s\n", text);
    return 2;
}

/* --limit NAME=NUMBER */
static const struct {
    const char *name;
    size_t offset;
    bool wide; /* 64 bits, else an unsigned */
    guint64 max;
} limits[] = {
    { "header-bytes", offsetof(ServerOptions, http.max_header_bytes), true, 1 << 20 },
    { "body-bytes", offsetof(ServerOptions, http.max_body_bytes), true, G_MAXINT64 },
    { "connections", offsetof(ServerOptions, http.max_connections), false, 1000000 },
    { "connections-per-address", offsetof(ServerOptions, http.max_per_address), false, 1000000 },
    { "header-timeout-ms", offsetof(ServerOptions, http.header_timeout_ms), false, 3600000 },
    { "body-timeout-ms", offsetof(ServerOptions, http.body_timeout_ms), false, 3600000 },
    { "idle-timeout-ms", offsetof(ServerOptions, http.idle_timeout_ms), false, 3600000 },
    { "send-timeout-ms", offsetof(ServerOptions, http.send_timeout_ms), false, 3600000 },
    { "calls-per-user", offsetof(ServerOptions, pace.user_rate), false, 1000000 },
    { "calls-per-address", offsetof(ServerOptions, pace.address_rate), false, 1000000 },
    { "host-wait-ms", offsetof(ServerOptions, host_wait_ms), false, 24 * 3600000 },
};
G_STATIC_ASSERT(sizeof(size_t) == sizeof(guint64));

static bool take_limit(ServerOptions *options, const char *text)
{
    g_auto(GStrv) pair = g_strsplit(text, "=", 2);
    guint64 value;
    for (unsigned i = 0; pair[0] && pair[1] && i < G_N_ELEMENTS(limits); i++) {
        if (!g_str_equal(limits[i].name, pair[0]) ||
            !g_ascii_string_to_unsigned(pair[1], 10, 1, limits[i].max, &value, NULL))
            continue;
        char *at = (char *) options + limits[i].offset;
        if (limits[i].wide)
            *(guint64 *) (void *) at = value;
        else
            *(unsigned *) (void *) at = (unsigned) value;
        options->http.limit_loopback |= g_str_equal(pair[0], "connections-per-address");
        return true;
    }
    fprintf(stderr, "cadenzad: --limit %s: expected NAME=NUMBER, with one of these names:", text);
    for (unsigned i = 0; i < G_N_ELEMENTS(limits); i++)
        fprintf(stderr, " %s", limits[i].name);
    fprintf(stderr, "\n");
    return false;
}

static int check(ServerOptions *options, const char *level)
{
    if (options->cloud_drive_s < 0)
        return wrong("--cloud-drive-delay is a number of seconds from 0");
    if (!options->data)
        return wrong("--data DIR is needed: where the state lives");
    if (!log_parse_level(level ? level : "info", &options->log_level))
        return wrong("--log-level is one of error, warning, info, debug");
    if (!options->cert_file != !options->key_file)
        return wrong("--certificate and --key go together");
    if (!options->listen && !options->n_fds) {
        options->listen = g_new0(char *, 2);
        options->listen[0] = g_strdup(DEFAULT_LISTEN);
    } else if (!options->listen) {
        options->listen = g_new0(char *, 1);
    }
    return check_loopback(options) ? -1 : 2;
}

int server_options_parse(int argc, char **argv, ServerOptions *options)
{
    gboolean insecure = FALSE, reset = FALSE, version = FALSE, show_all = FALSE, deflate = FALSE;
    g_autofree char *level = NULL;
    g_auto(GStrv) given = NULL;
    const GOptionEntry entries[] = {
        { "data", 0, 0, G_OPTION_ARG_FILENAME, &options->data, "Where the state lives", "DIR" },
        { "listen", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->listen,
          "Listen here (several times; port 0: any; default " DEFAULT_LISTEN ")", "ADDR:PORT" },
        { "insecure-http", 0, 0, G_OPTION_ARG_NONE, &insecure, "No TLS; loopback only", NULL },
        { "certificate", 0, 0, G_OPTION_ARG_FILENAME, &options->cert_file,
          "PEM; default: a self-signed one in DIR", "FILE" },
        { "key", 0, 0, G_OPTION_ARG_FILENAME, &options->key_file, "PEM", "FILE" },
        { "admin-password-file", 0, 0, G_OPTION_ARG_FILENAME, &options->admin_password_file,
          "First line: the first administrator's password", "FILE" },
        { "reset-admin", 0, 0, G_OPTION_ARG_NONE, &reset,
          "Give the first administrator a new password, and end", NULL },
        { "all-objects-visible", 0, 0, G_OPTION_ARG_NONE, &show_all,
          "Show all objects to whoever is signed in, as Xen Orchestra does", NULL },
        { "cloud-drive-delay", 0, 0, G_OPTION_ARG_INT, &options->cloud_drive_s,
          "How long a new machine keeps a cloud-init drive that is to go, once its tools report "
          "(default 300)",
          "SECONDS" },
        { "limit", 0, 0, G_OPTION_ARG_STRING_ARRAY, &given,
          "A limit of the HTTP server, such as connections=4096 (several times)", "NAME=NUMBER" },
        { "trusted-proxy", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->proxies,
          "Believe the forwarding headers of this proxy (several times)", "ADDRESS[/BITS]" },
        { "websocket-deflate", 0, 0, G_OPTION_ARG_NONE, &deflate,
          "Compress the messages of WebSockets whose clients offer it", NULL },
        { "allow-origin", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->origins,
          "Pages from here may open WebSockets too (several times)", "ORIGIN" },
        { "log-level", 0, 0, G_OPTION_ARG_STRING, &level, "error, warning, info or debug",
          "LEVEL" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Print the version", NULL },
        { NULL }
    };
    options->cloud_drive_s = VM_CLOUD_DELAY_MS / 1000;
    g_autoptr(GOptionContext) context = g_option_context_new("- the Cadenza server");
    g_autoptr(GError) error = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error))
        return wrong(error->message);
    if (version) {
        printf("cadenzad %s\n", CADENZA_VERSION);
        return 0;
    }
    if (argc > 1)
        return wrong("words that are no options are not understood; see --help");
    options->insecure_http = insecure;
    options->reset_admin = reset;
    options->show_all = show_all;
    options->http.websocket_deflate = deflate;
    for (unsigned i = 0; given && given[i]; i++)
        if (!take_limit(options, given[i]))
            return 2;
    take_passed_sockets(options);
    return check(options, level);
}

void server_options_clear(ServerOptions *options)
{
    g_free(options->data);
    g_strfreev(options->listen);
    g_free(options->cert_file);
    g_free(options->key_file);
    g_free(options->admin_password_file);
    g_strfreev(options->proxies);
    g_strfreev(options->origins);
}
