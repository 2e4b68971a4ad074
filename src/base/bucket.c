/* Buckets by key, full ones swept at most once a second. */
#include "base/bucket.h"

struct Buckets {
    BucketRule rule;
    GHashTable *by_key;
    gint64 swept_us; /* not for every key of a flood */
};

double bucket_refill(Bucket *bucket, const BucketRule *rule, gint64 now_us)
{
    if (bucket->at_us == 0)
        bucket->left = rule->size;
    else
        bucket->left += rule->per_s * (double) (now_us - bucket->at_us) / G_USEC_PER_SEC;
    bucket->left = MIN(bucket->left, rule->size);
    bucket->at_us = now_us;
    return bucket->left;
}

Buckets *buckets_new(BucketRule rule)
{
    Buckets *buckets = g_new0(Buckets, 1);
    buckets->rule = rule;
    buckets->by_key = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return buckets;
}

void buckets_free(Buckets *buckets)
{
    g_hash_table_unref(buckets->by_key);
    g_free(buckets);
}

const BucketRule *buckets_rule(const Buckets *buckets)
{
    return &buckets->rule;
}

typedef struct {
    const BucketRule *rule;
    gint64 now_us;
} Moment;

static gboolean is_full(gpointer key, gpointer bucket, gpointer user)
{
    const Moment *moment = user;
    return bucket_refill(bucket, moment->rule, moment->now_us) >= moment->rule->size;
}

static void sweep(Buckets *buckets, gint64 now_us)
{
    if (buckets->swept_us && now_us - buckets->swept_us < G_USEC_PER_SEC)
        return;
    buckets->swept_us = now_us;
    Moment moment = { &buckets->rule, now_us };
    g_hash_table_foreach_remove(buckets->by_key, is_full, &moment);
}

Bucket *buckets_find(Buckets *buckets, const char *key, gint64 now_us)
{
    Bucket *bucket = key ? g_hash_table_lookup(buckets->by_key, key) : NULL;
    if (bucket)
        bucket_refill(bucket, &buckets->rule, now_us);
    return bucket;
}

Bucket *buckets_get(Buckets *buckets, const char *key, gint64 now_us)
{
    Bucket *bucket = buckets_find(buckets, key, now_us);
    if (bucket || !key)
        return bucket;
    if (g_hash_table_size(buckets->by_key) >= BUCKETS_MAX)
        sweep(buckets, now_us);
    if (g_hash_table_size(buckets->by_key) >= BUCKETS_MAX)
        return NULL;
    bucket = g_new0(Bucket, 1);
    bucket_refill(bucket, &buckets->rule, now_us);
    g_hash_table_insert(buckets->by_key, g_strdup(key), bucket);
    return bucket;
}
