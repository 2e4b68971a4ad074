/* cadenza config: the configuration into a file, and from one. */
#include "cmd/cli.h"
#include "base/error.h"
#include "base/json_text.h"

#include <stdio.h>
#include <string.h>

enum { MAX_FILE_BYTES = 64 * 1024 * 1024, MAX_ANSWER_BYTES = 64 * 1024 * 1024 };

/* The first line of a file, or CADENZA_PASSPHRASE: never an argument, which others could see. */
static bool read_passphrase(const CliOptions *options, char **passphrase, GError **error)
{
    const char *variable = g_getenv("CADENZA_PASSPHRASE");
    *passphrase = NULL;
    if (!options->passphrase_file) {
        *passphrase = variable && *variable ? g_strdup(variable) : NULL;
        return true;
    }
    g_autoptr(GError) failure = NULL;
    if (!g_file_get_contents(options->passphrase_file, passphrase, NULL, &failure)) {
        err_set(error, ERR_INVALID, "the passphrase: %s", failure->message);
        return false;
    }
    (*passphrase)[strcspn(*passphrase, "\r\n")] = 0;
    if (**passphrase)
        return true;
    err_set(error, ERR_INVALID, "%s: there is no passphrase in it", options->passphrase_file);
    return false;
}

static void forget(char *passphrase)
{
    if (passphrase)
        explicit_bzero(passphrase, strlen(passphrase));
    g_free(passphrase);
}

/* Asks for an address that works once: the path under `key`. */
static char *ask(const CliOptions *options, const char *method, const char *key, int *status,
                 GError **error)
{
    char *passphrase = NULL;
    g_autoptr(CliClient) client = NULL;
    if (!read_passphrase(options, &passphrase, error) || !(client = cli_open(options, error))) {
        forget(passphrase);
        return NULL;
    }
    json_t *refusal = NULL;
    json_t *place =
        cli_call(client, method, json_pack("{s:s*}", "passphrase", passphrase), &refusal, error);
    forget(passphrase);
    const char *path = json_string_value(json_object_get(place, key));
    char *found = g_strdup(path);
    if (refusal)
        *status = cli_print_refusal(options, method, refusal);
    else if (!path && place)
        err_set(error, ERR_PROTOCOL, "%s gave no address", method);
    json_decref(refusal);
    json_decref(place);
    return found;
}

/* --- Export --- */

static int export_to(const CliOptions *options, const char *path)
{
    g_autoptr(GError) error = NULL;
    int status = CLI_OK;
    g_autofree char *from = ask(options, "xo.exportConfig", "$getFrom", &status, &error);
    if (!from)
        return status != CLI_OK ? status : cli_print_error(options, error);
    return cli_download(options, from, path ? path : "-");
}

/* --- Import --- */

static GBytes *read_file(const char *path, GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *data = NULL;
    gsize n = 0;
    if (!g_file_get_contents(g_str_equal(path, "-") ? "/dev/stdin" : path, &data, &n, &failure)) {
        err_set(error, ERR_INVALID, "%s", failure->message);
        return NULL;
    }
    if (n <= MAX_FILE_BYTES)
        return g_bytes_new_take(data, n);
    g_free(data);
    err_set(error, ERR_LIMIT, "%s has %zu bytes, %d are allowed", path, n, MAX_FILE_BYTES);
    return NULL;
}

static void print_lines(json_t *lines, const char *title, const char *key)
{
    size_t i;
    json_t *line;
    if (json_array_size(lines) > 0)
        printf("\n%s\n", title);
    json_array_foreach (lines, i, line) {
        const char *name = json_text(line, "name"), *id = json_text(line, "id");
        printf("  %s%s%s%s%s: %s\n", json_text(line, "entry"), *name ? " " : "", name,
               *id ? " " : "", id, json_text(line, key));
    }
}

static void print_report(json_t *report)
{
    static const char *const columns[] = { "added", "changed", "same", "notTaken" };
    const char *name;
    json_t *entry;
    printf("%-14s %8s %8s %8s %10s\n", "", "added", "changed", "same", "not taken");
    json_object_foreach (json_object_get(report, "entries"), name, entry) {
        printf("%-14s", name);
        for (unsigned i = 0; i < G_N_ELEMENTS(columns); i++)
            printf(" %*" JSON_INTEGER_FORMAT, i < 3 ? 8 : 10,
                   json_integer_value(json_object_get(entry, columns[i])));
        printf("\n");
    }
    print_lines(json_object_get(report, "notTaken"), "Not taken:", "reason");
    print_lines(json_object_get(report, "notes"), "To know:", "note");
}

static int print_answer(const CliOptions *options, int http, GBytes *body)
{
    json_t *answer = json_loadb(g_bytes_get_data(body, NULL), g_bytes_get_size(body), 0, NULL);
    json_t *refusal = json_object_get(answer, "error");
    int status = CLI_OK;
    if (http != 200 || !answer) {
        json_t *unknown = json_pack("{s:i, s:s}", "code", http, "message", "the server refused");
        status = cli_print_refusal(options, "config import", refusal ? refusal : unknown);
        json_decref(unknown);
    } else if (options->json) {
        cli_print(options, answer);
    } else {
        print_report(answer);
    }
    json_decref(answer);
    return status;
}

static int import_from(const CliOptions *options, const char *path)
{
    g_autoptr(GError) error = NULL;
    int status = CLI_OK;
    g_autoptr(GBytes) file = read_file(path, &error);
    g_autofree char *to = file ? ask(options, "xo.importConfig", "$sendTo", &status, &error) : NULL;
    if (!to)
        return status != CLI_OK ? status : cli_print_error(options, error);
    g_autofree char *url = cli_address(options, to);
    g_autoptr(GBytes) body = NULL;
    const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
    HttpCall call = { .method = "POST",
                      .url = url,
                      .headers = headers,
                      .trust = options->trust,
                      .fingerprint = options->fingerprint,
                      .body = g_bytes_get_data(file, NULL),
                      .body_bytes = g_bytes_get_size(file),
                      .once = true };
    int http = http_fetch(&call, MAX_ANSWER_BYTES, &body, &error);
    return http ? print_answer(options, http, body) : cli_print_error(options, error);
}

int cli_transfer(CliOptions *options, char **words)
{
    if (words[0] && g_str_equal(words[0], "export"))
        return export_to(options, words[1]);
    if (words[0] && words[1] && g_str_equal(words[0], "import"))
        return import_from(options, words[1]);
    fputs("cadenza: config import FILE, or config export [FILE]; see cadenza --help\n", stderr);
    return CLI_USAGE;
}
