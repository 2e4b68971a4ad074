/* Buckets by key. When there are too many keys, those that are full again are forgotten; a key that
 * finds no place is not counted, for a flood of addresses must not keep everybody else out. */
#include "api/pace.h"
#include "api/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <math.h>

enum { MAX_KEYS = 10000 };
enum { PACE_USER, PACE_ADDRESS, N_KINDS };

struct Pace {
    GMutex mutex; /* guards what follows */
    GHashTable *buckets[N_KINDS];
    double rates[N_KINDS];
    gint64 swept_us[N_KINDS]; /* when full buckets were last forgotten: not for every call of a
                                 flood */
    gint64 told_us;           /* when a refusal was last logged */
    unsigned n_untold;
};

Pace *pace_new(const PaceConfig *config)
{
    Pace *pace = g_new0(Pace, 1);
    g_mutex_init(&pace->mutex);
    pace->rates[PACE_USER] = config->user_rate ? config->user_rate : PACE_USER_RATE;
    pace->rates[PACE_ADDRESS] = config->address_rate ? config->address_rate : PACE_ADDRESS_RATE;
    for (unsigned i = 0; i < N_KINDS; i++)
        pace->buckets[i] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return pace;
}

void pace_free(Pace *pace)
{
    if (!pace)
        return;
    for (unsigned i = 0; i < N_KINDS; i++)
        g_hash_table_unref(pace->buckets[i]);
    g_mutex_clear(&pace->mutex);
    g_free(pace);
}

static void refill(PaceBucket *bucket, double rate, gint64 now_us)
{
    double full = rate * PACE_BURST_S;
    if (bucket->at_us == 0)
        bucket->left = full;
    else
        bucket->left += rate * (double) (now_us - bucket->at_us) / G_USEC_PER_SEC;
    bucket->left = MIN(bucket->left, full);
    bucket->at_us = now_us;
}

typedef struct {
    double rate;
    gint64 now_us;
} Moment;

static gboolean is_full(gpointer key, gpointer bucket, gpointer user)
{
    const Moment *moment = user;
    refill(bucket, moment->rate, moment->now_us);
    return ((PaceBucket *) bucket)->left >= moment->rate * PACE_BURST_S;
}

/* NULL: not counted. */
static PaceBucket *bucket_of(Pace *pace, unsigned kind, const char *key, gint64 now_us)
{
    GHashTable *buckets = pace->buckets[kind];
    PaceBucket *bucket = key ? g_hash_table_lookup(buckets, key) : NULL;
    if (!key || bucket)
        return bucket;
    if (g_hash_table_size(buckets) >= MAX_KEYS && now_us - pace->swept_us[kind] >= G_USEC_PER_SEC) {
        pace->swept_us[kind] = now_us;
        Moment moment = { pace->rates[kind], now_us };
        g_hash_table_foreach_remove(buckets, is_full, &moment);
    }
    if (g_hash_table_size(buckets) >= MAX_KEYS)
        return NULL;
    bucket = g_new0(PaceBucket, 1);
    g_hash_table_insert(buckets, g_strdup(key), bucket);
    return bucket;
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

bool pace_take(Pace *pace, const char *user, const char *address, PaceBucket *connection,
               gint64 now_us, GError **error)
{
    static const char *const names[] = { "a user", "an address", "a connection" };
    g_mutex_lock(&pace->mutex);
    double rates[] = { pace->rates[PACE_USER], pace->rates[PACE_ADDRESS], pace->rates[PACE_USER] };
    PaceBucket *buckets[] = { bucket_of(pace, PACE_USER, user, now_us),
                              bucket_of(pace, PACE_ADDRESS, address, now_us), connection };
    bool ok = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets) && ok; i++) {
        if (!buckets[i])
            continue;
        refill(buckets[i], rates[i], now_us);
        ok = buckets[i]->left >= 1 || MUTANT(pace_any); /* mutant: api_pace */
        if (!ok)
            refuse(rates[i], names[i], buckets[i]->left, error);
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
