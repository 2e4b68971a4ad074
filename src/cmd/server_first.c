/* The first start: a certificate, and an administrator whose password is told once. */
#include "cmd/server.h"
#include "base/durable.h"
#include "base/error.h"
#include "http/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool server_certificate(ServerOptions *options, GError **error)
{
    if (options->cert_file)
        return true;
    options->cert_file = g_build_filename(options->data, "certificate.pem", NULL);
    options->key_file = g_build_filename(options->data, "key.pem", NULL);
    if (g_file_test(options->cert_file, G_FILE_TEST_EXISTS) &&
        g_file_test(options->key_file, G_FILE_TEST_EXISTS))
        return true;
    log_info("server", "making a self-signed certificate: %s", options->cert_file);
    return http_make_certificate(options->cert_file, options->key_file, g_get_host_name(), error);
}

/* The first line, or NULL without a file; *ok tells these apart from an error. */
static char *password_of_file(const ServerOptions *options, bool *ok, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autofree char *text = NULL;
    *ok = true;
    if (!options->admin_password_file)
        return NULL;
    if (!g_file_get_contents(options->admin_password_file, &text, NULL, &cause)) {
        err_set(error, ERR_INVALID, "--admin-password-file: %s", cause->message);
        *ok = false;
        return NULL;
    }
    text[strcspn(text, "\r\n")] = 0;
    if (!*text) {
        err_set(error, ERR_INVALID, "--admin-password-file: %s has no first line",
                options->admin_password_file);
        *ok = false;
        return NULL;
    }
    return g_steal_pointer(&text);
}

/* Into DIR/initial-password, 0600, durable before it is needed. */
static bool write_password(const ServerOptions *options, const char *password, GError **error)
{
    g_autofree char *path = g_build_filename(options->data, "initial-password", NULL);
    g_autofree char *text = g_strdup_printf("admin@admin.net %s\n", password);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text) && fsync(fd) == 0;
    if (!ok)
        err_set_errno(error, errno, "writing %s", path);
    if (fd >= 0)
        close(fd);
    ok = ok && durable_sync_folder(options->data, error);
    if (ok)
        log_info("server", "the first administrator's password is in %s", path);
    return ok;
}

static void tell_terminal(const char *password)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\n    Sign in as  admin@admin.net\n    Password    %s\n\n", password);
}

static bool tell(const ServerOptions *options, const char *password, GError **error)
{
    if (!password)
        return true;
    if (!write_password(options, password, error))
        return false;
    tell_terminal(password);
    return true;
}

bool server_first_admin(const ServerOptions *options, Accounts *accounts, GError **error)
{
    bool ok;
    g_autofree char *given = password_of_file(options, &ok, error);
    g_autofree char *made = NULL;
    return ok && account_begin_first_admin(accounts, given, &made, error) &&
           tell(options, made, error);
}

bool server_reset_admin(const ServerOptions *options, Accounts *accounts, GError **error)
{
    bool ok;
    g_autofree char *given = password_of_file(options, &ok, error);
    g_autofree char *made = NULL;
    return ok && account_reset_admin(accounts, given, &made, error) && tell(options, made, error);
}
