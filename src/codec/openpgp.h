/* OpenPGP messages that a passphrase opens: what XO makes of a configuration export when it is
 * given one. Binary, AES in CFB with the integrity code of RFC 4880 §5.13; keys and signatures are
 * not known here. Nothing blocks, except that a passphrase takes some hundredths of a second.
 * Source: RFC 4880, which RFC 9580 keeps readable. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Whether it begins like such a message (JSON and gzip do not). */
bool openpgp_is_sealed(const void *data, gsize n);
/* What the passphrase opens. DENIED: another passphrase; CORRUPT; UNSUPPORTED: what is used in it;
 * LIMIT: longer than max. */
GBytes *openpgp_open(const void *data, gsize n, const char *passphrase, gsize max, GError **error);
/* AES-256, the key from 16 MiB of SHA-256, as XO itself seals. */
GBytes *openpgp_seal(const void *data, gsize n, const char *passphrase, GError **error);
