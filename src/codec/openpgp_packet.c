/* Headers of packets in both formats, with bodies in parts. */
#include "codec/openpgp_packet.h"

#include "base/error.h"

#include <string.h>

bool pgp_take(PgpBytes *bytes, gsize n, PgpBytes *taken)
{
    if (n > bytes->n)
        return false;
    *taken = (PgpBytes){ bytes->at, n };
    bytes->at += n;
    bytes->n -= n;
    return true;
}

bool pgp_byte(PgpBytes *bytes, guint8 *byte)
{
    PgpBytes one;
    if (!pgp_take(bytes, 1, &one))
        return false;
    *byte = *one.at;
    return true;
}

static bool read_number(PgpBytes *bytes, unsigned n_bytes, gsize *number)
{
    guint8 byte;
    *number = 0;
    for (unsigned i = 0; i < n_bytes; i++) {
        if (!pgp_byte(bytes, &byte))
            return false;
        *number = *number << 8 | byte;
    }
    return true;
}

/* One length of the new format; *more: the body has a further part. */
static bool read_length(PgpBytes *bytes, gsize *n, bool *more)
{
    guint8 first, second;
    *more = false;
    if (!pgp_byte(bytes, &first))
        return false;
    if (first == 255)
        return read_number(bytes, 4, n);
    *more = first >= 224;
    *n = *more ? (gsize) 1 << (first & 31) : first;
    if (*more || first < 192)
        return true;
    if (!pgp_byte(bytes, &second))
        return false;
    *n = ((gsize) (first - 192) << 8) + second + 192;
    return true;
}

static bool read_parts(PgpBytes *bytes, GByteArray *body)
{
    bool more = true;
    while (more) {
        gsize n;
        PgpBytes part;
        if (!read_length(bytes, &n, &more) || !pgp_take(bytes, n, &part))
            return false;
        g_byte_array_append(body, part.at, (guint) part.n);
    }
    return true;
}

/* The old format; kind 3 has no length: the body goes on to the end. */
static bool read_old(PgpBytes *bytes, unsigned kind, GByteArray *body)
{
    gsize n = bytes->n;
    PgpBytes whole;
    if ((kind < 3 && !read_number(bytes, 1u << kind, &n)) || !pgp_take(bytes, n, &whole))
        return false;
    g_byte_array_append(body, whole.at, (guint) whole.n);
    return true;
}

GByteArray *pgp_packet(PgpBytes *bytes, int *tag, GError **error)
{
    guint8 first;
    g_autoptr(GByteArray) body = g_byte_array_new();
    bool ok = bytes->n <= G_MAXUINT && pgp_byte(bytes, &first) && (first & 0x80);
    if (ok && (first & 0x40)) {
        *tag = first & 0x3f;
        ok = read_parts(bytes, body);
    } else if (ok) {
        *tag = (first >> 2) & 15;
        ok = read_old(bytes, first & 3, body);
    }
    if (ok)
        return g_steal_pointer(&body);
    err_set(error, ERR_CORRUPT, "not a whole OpenPGP message");
    return NULL;
}

void pgp_put_header(GByteArray *out, PgpTag tag, gsize n)
{
    const guint8 header[] = { (guint8) (0xc0 | tag),    255,
                              (guint8) (n >> 24 & 255), (guint8) (n >> 16 & 255),
                              (guint8) (n >> 8 & 255),  (guint8) (n & 255) };
    g_byte_array_append(out, header, sizeof header);
}
