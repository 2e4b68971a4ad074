/* Passwords: argon2id in libsodium's encoding. XO's hashes keep working: argon2id with four lanes,
 * and bcrypt from its early years. A hash takes 64 MiB and a tenth of a second, so only a few run
 * at a time. */
#include "account/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <crypt.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/* What a foreign hash may cost: it is checked for everybody who tries to sign in. */
enum { MAX_KIB = 1024 * 1024, MAX_PASSES = 20, MAX_LANES = 16, MAX_ROUNDS = 15 };

struct Passwords {
    pthread_mutex_t lock;
    pthread_cond_t freed;
    unsigned n_hashing;
};

Passwords *passwords_new(void)
{
    Passwords *passwords = g_new0(Passwords, 1);
    pthread_mutex_init(&passwords->lock, NULL);
    pthread_cond_init(&passwords->freed, NULL);
    return passwords;
}

void passwords_free(Passwords *passwords)
{
    pthread_cond_destroy(&passwords->freed);
    pthread_mutex_destroy(&passwords->lock);
    g_free(passwords);
}

static void enter(Passwords *passwords)
{
    pthread_mutex_lock(&passwords->lock);
    while (passwords->n_hashing >= ACCOUNT_MAX_HASHES)
        pthread_cond_wait(&passwords->freed, &passwords->lock);
    passwords->n_hashing++;
    pthread_mutex_unlock(&passwords->lock);
}

static void leave(Passwords *passwords)
{
    pthread_mutex_lock(&passwords->lock);
    passwords->n_hashing--;
    pthread_cond_signal(&passwords->freed);
    pthread_mutex_unlock(&passwords->lock);
}

static bool hash_now(const char *password, char *hash)
{
    return sodium_init() >= 0 &&
           crypto_pwhash_str(hash, password, strlen(password), crypto_pwhash_OPSLIMIT_INTERACTIVE,
                             crypto_pwhash_MEMLIMIT_INTERACTIVE) == 0;
}

char *password_hash(Passwords *passwords, const char *password, GError **error)
{
    char hash[crypto_pwhash_STRBYTES];
    enter(passwords);
    bool ok = hash_now(password, hash);
    leave(passwords);
    if (ok)
        return g_strdup(hash);
    err_set(error, ERR_LIMIT, "hashing the password: not enough memory (64 MiB)");
    return NULL;
}

/* --- What others hashed --- */

typedef enum { HASH_UNKNOWN, HASH_ARGON2, HASH_BCRYPT } HashKind;

static bool is_affordable_argon2(const char *hash)
{
    unsigned version, kib, passes, lanes;
    const char *rest = strchr(hash + 1, '$');
    return strlen(hash) < crypto_pwhash_STRBYTES * 2 && rest &&
           sscanf(rest, "$v=%u$m=%u,t=%u,p=%u$", &version, &kib, &passes, &lanes) == 4 &&
           kib <= MAX_KIB && passes <= MAX_PASSES && lanes >= 1 && lanes <= MAX_LANES;
}

static HashKind kind_of(const char *hash)
{
    unsigned rounds;
    char letter, after;
    if (g_str_has_prefix(hash, "$argon2id$") || g_str_has_prefix(hash, "$argon2i$"))
        return is_affordable_argon2(hash) ? HASH_ARGON2 : HASH_UNKNOWN;
    if (strlen(hash) == 60 && sscanf(hash, "$2%c$%2u%c", &letter, &rounds, &after) == 3 &&
        strchr("aby", letter) && after == '$' && rounds <= MAX_ROUNDS)
        return HASH_BCRYPT;
    return HASH_UNKNOWN;
}

bool account_knows_hash(const char *hash)
{
    return kind_of(hash) != HASH_UNKNOWN;
}

static bool fits_bcrypt(const char *hash, const char *password)
{
    g_autofree struct crypt_data *data = g_new0(struct crypt_data, 1);
    const char *again = crypt_rn(password, hash, data, sizeof *data);
    bool fits = again && strlen(again) == strlen(hash) &&
                sodium_memcmp(again, hash, strlen(hash)) == 0;
    explicit_bzero(data, sizeof *data);
    return fits;
}

static bool fits_now(const char *hash, const char *password)
{
    switch (kind_of(hash)) {
    case HASH_ARGON2:
        return crypto_pwhash_str_verify(hash, password, strlen(password)) == 0;
    case HASH_BCRYPT:
        return !MUTANT(account_no_bcrypt) &&
               fits_bcrypt(hash, password); /* mutant: account:test_foreign_hashes */
    default:
        return false;
    }
}

bool password_fits(Passwords *passwords, const char *hash, const char *password)
{
    char unused[crypto_pwhash_STRBYTES];
    bool fits = false;
    if (strlen(password) > ACCOUNT_MAX_PASSWORD_BYTES || sodium_init() < 0)
        return false;
    enter(passwords);
    if (hash)
        fits = fits_now(hash, password);
    else
        hash_now(password, unused);
    leave(passwords);
    return fits || MUTANT(account_any_password); /* mutant: account */
}

bool password_check(const char *password, GError **error)
{
    gsize n = password ? strlen(password) : 0;
    if (n > 0 && n <= ACCOUNT_MAX_PASSWORD_BYTES)
        return true;
    err_set(error, ERR_INVALID, "password: expected 1 to %d bytes", ACCOUNT_MAX_PASSWORD_BYTES);
    return false;
}
