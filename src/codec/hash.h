/* Digests of data as it passes. Not thread-safe per object; nothing here blocks. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    HASH_XXH3,   /* XXH3-128: names content; 16 bytes, canonical (big-endian) form */
    HASH_SHA256, /* 32 bytes */
    HASH_MD5,    /* 16 bytes: only for XO's .checksum files */
    HASH_SHA1,   /* 20 bytes: only for the chunks of old XVA archives */
    HASH_XXH64,  /* seed 0, 8 bytes, canonical (big-endian) form: those of new ones */
} HashKind;
enum { HASH_MAX_BYTES = 32 };

typedef struct Hash Hash;
Hash *hash_new(HashKind kind);
/* Long buffers are taken in slices that stay in the cache. */
void hash_add(Hash *hash, const void *data, gsize n);
/* Writes the digest and returns its length; the hash starts anew. */
gsize hash_end(Hash *hash, guint8 digest[HASH_MAX_BYTES]);
/* The same as lower-case hex; copy. */
char *hash_end_hex(Hash *hash);
void hash_free(Hash *hash);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Hash, hash_free)

/* Of one buffer; copy. */
char *hash_hex(HashKind kind, const void *data, gsize n);
/* CRC-32C (RFC 3720), continued from `crc`, 0 at the start. */
guint32 hash_crc32c(guint32 crc, const void *data, gsize n);
