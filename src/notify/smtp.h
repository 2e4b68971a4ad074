/* Handing a message to a server of e-mail, by libcurl. */
#pragma once

#include "base/cancel.h"

#include <glib.h>
#include <stdbool.h>

typedef enum {
    SMTP_UPGRADE, /* encrypted when the server offers it (STARTTLS) */
    SMTP_FORCE,   /* encrypted, or nothing is sent */
    SMTP_PLAIN,   /* never encrypted */
    SMTP_TLS,     /* from the first byte on */
} SmtpSecurity;

typedef struct {
    const char *host;
    unsigned port; /* 0: 25, or 465 with SMTP_TLS */
    SmtpSecurity security;
    bool trust_any;              /* the certificate is not verified */
    const char *name;            /* what this side calls itself; NULL: the name of the machine */
    const char *user, *password; /* NULL: nobody signs in */
} SmtpServer;

/* Blocks, at most two minutes. True: the server has taken it for every recipient. Else NETWORK,
 * TLS, BAD_LOGIN, TIMEOUT, CANCELLED, or PROTOCOL with the server's words; the message names the
 * server, never the password. `to`: addresses, NULL-terminated. */
bool smtp_send(const SmtpServer *server, const char *from, const char *const *to, GBytes *message,
               Cancel *cancel, GError **error);
