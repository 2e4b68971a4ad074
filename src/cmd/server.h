/* `cadenzad`: what its files share. */
#pragma once

#include "account/account.h"
#include "api/pace.h"
#include "base/log.h"
#include "http/server.h"

#include <glib.h>
#include <stdbool.h>

typedef struct {
    char *data;
    char **listen; /* "ADDRESS:PORT", at least one unless sockets were passed */
    bool insecure_http;
    char *cert_file, *key_file; /* NULL: made in the data folder */
    char *admin_password_file;
    bool reset_admin;
    bool show_all;     /* objects, to everybody who is signed in */
    int cloud_drive_s; /* how long a cloud-init drive that is to go stays, once the guest reports */
    unsigned host_wait_ms; /* how long hosts are waited for; 0: each as long as it may take */
    LogLevel log_level;
    PaceConfig pace;
    HttpServerConfig http; /* limits; the rest is not of the options */
    char **proxies, **origins;
    int first_fd; /* sockets passed by systemd: [first_fd, first_fd + n_fds) */
    unsigned n_fds;
} ServerOptions;

/* Exit status when it should end now (help, version, wrong usage), -1 to go on. */
int server_options_parse(int argc, char **argv, ServerOptions *options);
void server_options_clear(ServerOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ServerOptions, server_options_clear)

/* --- server_first.c: what the first start makes --- */

/* The certificate in the data folder, made when absent; fills the options' files. */
bool server_certificate(ServerOptions *options, GError **error);
/* The first administrator, with the password of the file, or one that is told. */
bool server_first_admin(const ServerOptions *options, Accounts *accounts, GError **error);
/* --reset-admin: sets that password anew and tells it. */
bool server_reset_admin(const ServerOptions *options, Accounts *accounts, GError **error);
