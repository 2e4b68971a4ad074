/* XXH3 and XXH64 by xxHash, the others by OpenSSL's EVP, CRC-32C by ISA-L. */
#include "codec/hash.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <xxhash.h>
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h> /* XXH3 with the widest registers that the processor has */
#endif

/* XXH3 runs at the speed of the cache only while its input is in it. */
enum { SLICE_BYTES = 64 << 10 };

struct Hash {
    HashKind kind;
    XXH3_state_t *xxh3;
    XXH64_state_t *xxh64;
    EVP_MD_CTX *evp;
};

static const EVP_MD *evp_kind(HashKind kind)
{
    return kind == HASH_SHA256 ? EVP_sha256() : kind == HASH_SHA1 ? EVP_sha1() : EVP_md5();
}

static void start(Hash *hash)
{
    if (hash->xxh3)
        XXH3_128bits_reset(hash->xxh3);
    else if (hash->xxh64)
        XXH64_reset(hash->xxh64, 0);
    else
        g_assert_true(EVP_DigestInit_ex(hash->evp, evp_kind(hash->kind), NULL));
}

Hash *hash_new(HashKind kind)
{
    Hash *hash = g_new0(Hash, 1);
    hash->kind = kind;
    if (kind == HASH_XXH3)
        hash->xxh3 = XXH3_createState();
    else if (kind == HASH_XXH64)
        hash->xxh64 = XXH64_createState();
    else
        hash->evp = EVP_MD_CTX_new();
    g_assert_true(hash->xxh3 || hash->xxh64 || hash->evp);
    start(hash);
    return hash;
}

void hash_add(Hash *hash, const void *data, gsize n)
{
    const guint8 *bytes = data;
    for (gsize done = 0; done < n; done += SLICE_BYTES) {
        gsize slice = MIN(n - done, SLICE_BYTES);
        if (hash->xxh3)
            XXH3_128bits_update(hash->xxh3, bytes + done, slice);
        else if (hash->xxh64)
            XXH64_update(hash->xxh64, bytes + done, slice);
        else
            EVP_DigestUpdate(hash->evp, bytes + done, slice);
    }
}

gsize hash_end(Hash *hash, guint8 digest[HASH_MAX_BYTES])
{
    unsigned n = hash->xxh64 ? sizeof(XXH64_canonical_t) : sizeof(XXH128_canonical_t);
    if (hash->xxh3)
        XXH128_canonicalFromHash((XXH128_canonical_t *) digest, XXH3_128bits_digest(hash->xxh3));
    else if (hash->xxh64)
        XXH64_canonicalFromHash((XXH64_canonical_t *) digest, XXH64_digest(hash->xxh64));
    else
        g_assert_true(EVP_DigestFinal_ex(hash->evp, digest, &n));
    start(hash);
    return n;
}

char *hash_end_hex(Hash *hash)
{
    guint8 digest[HASH_MAX_BYTES];
    gsize n = hash_end(hash, digest);
    char *hex = g_malloc(2 * n + 1);
    for (gsize i = 0; i < n; i++)
        g_snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

void hash_free(Hash *hash)
{
    if (!hash)
        return;
    XXH3_freeState(hash->xxh3);
    XXH64_freeState(hash->xxh64);
    EVP_MD_CTX_free(hash->evp);
    g_free(hash);
}

char *hash_hex(HashKind kind, const void *data, gsize n)
{
    g_autoptr(Hash) hash = hash_new(kind);
    hash_add(hash, data, n);
    return hash_end_hex(hash);
}

guint32 hash_crc32c(guint32 crc, const void *data, gsize n)
{
    const guint8 *bytes = data;
    for (gsize done = 0; done < n; done += SLICE_BYTES)
        crc = ~crc32_iscsi((guint8 *) bytes + done, MIN(n - done, SLICE_BYTES), ~crc);
    return crc;
}
