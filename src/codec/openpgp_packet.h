/* The packets that an OpenPGP message consists of (RFC 4880 §4). */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    PGP_SESSION_KEY = 3, /* of a passphrase */
    PGP_COMPRESSED = 8,
    PGP_SEALED_OLD = 9, /* without integrity */
    PGP_MARKER = 10,
    PGP_LITERAL = 11,
    PGP_SEALED = 18,
    PGP_INTEGRITY = 19,
} PgpTag;

/* What is left to read. */
typedef struct {
    const guint8 *at;
    gsize n;
} PgpBytes;

/* Takes n bytes; false when there are fewer. */
bool pgp_take(PgpBytes *bytes, gsize n, PgpBytes *taken);
bool pgp_byte(PgpBytes *bytes, guint8 *byte);
/* The next packet: its tag, and its body, whose parts are put together. CORRUPT when it is cut. */
GByteArray *pgp_packet(PgpBytes *bytes, int *tag, GError **error);
/* Appends the header of a packet whose body has n bytes. */
void pgp_put_header(GByteArray *out, PgpTag tag, gsize n);
