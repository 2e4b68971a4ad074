/* Two tables of buckets, and one that each connection brings along. */
#include "api/pace.h"
#include "api/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <math.h>

enum { PACE_USER, PACE_ADDRESS, N_KINDS };

struct Pace {
    GMutex mutex; /* guards what follows */
    Buckets *buckets[N_KINDS];
    gint64 told_us; /* when a refusal was last logged */
    unsigned n_untold;
};

static Buckets *table(unsigned rate, unsigned usual)
{
    double per_s = rate ? rate : usual;
    return buckets_new((BucketRule){ per_s * PACE_BURST_S, per_s });
}

Pace *pace_new(const PaceConfig *config)
{
    Pace *pace = g_new0(Pace, 1);
    g_mutex_init(&pace->mutex);
    pace->buckets[PACE_USER] = table(config->user_rate, PACE_USER_RATE);
    pace->buckets[PACE_ADDRESS] = table(config->address_rate, PACE_ADDRESS_RATE);
    return pace;
}

void pace_free(Pace *pace)
{
    if (!pace)
        return;
    for (unsigned i = 0; i < N_KINDS; i++)
        buckets_free(pace->buckets[i]);
    g_mutex_clear(&pace->mutex);
    g_free(pace);
}

static void refuse(double rate, const char *of, double left, GError **error)
{
    unsigned retry_s = (unsigned) ceil(MAX((1 - left) / rate, 1));
    api_error_set(error, API_SERVICE_UNAVAILABLE, json_pack("{s:i}", "retryAfter", (int) retry_s),
                  "too many calls: %s may make %.0f a second; try again in %u s", of, rate,
                  retry_s);
}

/* One line a second: whoever floods the server must not flood its log. */
static void tell(Pace *pace, const char *user, const char *address, gint64 now_us)
{
    pace->n_untold++;
    if (pace->told_us && now_us - pace->told_us < G_USEC_PER_SEC)
        return;
    log_warning("api", "refused %u calls for their number, the last one of user %s from %s",
                pace->n_untold, user ? user : "(nobody)", address);
    pace->told_us = now_us;
    pace->n_untold = 0;
}

bool pace_take(Pace *pace, const char *user, const char *address, Bucket *connection, gint64 now_us,
               GError **error)
{
    static const char *const names[] = { "a user", "an address", "a connection" };
    g_mutex_lock(&pace->mutex);
    const BucketRule *of_users = buckets_rule(pace->buckets[PACE_USER]);
    const BucketRule *rules[] = { of_users, buckets_rule(pace->buckets[PACE_ADDRESS]), of_users };
    Bucket *buckets[] = { buckets_get(pace->buckets[PACE_USER], user, now_us),
                          buckets_get(pace->buckets[PACE_ADDRESS], address, now_us), connection };
    bool ok = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets) && ok; i++) {
        if (!buckets[i])
            continue;
        ok = bucket_refill(buckets[i], rules[i], now_us) >= 1 ||
             MUTANT(pace_any); /* mutant: api_pace */
        if (!ok)
            refuse(rules[i]->per_s, names[i], buckets[i]->left, error);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets) && ok; i++)
        if (buckets[i])
            buckets[i]->left--;
    if (!ok)
        tell(pace, user, address, now_us);
    g_mutex_unlock(&pace->mutex);
    return ok;
}

unsigned pace_retry_s(const GError *error)
{
    json_t *data = api_error_data(error);
    return (unsigned) MAX(json_integer_value(json_object_get(data, "retryAfter")), 1);
}
