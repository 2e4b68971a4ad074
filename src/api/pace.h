/* How many calls a second are taken: of each user, from each address, on each connection. Each has
 * a bucket of PACE_BURST_S seconds' worth of calls, which fills again at its rate; who finds it
 * empty is refused and told when to come back. Thread-safe. */
#pragma once

#include "base/bucket.h"

#include <glib.h>
#include <stdbool.h>

enum { PACE_BURST_S = 10, PACE_USER_RATE = 1000, PACE_ADDRESS_RATE = 2000 };

/* Calls a second; 0: the ones above. */
typedef struct {
    unsigned user_rate, address_rate;
} PaceConfig;

typedef struct Pace Pace;

Pace *pace_new(const PaceConfig *config);
void pace_free(Pace *pace);

/* Takes one call; false: refused, and SERVICE_UNAVAILABLE with {retryAfter: seconds} is set.
 * `user`, `address` and `connection` may be NULL: it has none, or was counted already. */
bool pace_take(Pace *pace, const char *user, const char *address, Bucket *connection, gint64 now_us,
               GError **error);
/* The seconds that such an error asks for, at least 1. */
unsigned pace_retry_s(const GError *error);
