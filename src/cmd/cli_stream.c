/* Files to and from the one-time addresses of a server, as streams: they may be larger than memory.
 */
#include "cmd/cli.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_WORDS_BYTES = 64 * 1024 };

typedef struct {
    int fd, http;
    GString *words; /* what the server says instead of, or after, the data */
} Stream;

char *cli_address(const CliOptions *options, const char *path)
{
    g_autofree char *base = g_strdup(options->url);
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = 0;
    if (g_str_has_prefix(base, "ws"))
        return g_strdup_printf("http%s%s", base + 2, path);
    return g_strdup_printf("%s%s%s", strstr(base, "://") ? "" : "https://", base, path);
}

bool cli_write(int fd, const char *bytes, gsize n)
{
    while (n > 0) {
        ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        n -= (gsize) written;
    }
    return true;
}

static void see_status(const char *name, const char *value, void *user)
{
    Stream *stream = user;
    if (g_str_equal(name, ":status"))
        stream->http = (int) g_ascii_strtoll(value, NULL, 10);
}

static void hear(Stream *stream, const void *data, size_t n)
{
    if (stream->words->len + n <= MAX_WORDS_BYTES)
        g_string_append_len(stream->words, data, (gssize) n);
}

static bool take(const void *data, size_t n, void *user, GError **error)
{
    Stream *stream = user;
    if (stream->http != 200)
        hear(stream, data, n);
    else if (!cli_write(stream->fd, data, n)) {
        err_set_errno(error, errno, "writing the file");
        return false;
    }
    return true;
}

static bool listen_to(const void *data, size_t n, void *user, GError **error)
{
    hear(user, data, n);
    return true;
}

ssize_t cli_read(int fd, void *data, size_t n, GError **error)
{
    ssize_t got;
    do
        got = read(fd, data, n);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        err_set_errno(error, errno, "reading the file");
    return got;
}

static ssize_t give(void *data, size_t n, void *user, GError **error)
{
    Stream *stream = user;
    return cli_read(stream->fd, data, n, error);
}

/* The server's words as its refusal, when they are one. */
static int print_refused(const CliOptions *options, const Stream *stream)
{
    json_t *answer = json_loadb(stream->words->str, stream->words->len, 0, NULL);
    json_t *refusal = json_incref(json_object_get(answer, "error"));
    if (!json_is_object(refusal)) {
        json_decref(refusal);
        refusal = json_pack("{s:i, s:s+}", "code", stream->http, "message",
                            "the server refused the transfer: ", stream->words->str);
    }
    int status = cli_print_refusal(options, "transfer", refusal);
    json_decref(refusal);
    json_decref(answer);
    return status;
}

static bool is_pipe(const char *path)
{
    return g_str_equal(path, "-");
}

/* For its owner alone, as a configuration holds passwords; a file that is there stays. */
int cli_open_output(const char *path, GError **error)
{
    int fd = is_pipe(path) ? STDOUT_FILENO
                           : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        err_set_errno(error, errno, "%s", path);
    return fd;
}

int cli_open_input(const char *path, gint64 *n_bytes, GError **error)
{
    struct stat st;
    int fd = is_pipe(path) ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_set_errno(error, errno, "%s", path);
        return -1;
    }
    *n_bytes = S_ISREG(st.st_mode) ? st.st_size : -1;
    return fd;
}

bool cli_close_output(int fd, const char *path, bool whole, GError **error)
{
    if (is_pipe(path))
        return true;
    bool ok = !whole || fsync(fd) == 0 || errno == EINVAL;
    if (!ok)
        err_set_errno(error, errno, "writing %s", path);
    close(fd);
    if (!ok || !whole)
        unlink(path); /* half of a file looks like a whole one */
    return ok;
}

static void end(const char *path, Stream *stream)
{
    if (stream->fd >= 0 && !is_pipe(path))
        close(stream->fd);
    g_string_free(stream->words, TRUE);
}

static int download(const CliOptions *options, const char *url, Stream *stream)
{
    g_autoptr(GError) error = NULL;
    HttpCall call = { .url = url,
                      .trust = options->trust,
                      .fingerprint = options->fingerprint,
                      .sink = take,
                      .header_seen = see_status,
                      .user = stream };
    int http = http_call(&call, &error);
    if (error)
        return cli_print_error(options, error);
    return http == 200 ? CLI_OK : print_refused(options, stream);
}

int cli_download(const CliOptions *options, const char *from, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *url = cli_address(options, from);
    Stream stream = { .words = g_string_new(NULL), .fd = cli_open_output(path, &error) };
    int status = error ? cli_print_error(options, error) : download(options, url, &stream);
    if (!error && !cli_close_output(stream.fd, path, status == CLI_OK, &error))
        status = cli_print_error(options, error);
    g_string_free(stream.words, TRUE);
    return status;
}

/* Some methods answer here what a call would have answered. */
static int print_answer(const CliOptions *options, const Stream *stream)
{
    json_t *answer = json_loadb(stream->words->str, stream->words->len, 0, NULL);
    json_t *refusal = json_object_get(answer, "error"), *result = json_object_get(answer, "result");
    int status = CLI_OK;
    if (refusal)
        status = cli_print_refusal(options, "transfer", refusal);
    else if (result || answer)
        cli_print(options, result ? result : answer);
    else if (stream->words->len)
        printf("%s\n", stream->words->str);
    json_decref(answer);
    return status;
}

static int upload(const CliOptions *options, const char *url, gint64 n_bytes, Stream *stream)
{
    g_autoptr(GError) error = NULL;
    const char *const headers[] = { "Content-Type: application/octet-stream", NULL };
    HttpCall call = { .method = "POST",
                      .url = url,
                      .headers = headers,
                      .trust = options->trust,
                      .fingerprint = options->fingerprint,
                      .source = give,
                      .source_bytes = n_bytes,
                      .once = true,
                      .sink = listen_to,
                      .header_seen = see_status,
                      .user = stream };
    if (!http_call(&call, &error))
        return cli_print_error(options, error);
    return stream->http == 200 ? print_answer(options, stream) : print_refused(options, stream);
}

int cli_upload(const CliOptions *options, const char *to, const char *path)
{
    g_autoptr(GError) error = NULL;
    gint64 n_bytes = 0;
    g_autofree char *url = cli_address(options, to);
    Stream stream = { .words = g_string_new(NULL), .fd = cli_open_input(path, &n_bytes, &error) };
    int status = error ? cli_print_error(options, error) : upload(options, url, n_bytes, &stream);
    end(path, &stream);
    return status;
}
