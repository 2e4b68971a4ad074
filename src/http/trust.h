/* Proxies and origins; private to the room. No I/O. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Networks ("10.0.0.0/8", "::1"); INVALID names the wrong one. NULL: none. */
GPtrArray *trust_new(const char *const *networks, GError **error);
bool trust_has(const GPtrArray *networks, const char *address);
/* The client's address, a copy, from that of the connection and X-Forwarded-For (may be NULL). */
char *trust_client(const GPtrArray *networks, const char *peer, const char *forwarded);
/* Whether a page of this origin ("https://host:port", NULL: no browser) may speak to `host`. */
bool trust_origin(const char *origin, const char *host, const char *const *allowed);
