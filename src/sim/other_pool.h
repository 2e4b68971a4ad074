/* Calls to another simulated pool, as any client makes them. Without the lock. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* `url` ends with a slash. The array of params lacks the session (NULL: the method wants none) and
 * is taken. NULL with that pool's refusal (ERR_XAPI), or with what the transport says. */
json_t *other_pool_ask(const char *url, const char *session, const char *method, json_t *params,
                       GError **error);
