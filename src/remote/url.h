/* XO's remote URLs, taken apart and put together again: <scheme>://[<user>:<password>@]<rest>
 * [?<option>=<JSON, percent-encoded>&…][#<region>]. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct {
    char *scheme;              /* "file", "s3+http" */
    char *username, *password; /* decoded; NULL where there are none */
    char *path;                /* file: "/abs/path"; else host and path as written */
    char *region;              /* NULL: none */
    bool read_only;            /* not of the text: how the place is opened */
    json_t *options;           /* object, in the order written */
} RemoteUrl;

/* INVALID names what is wrong, without the secrets. */
RemoteUrl *remote_url_parse(const char *text, GError **error);
RemoteUrl *remote_url_copy(const RemoteUrl *url);
/* As XO writes it. */
char *remote_url_format(const RemoteUrl *url);
/* Replaces the password and the encryption key by XO's placeholder. */
void remote_url_obfuscate(RemoteUrl *url);
void remote_url_free(RemoteUrl *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RemoteUrl, remote_url_free)

/* What XO puts in the place of a secret. */
#define REMOTE_OBFUSCATED "obfuscated-q3oi6d9X8uenGvdLnHk2"
