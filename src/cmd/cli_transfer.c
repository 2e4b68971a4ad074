/* cadenza config: the configuration into a file, and from one. */
#include "cmd/cli.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE_BYTES = 64 * 1024 * 1024, MAX_ANSWER_BYTES = 64 * 1024 * 1024 };

/* The address of a path that the server gave. */
static char *address(const CliOptions *options, const char *path)
{
    g_autofree char *base = g_strdup(options->url);
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = 0;
    if (g_str_has_prefix(base, "ws"))
        return g_strdup_printf("http%s%s", base + 2, path);
    return g_strdup_printf("%s%s%s", strstr(base, "://") ? "" : "https://", base, path);
}

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
    char *url = path ? address(options, path) : NULL;
    if (refusal)
        *status = cli_print_refusal(options, method, refusal);
    else if (!path && place)
        err_set(error, ERR_PROTOCOL, "%s gave no address", method);
    json_decref(refusal);
    json_decref(place);
    return url;
}

/* --- Export --- */

static bool write_all(int fd, GBytes *data)
{
    gsize n, at = 0;
    const char *bytes = g_bytes_get_data(data, &n);
    while (at < n) {
        ssize_t written = write(fd, bytes + at, n - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += (gsize) written;
    }
    return true;
}

/* Into a new file, for its owner alone: it holds passwords. */
static bool save(GBytes *data, const char *path, GError **error)
{
    bool to_stdout = !path || g_str_equal(path, "-");
    int fd = to_stdout ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write_all(fd, data) && (to_stdout || fsync(fd) == 0);
    if (!ok)
        err_set_errno(error, errno, "writing %s", to_stdout ? "the configuration" : path);
    if (!to_stdout && fd >= 0)
        close(fd);
    return ok;
}

static int export_to(const CliOptions *options, const char *path)
{
    g_autoptr(GError) error = NULL;
    int status = CLI_OK;
    g_autofree char *url = ask(options, "xo.exportConfig", "$getFrom", &status, &error);
    if (!url)
        return status != CLI_OK ? status : cli_print_error(options, error);
    g_autoptr(GBytes) body = NULL;
    HttpCall call = { .url = url, .trust = options->trust, .fingerprint = options->fingerprint };
    int http = http_fetch(&call, MAX_ANSWER_BYTES, &body, &error);
    if (http && http != 200)
        err_set(&error, ERR_PROTOCOL, "the server answered %d", http);
    if (http != 200 || !save(body, path, &error))
        return cli_print_error(options, error);
    return CLI_OK;
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

static const char *text_of(json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "";
}

static void print_lines(json_t *lines, const char *title, const char *key)
{
    size_t i;
    json_t *line;
    if (json_array_size(lines) > 0)
        printf("\n%s\n", title);
    json_array_foreach (lines, i, line) {
        const char *name = text_of(line, "name"), *id = text_of(line, "id");
        printf("  %s%s%s%s%s: %s\n", text_of(line, "entry"), *name ? " " : "", name, *id ? " " : "",
               id, text_of(line, key));
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
    g_autofree char *url = file ? ask(options, "xo.importConfig", "$sendTo", &status, &error)
                                : NULL;
    if (!url)
        return status != CLI_OK ? status : cli_print_error(options, error);
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

int cli_transfer(const CliOptions *options, char **words)
{
    if (words[0] && g_str_equal(words[0], "export"))
        return export_to(options, words[1]);
    if (words[0] && words[1] && g_str_equal(words[0], "import"))
        return import_from(options, words[1]);
    fputs("cadenza: config import FILE, or config export [FILE]; see cadenza --help\n", stderr);
    return CLI_USAGE;
}
