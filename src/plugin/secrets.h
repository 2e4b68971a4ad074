/* The secrets in a configuration: text under a name such as password, token, passphrase or
 * encryptionKey, wherever it is nested. People see one fixed text instead, XO's; who sends that
 * text back means the secret that was there before. No I/O. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* A copy for people. */
json_t *secrets_hide(json_t *value);
/* A copy of what was sent with the secrets of `kept` (may be NULL) where they were hidden; NULL
 * with INVALID naming the place where none is kept. */
json_t *secrets_restore(json_t *sent, json_t *kept, GError **error);
