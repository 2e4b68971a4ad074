/* The brake on guessing passwords and tokens. Three things are counted: a name from an address, an
 * address, a name. Each failure takes from a bucket that fills again with time; an empty one means
 * waiting. Who has signed in from an address before is not held up there by what others do
 * elsewhere, so that nobody locks the owner of an account out by guessing. */
#include "account/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <arpa/inet.h>
#include <string.h>

enum { MAX_ENTRIES = 10000 };

/* How many failures at once, and in what time one more is forgiven. */
static const struct {
    double size;
    gint64 refill_ms;
} limits[] = {
    [BRAKE_PAIR] = { 1, ACCOUNT_THROTTLE_MS },
    [BRAKE_ADDRESS] = { 30, 1000 },
    [BRAKE_NAME] = { 60, 2000 },
};

typedef struct {
    double left; /* failures that are allowed still, as of at_ms */
    gint64 at_ms;
} Bucket;

struct Brake {
    pthread_mutex_t lock;
    GHashTable *buckets[N_BRAKES]; /* key → Bucket */
    GHashTable *known;             /* keys of pairs that have signed in */
};

Brake *brake_new(void)
{
    Brake *brake = g_new0(Brake, 1);
    pthread_mutex_init(&brake->lock, NULL);
    for (unsigned i = 0; i < N_BRAKES; i++)
        brake->buckets[i] = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    brake->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return brake;
}

void brake_free(Brake *brake)
{
    for (unsigned i = 0; i < N_BRAKES; i++)
        g_hash_table_unref(brake->buckets[i]);
    g_hash_table_unref(brake->known);
    pthread_mutex_destroy(&brake->lock);
    g_free(brake);
}

/* A network of IPv6 belongs to one household, which has addresses without number. */
static char *place_of(const char *peer)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    if (!peer || inet_pton(AF_INET6, peer, &address) != 1)
        return g_strdup(peer ? peer : "");
    memset(address.s6_addr + 8, 0, 8);
    return g_strdup(inet_ntop(AF_INET6, &address, text, sizeof text));
}

/* NULL: this attempt has no such key. A token has no name. */
static char *key_of(BrakeKind kind, const char *name, const char *place)
{
    g_autofree char *folded = name ? g_utf8_casefold(name, -1) : NULL;
    if (kind == BRAKE_ADDRESS)
        return g_strdup(place);
    if (!folded)
        return NULL;
    return kind == BRAKE_NAME ? g_strdup(folded) : g_strconcat(folded, "\n", place, NULL);
}

static void refill(Bucket *bucket, BrakeKind kind, gint64 now_ms)
{
    bucket->left += (double) (now_ms - bucket->at_ms) / (double) limits[kind].refill_ms;
    bucket->left = MIN(bucket->left, limits[kind].size);
    bucket->at_ms = now_ms;
}

typedef struct {
    BrakeKind kind;
    gint64 now_ms;
} Moment;

static gboolean is_full(gpointer key, gpointer bucket, gpointer user)
{
    const Moment *moment = user;
    refill(bucket, moment->kind, moment->now_ms);
    return ((Bucket *) bucket)->left >= limits[moment->kind].size;
}

static bool is_empty(Brake *brake, BrakeKind kind, const char *key, gint64 now_ms)
{
    Bucket *bucket = key ? g_hash_table_lookup(brake->buckets[kind], key) : NULL;
    if (!bucket)
        return false;
    refill(bucket, kind, now_ms);
    return bucket->left < 1;
}

bool brake_may_try(Brake *brake, const char *name, const char *peer, gint64 now_ms, GError **error)
{
    g_autofree char *place = place_of(peer);
    bool empty = false, known = false;
    pthread_mutex_lock(&brake->lock);
    for (unsigned i = 0; i < N_BRAKES; i++) {
        g_autofree char *key = key_of(i, name, place);
        if (i == BRAKE_PAIR)
            known = key && g_hash_table_contains(brake->known, key) &&
                    !MUTANT(account_owner_locked_out); /* mutant: account:test_brake */
        if (i == BRAKE_PAIR || !known)
            empty = empty || is_empty(brake, i, key, now_ms);
    }
    pthread_mutex_unlock(&brake->lock);
    if (!empty || MUTANT(account_no_throttle)) /* mutant: account */
        return true;
    err_set(error, ERR_BUSY, "too fast authentication tries: wait %d s after a wrong password",
            ACCOUNT_THROTTLE_MS / 1000);
    return false;
}

/* When the table is full of names that still count, one more is not counted: a flood of addresses
 * must not keep everybody else out. */
static void take(Brake *brake, BrakeKind kind, const char *key, gint64 now_ms)
{
    GHashTable *buckets = brake->buckets[kind];
    Bucket *bucket = g_hash_table_lookup(buckets, key);
    if (!bucket && g_hash_table_size(buckets) >= MAX_ENTRIES) {
        Moment moment = { kind, now_ms };
        g_hash_table_foreach_remove(buckets, is_full, &moment);
    }
    if (!bucket && g_hash_table_size(buckets) < MAX_ENTRIES) {
        bucket = g_new(Bucket, 1);
        *bucket = (Bucket){ limits[kind].size, now_ms };
        g_hash_table_insert(buckets, g_strdup(key), bucket);
    }
    if (!bucket)
        return;
    refill(bucket, kind, now_ms);
    bucket->left = MAX(bucket->left - 1, 0);
}

void brake_failed(Brake *brake, const char *name, const char *peer, gint64 now_ms)
{
    g_autofree char *place = place_of(peer);
    pthread_mutex_lock(&brake->lock);
    for (unsigned i = 0; i < N_BRAKES; i++) {
        g_autofree char *key = key_of(i, name, place);
        if (key)
            take(brake, i, key, now_ms);
    }
    pthread_mutex_unlock(&brake->lock);
}

void brake_succeeded(Brake *brake, const char *name, const char *peer)
{
    g_autofree char *place = place_of(peer);
    pthread_mutex_lock(&brake->lock);
    if (g_hash_table_size(brake->known) >= MAX_ENTRIES)
        g_hash_table_remove_all(brake->known);
    g_hash_table_add(brake->known, key_of(BRAKE_PAIR, name, place));
    pthread_mutex_unlock(&brake->lock);
}
