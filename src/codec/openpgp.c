/* Opening: the passphrase gives a key, the key the packets inside, and these the text. Sealing goes
 * the other way with fixed choices. */
#include "codec/openpgp.h"
#include "codec/openpgp_packet.h"

#include "base/error.h"
#include "base/mutant.h"
#include "base/openssl.h"

#include <string.h>
#include <zlib.h>

enum {
    MAX_KEY = 32,
    BLOCK = 16,
    SALT = 8,
    CHUNK = 8192,
    DIGEST = 20,            /* SHA-1, of the integrity code */
    INTEGRITY = 2 + DIGEST, /* with its header */
    PREFIX = BLOCK + 2,     /* random bytes before the text, the last two repeated */
    MAX_PASSPHRASES = 16,   /* ways to open one message */
    MAX_DEPTH = 4,          /* compressed within compressed */
    PGP_AES256 = 9,
    PGP_SHA256 = 8,
    ITERATED = 3,
    OUR_COUNT = 224,
    MAX_SEALED = 1024 * 1024 * 1024,
};

static const struct {
    int id;
    unsigned n_key;
    const EVP_CIPHER *(*cipher)(void);
} ciphers[] = { { 7, 16, EVP_aes_128_cfb128 },
                { 8, 24, EVP_aes_192_cfb128 },
                { PGP_AES256, 32, EVP_aes_256_cfb128 } };

static const struct {
    int id;
    const EVP_MD *(*digest)(void);
} digests[] = { { 2, EVP_sha1 },
                { PGP_SHA256, EVP_sha256 },
                { 9, EVP_sha384 },
                { 10, EVP_sha512 },
                { 11, EVP_sha224 } };

typedef struct {
    int cipher; /* index of ciphers */
    guint8 key[MAX_KEY];
} Key;

static int find_cipher(int id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(ciphers); i++)
        if (ciphers[i].id == id)
            return (int) i;
    return -1;
}

static const EVP_MD *find_digest(int id)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(digests); i++)
        if (digests[i].id == id)
            return digests[i].digest();
    return NULL;
}

static bool corrupt(GError **error)
{
    err_set(error, ERR_CORRUPT, "not a whole OpenPGP message");
    return false;
}

/* --- The key of a passphrase (RFC 4880 §3.7) --- */

typedef struct {
    guint8 kind, digest, salt[SALT], count;
} KeyRecipe;

static bool read_recipe(PgpBytes *body, KeyRecipe *recipe)
{
    PgpBytes salt;
    if (!pgp_byte(body, &recipe->kind) || !pgp_byte(body, &recipe->digest))
        return false;
    if (recipe->kind == 0)
        return true;
    if (!pgp_take(body, SALT, &salt))
        return false;
    memcpy(recipe->salt, salt.at, SALT);
    return recipe->kind != ITERATED || pgp_byte(body, &recipe->count);
}

/* Salt and passphrase again and again, up to the count of bytes, at least once; hashed in chunks of
 * many. */
static bool hash_again(EVP_MD_CTX *context, const KeyRecipe *recipe, const char *passphrase)
{
    gsize n_salt = recipe->kind ? SALT : 0, n_once = n_salt + strlen(passphrase);
    gsize n_times = n_once ? CHUNK / n_once + 1 : 0, n_chunk = n_times * n_once;
    gsize n_left = recipe->kind == ITERATED
                       ? (gsize) (16 + (recipe->count & 15)) << ((recipe->count >> 4) + 6)
                       : n_once;
    g_autofree guint8 *chunk = g_malloc(n_chunk + 1);
    for (gsize i = 0; i < n_times; i++) {
        memcpy(chunk + i * n_once, recipe->salt, n_salt);
        memcpy(chunk + i * n_once + n_salt, passphrase, n_once - n_salt);
    }
    n_left = n_once ? MAX(n_left, n_once) : 0;
    bool ok = true;
    while (ok && n_left > 0) {
        gsize n = MIN(n_left, n_chunk);
        ok = EVP_DigestUpdate(context, chunk, n) == 1;
        n_left -= n;
    }
    explicit_bzero(chunk, n_chunk);
    return ok;
}

/* A key longer than the digest is made of several, each with one more zero byte before. */
static bool make_key(const KeyRecipe *recipe, const char *passphrase, guint8 *key, unsigned n_key)
{
    const EVP_MD *digest = find_digest(recipe->digest);
    guint8 zeros[MAX_KEY] = { 0 }, made[EVP_MAX_MD_SIZE];
    unsigned n_made = 0;
    bool ok = digest != NULL;
    for (unsigned at = 0, round = 0; ok && at < n_key; at += n_made, round++) {
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        ok = context && EVP_DigestInit_ex(context, digest, NULL) == 1 &&
             EVP_DigestUpdate(context, zeros, round) == 1 &&
             hash_again(context, recipe, passphrase) &&
             EVP_DigestFinal_ex(context, made, &n_made) == 1 && n_made > 0;
        EVP_MD_CTX_free(context);
        if (ok)
            memcpy(key + at, made, MIN(n_made, n_key - at));
    }
    explicit_bzero(made, sizeof made);
    return ok;
}

/* CFB from an IV of zeros; in place. */
static bool run_cipher(int cipher, const guint8 *key, bool seal, guint8 *data, gsize n)
{
    const guint8 zeros[BLOCK] = { 0 };
    int n_out = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool ok = context && n <= MAX_SEALED &&
              EVP_CipherInit_ex(context, ciphers[cipher].cipher(), NULL, key, zeros, seal) == 1 &&
              EVP_CipherUpdate(context, data, &n_out, data, (int) n) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

/* The session key of a packet: the passphrase's key itself, or what that key opens. False without
 * an error: not by this passphrase, or not in a way that is known. */
static bool open_key(GByteArray *packet, const char *passphrase, Key *key, bool *known)
{
    PgpBytes body = { packet->data, packet->len };
    KeyRecipe recipe = { 0 };
    guint8 version, id, plain[MAX_KEY + 1];
    if (!pgp_byte(&body, &version) || version != 4 || !pgp_byte(&body, &id) ||
        (key->cipher = find_cipher(id)) < 0 || !read_recipe(&body, &recipe) ||
        (recipe.kind > 1 && recipe.kind != ITERATED) || !find_digest(recipe.digest))
        return false;
    *known = true;
    if (!make_key(&recipe, passphrase, key->key, ciphers[key->cipher].n_key))
        return false;
    if (body.n == 0)
        return true;
    if (body.n > sizeof plain)
        return false;
    memcpy(plain, body.at, body.n);
    bool ok = run_cipher(key->cipher, key->key, false, plain, body.n);
    key->cipher = ok ? find_cipher(plain[0]) : -1;
    ok = key->cipher >= 0 && ciphers[key->cipher].n_key == body.n - 1;
    memcpy(key->key, plain + 1, ok ? body.n - 1 : 0);
    explicit_bzero(plain, sizeof plain);
    return ok;
}

/* --- What is inside --- */

static GBytes *open_packets(PgpBytes bytes, gsize max, unsigned depth, GError **error);

/* The lines of a text end in CR LF inside. */
static GBytes *read_text(PgpBytes body)
{
    guint8 *text = g_malloc(MAX(body.n, 1));
    gsize n = 0;
    for (gsize i = 0; i < body.n; i++)
        if (body.at[i] != '\r' || i + 1 == body.n || body.at[i + 1] != '\n')
            text[n++] = body.at[i];
    return g_bytes_new_take(text, n);
}

static GBytes *read_literal(PgpBytes body, gsize max, GError **error)
{
    guint8 format, n_name;
    PgpBytes skipped;
    if (!pgp_byte(&body, &format) || !pgp_byte(&body, &n_name) ||
        !pgp_take(&body, (gsize) n_name + 4, &skipped)) {
        corrupt(error);
        return NULL;
    }
    if (body.n <= max)
        return format == 'b' ? g_bytes_new(body.at, body.n) : read_text(body);
    err_set(error, ERR_LIMIT, "the sealed text has %zu bytes, %zu are allowed", body.n, max);
    return NULL;
}

static bool inflate_all(z_stream *stream, GByteArray *out, gsize max, GError **error)
{
    guint8 chunk[64 * 1024];
    int result = Z_OK;
    while (result == Z_OK) {
        stream->next_out = chunk;
        stream->avail_out = sizeof chunk;
        result = inflate(stream, Z_NO_FLUSH);
        gsize n = sizeof chunk - stream->avail_out;
        if (out->len + n > max) {
            err_set(error, ERR_LIMIT, "the sealed text is longer than %zu bytes", max);
            return false;
        }
        g_byte_array_append(out, chunk, (guint) n);
        if (result == Z_OK && n == 0 && stream->avail_in == 0)
            result = Z_DATA_ERROR;
    }
    return result == Z_STREAM_END || corrupt(error);
}

static GBytes *read_compressed(PgpBytes body, gsize max, unsigned depth, GError **error)
{
    guint8 kind;
    if (!pgp_byte(&body, &kind) || depth >= MAX_DEPTH) {
        corrupt(error);
        return NULL;
    }
    if (kind == 0)
        return open_packets(body, max, depth + 1, error);
    if (kind > 2) {
        err_set(error, ERR_UNSUPPORTED, "OpenPGP compression %u: seal it again with zip or zlib",
                kind);
        return NULL;
    }
    z_stream stream = { .next_in = (guint8 *) body.at, .avail_in = (uInt) body.n };
    if (inflateInit2(&stream, kind == 1 ? -MAX_WBITS : MAX_WBITS) != Z_OK) {
        err_set(error, ERR_INTERNAL, "zlib cannot start");
        return NULL;
    }
    g_autoptr(GByteArray) out = g_byte_array_new();
    bool ok = inflate_all(&stream, out, max + 4096, error); /* with headers */
    inflateEnd(&stream);
    return ok ? open_packets((PgpBytes){ out->data, out->len }, max, depth + 1, error) : NULL;
}

static GBytes *open_packets(PgpBytes bytes, gsize max, unsigned depth, GError **error)
{
    while (bytes.n > 0) {
        int tag;
        g_autoptr(GByteArray) packet = pgp_packet(&bytes, &tag, error);
        if (!packet)
            return NULL;
        PgpBytes body = { packet->data, packet->len };
        if (tag == PGP_LITERAL)
            return read_literal(body, max, error);
        if (tag == PGP_COMPRESSED)
            return read_compressed(body, max, depth, error);
    }
    corrupt(error);
    return NULL;
}

/* --- The sealed packet --- */

/* SHA-1 over everything before the digest, itself the end. */
static bool integrity_of(const guint8 *data, gsize n, guint8 *digest)
{
    unsigned n_digest = 0;
    return EVP_Digest(data, n, digest, &n_digest, EVP_sha1(), NULL) == 1 && n_digest == DIGEST;
}

/* The text inside with its integrity checked; `packet` is changed. NULL without an error: another
 * key. */
static GBytes *open_sealed(GByteArray *packet, const Key *key, gsize max, GError **error)
{
    guint8 digest[DIGEST], *data = packet->data + 1;
    gsize n = packet->len - 1;
    if (!run_cipher(key->cipher, key->key, false, data, n) ||
        memcmp(data + BLOCK - 2, data + BLOCK, 2) != 0)
        return NULL;
    if (data[n - INTEGRITY] != (0xc0 | PGP_INTEGRITY) || data[n - INTEGRITY + 1] != DIGEST ||
        !integrity_of(data, n - DIGEST, digest) ||
        (CRYPTO_memcmp(digest, data + n - DIGEST, DIGEST) != 0 &&
         !MUTANT(openpgp_unchecked))) { /* mutant: codec_openpgp:test_damage */
        err_set(error, ERR_CORRUPT, "the OpenPGP message is damaged");
        return NULL;
    }
    return open_packets((PgpBytes){ data + PREFIX, n - PREFIX - INTEGRITY }, max, 0, error);
}

static bool check_sealed(GByteArray *packet, int tag, GError **error)
{
    if (tag == PGP_SEALED_OLD || (packet->len > 0 && packet->data[0] != 1)) {
        err_set(
            error, ERR_UNSUPPORTED,
            "this kind of OpenPGP sealing is not known: seal it again with AES and a modification "
            "detection code");
        return false;
    }
    return packet->len >= 1 + PREFIX + INTEGRITY || corrupt(error);
}

/* Tries the passphrase on every way in. */
static GBytes *try_keys(GPtrArray *keys, GByteArray *sealed, const char *passphrase, gsize max,
                        GError **error)
{
    bool known = false;
    for (unsigned i = 0; i < keys->len; i++) {
        Key key;
        g_autoptr(GError) failure = NULL;
        if (!open_key(keys->pdata[i], passphrase, &key, &known))
            continue;
        g_autoptr(GByteArray) copy = g_byte_array_new();
        g_byte_array_append(copy, sealed->data, sealed->len);
        GBytes *text = open_sealed(copy, &key, max, &failure);
        explicit_bzero(&key, sizeof key);
        if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        if (text || (error && *error))
            return text;
    }
    if (known)
        err_set(error, ERR_DENIED, "the passphrase does not open it");
    else
        err_set(error, ERR_UNSUPPORTED,
                "no passphrase opens this OpenPGP message, or its cipher or digest is not known");
    return NULL;
}

GBytes *openpgp_open(const void *data, gsize n, const char *passphrase, gsize max, GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func((GDestroyNotify) g_byte_array_unref);
    g_autoptr(GError) failure = NULL;
    PgpBytes bytes = { data, n };
    while (keys->len < MAX_PASSPHRASES) {
        int tag;
        g_autoptr(GByteArray) packet = pgp_packet(&bytes, &tag, error);
        if (!packet)
            return NULL;
        if (tag == PGP_SESSION_KEY)
            g_ptr_array_add(keys, g_steal_pointer(&packet));
        else if (tag != PGP_SEALED && tag != PGP_SEALED_OLD)
            continue;
        else if (!check_sealed(packet, tag, error))
            return NULL;
        else {
            GBytes *text = try_keys(keys, packet, passphrase, max, &failure);
            if (failure)
                g_propagate_error(error, g_steal_pointer(&failure));
            return text;
        }
    }
    err_set(error, ERR_LIMIT, "the OpenPGP message has more than %d passphrases", MAX_PASSPHRASES);
    return NULL;
}

bool openpgp_is_sealed(const void *data, gsize n)
{
    guint8 first = n ? *(const guint8 *) data : 0;
    int tag = first & 0x40 ? first & 0x3f : (first >> 2) & 15;
    return (first & 0x80) && (tag == PGP_SESSION_KEY || tag == PGP_SEALED || tag == PGP_MARKER);
}

/* --- Sealing --- */

static void put_session_key(GByteArray *out, const KeyRecipe *recipe)
{
    const guint8 head[] = { 4, PGP_AES256, ITERATED, recipe->digest };
    pgp_put_header(out, PGP_SESSION_KEY, sizeof head + SALT + 1);
    g_byte_array_append(out, head, sizeof head);
    g_byte_array_append(out, recipe->salt, SALT);
    g_byte_array_append(out, &recipe->count, 1);
}

/* prefix, literal packet with the text, integrity packet; not sealed yet. */
static bool put_inside(GByteArray *out, const void *data, gsize n)
{
    const guint8 literal[] = { 'b', 0, 0, 0, 0, 0 }, integrity[] = { 0xc0 | PGP_INTEGRITY, DIGEST };
    gsize start = out->len;
    guint8 prefix[PREFIX], digest[DIGEST];
    if (RAND_bytes(prefix, BLOCK) != 1)
        return false;
    memcpy(prefix + BLOCK, prefix + BLOCK - 2, 2);
    g_byte_array_append(out, prefix, sizeof prefix);
    pgp_put_header(out, PGP_LITERAL, sizeof literal + n);
    g_byte_array_append(out, literal, sizeof literal);
    g_byte_array_append(out, data, (guint) n);
    g_byte_array_append(out, integrity, sizeof integrity);
    if (!integrity_of(out->data + start, out->len - start, digest))
        return false;
    g_byte_array_append(out, digest, sizeof digest);
    return true;
}

GBytes *openpgp_seal(const void *data, gsize n, const char *passphrase, GError **error)
{
    KeyRecipe recipe = { .kind = ITERATED, .digest = PGP_SHA256, .count = OUR_COUNT };
    Key key = { .cipher = find_cipher(PGP_AES256) };
    if (n > MAX_SEALED / 2) {
        err_set(error, ERR_LIMIT, "%zu bytes are too many to seal", n);
        return NULL;
    }
    g_autoptr(GByteArray) out = g_byte_array_new(), inside = g_byte_array_new();
    const guint8 version = 1;
    bool ok = RAND_bytes(recipe.salt, SALT) == 1 &&
              make_key(&recipe, passphrase, key.key, ciphers[key.cipher].n_key) &&
              put_inside(inside, data, n) &&
              run_cipher(key.cipher, key.key, true, inside->data, inside->len);
    explicit_bzero(&key, sizeof key);
    if (!ok) {
        err_set(error, ERR_INTERNAL, "sealing with a passphrase failed");
        return NULL;
    }
    put_session_key(out, &recipe);
    pgp_put_header(out, PGP_SEALED, 1 + inside->len);
    g_byte_array_append(out, &version, 1);
    g_byte_array_append(out, inside->data, inside->len);
    return g_byte_array_free_to_bytes(g_steal_pointer(&out));
}
