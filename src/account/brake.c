/* The brake on guessing passwords and tokens. Three things are counted: a name from an address, an
 * address, a name. Each failure takes from a bucket that fills again with time; an empty one means
 * waiting. Who has signed in from an address before is not held up there by what others do
 * elsewhere, so that nobody locks the owner of an account out by guessing. */
#include "account/private.h"

#include "base/bucket.h"
#include "base/error.h"
#include "base/mutant.h"

#include <arpa/inet.h>
#include <string.h>

/* How many failures at once, and how many are forgiven in a second. */
static const BucketRule rules[] = {
    [BRAKE_PAIR] = { 1, 1000.0 / ACCOUNT_THROTTLE_MS },
    [BRAKE_ADDRESS] = { 30, 1 },
    [BRAKE_NAME] = { 60, 0.5 },
};

struct Brake {
    pthread_mutex_t lock;
    Buckets *buckets[N_BRAKES];
    GHashTable *known; /* keys of pairs that have signed in */
};

Brake *brake_new(void)
{
    Brake *brake = g_new0(Brake, 1);
    pthread_mutex_init(&brake->lock, NULL);
    for (unsigned i = 0; i < N_BRAKES; i++)
        brake->buckets[i] = buckets_new(rules[i]);
    brake->known = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return brake;
}

void brake_free(Brake *brake)
{
    for (unsigned i = 0; i < N_BRAKES; i++)
        buckets_free(brake->buckets[i]);
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

static bool is_empty(Brake *brake, BrakeKind kind, const char *key, gint64 now_ms)
{
    const Bucket *bucket = buckets_find(brake->buckets[kind], key, now_ms * 1000);
    return bucket && bucket->left < 1;
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

static void take(Brake *brake, BrakeKind kind, const char *key, gint64 now_ms)
{
    Bucket *bucket = buckets_get(brake->buckets[kind], key, now_ms * 1000);
    if (bucket)
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
    if (g_hash_table_size(brake->known) >= BUCKETS_MAX)
        g_hash_table_remove_all(brake->known);
    g_hash_table_add(brake->known, key_of(BRAKE_PAIR, name, place));
    pthread_mutex_unlock(&brake->lock);
}
