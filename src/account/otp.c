/* One-time passwords (RFC 6238): six digits from a shared secret and the time, in steps of 30
 * seconds. The secret is base32 (RFC 4648), as authenticator apps take it. */
#include "account/private.h"

#include "base/mutant.h"

#include <string.h>

enum { STEP_S = 30, N_DIGITS = 6, MODULUS = 1000000, N_SIDE_STEPS = 1, MAX_SECRET_BYTES = 128 };

static int base32_value(char c)
{
    if (g_ascii_isalpha(c))
        return g_ascii_toupper(c) - 'A';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

/* The number of bytes; 0 for what is no secret. */
static gsize decode(const char *text, guint8 *bytes)
{
    guint32 bits = 0;
    unsigned n_bits = 0;
    gsize n = 0;
    for (; *text && *text != '='; text++) {
        int value = base32_value(*text);
        if (*text == ' ' || *text == '-')
            continue;
        if (value < 0 || n >= MAX_SECRET_BYTES)
            return 0;
        bits = bits << 5 | (guint32) value;
        n_bits += 5;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        bytes[n++] = (guint8) (bits >> n_bits);
    }
    return n;
}

/* RFC 4226 §5.3. */
static guint32 code_at(const guint8 *secret, gsize n, gint64 step)
{
    guint8 message[8], digest[20];
    for (unsigned i = 0; i < sizeof message; i++)
        message[i] = (guint8) ((guint64) step >> (8 * (7 - i)));
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA1, secret, n);
    g_hmac_update(hmac, message, sizeof message);
    gsize n_digest = sizeof digest;
    g_hmac_get_digest(hmac, digest, &n_digest);
    g_hmac_unref(hmac);
    unsigned at = digest[19] & 0x0f;
    guint32 word = (guint32) digest[at] << 24 | (guint32) digest[at + 1] << 16 |
                   (guint32) digest[at + 2] << 8 | digest[at + 3];
    return (word & 0x7fffffff) % MODULUS;
}

char *otp_code(const char *secret, gint64 at_ms)
{
    guint8 bytes[MAX_SECRET_BYTES];
    gsize n = decode(secret, bytes);
    return n ? g_strdup_printf("%0*u", N_DIGITS, code_at(bytes, n, at_ms / 1000 / STEP_S)) : NULL;
}

gint64 otp_step(const char *secret, const char *code, gint64 now_ms)
{
    guint8 bytes[MAX_SECRET_BYTES];
    gsize n = decode(secret, bytes);
    guint64 given;
    if (n == 0 || strlen(code) != N_DIGITS ||
        !g_ascii_string_to_unsigned(code, 10, 0, MODULUS - 1, &given, NULL))
        return 0;
    gint64 now = now_ms / 1000 / STEP_S, found = 0;
    for (gint64 step = now - N_SIDE_STEPS; step <= now + N_SIDE_STEPS; step++)
        if (code_at(bytes, n, step) == given)
            found = step;
    return found;
}
