/* A self-signed certificate, for a server that was given none. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Makes a P-256 key and a certificate for `common_name`, "localhost" and 127.0.0.1, valid ten
 * years, and writes both as PEM with mode 0600, each by an atomic rename, the key first. */
bool http_make_certificate(const char *cert_file, const char *key_file, const char *common_name,
                           GError **error);
