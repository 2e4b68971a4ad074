/* Token buckets: something may happen so often at once, and again as time fills the bucket. Who
 * keeps several, by key, has a bound on their number: when there are too many, those that are full
 * again are forgotten; a key that finds no place is not counted, for a flood of keys must not keep
 * everybody else out. Not thread-safe. */
#pragma once

#include <glib.h>

typedef struct {
    double size;  /* how often at once */
    double per_s; /* how many come back in a second */
} BucketRule;

typedef struct {
    double left; /* as of at_us; 0 at 0: a full one */
    gint64 at_us;
} Bucket;

/* Counts the time since; what is left then. */
double bucket_refill(Bucket *bucket, const BucketRule *rule, gint64 now_us);

enum { BUCKETS_MAX = 10000 };

typedef struct Buckets Buckets;
Buckets *buckets_new(BucketRule rule);
void buckets_free(Buckets *buckets);
const BucketRule *buckets_rule(const Buckets *buckets);
/* The bucket of a key, refilled; NULL when it has none, or key is NULL. */
Bucket *buckets_find(Buckets *buckets, const char *key, gint64 now_us);
/* The same, a full one when it had none; NULL: there is no place. */
Bucket *buckets_get(Buckets *buckets, const char *key, gint64 now_us);
