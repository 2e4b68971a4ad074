/* A message of e-mail as text (RFC 5322, MIME): plain text and attachments. No I/O.
 *
 * Names, subjects and file names are any UTF-8, encoded where the format wants that; what would end
 * a header line and begin another becomes a blank. */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum { MAIL_MAX_RECIPIENTS = 100, MAIL_MAX_ADDRESS_BYTES = 254 };

typedef struct {
    const char *name; /* of the file */
    const char *type; /* "text/plain" */
    const void *data;
    gsize n_bytes;
} MailAttachment;

typedef struct {
    const char *from, *from_name; /* an address; a person or program, may be NULL */
    const char *const *to;        /* addresses, NULL-terminated */
    const char *subject, *text;
    const MailAttachment *attachments;
    unsigned n_attachments;
} Mail;

/* Whether it is one bare ASCII address, "name@domain"; INVALID names it. */
bool mail_check_address(const char *address, GError **error);
/* The addresses of "a@b, c@d"; NULL with INVALID. */
char **mail_addresses(const char *text, GError **error);
/* The whole message, lines end with CRLF; INVALID names a wrong address. */
GBytes *mail_write(const Mail *mail, GError **error);
