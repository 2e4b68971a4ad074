/* One connection to an NBD export, for reading; blocking, with deadlines.
 *
 * A connection belongs to one thread at a time; for parallel reads open several. The server is a
 * host of a pool (VDI.get_nbd_info) or any NBD server with fixed newstyle negotiation (the NBD
 * protocol, github.com/NetworkBlockDevice/nbd, doc/proto.md). Not by libnbd: as of 1.14 it checks a
 * certificate only against a name that it resolves itself, and pools name addresses. */
#pragma once

#include "base/cancel.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct NbdDisk NbdDisk;

typedef enum {
    NBD_TLS_NEVER,
    NBD_TLS_ALLOW, /* when the server offers it (XAPI gives a certificate on insecure networks too)
                    */
    NBD_TLS_REQUIRE, /* or fail */
} NbdTls;

typedef struct {
    const char *address; /* host name or IP address */
    guint16 port;        /* 0: 10809 */
    const char *export_name;
    NbdTls tls;
    /* PEM: the certificate that the server must present, whatever names are in it, or certificates
     * of authorities; NULL: any certificate will do. There is never a client certificate. */
    const char *cert;
    /* The name that must be in a certificate signed by an authority (`subject` of get_nbd_info);
     * NULL: the address. */
    const char *subject;
    unsigned timeout_ms; /* 0: 60 s, for the connection and for each answer */
    Cancel *cancel;      /* ends a wait within a second; may be NULL */
} NbdTarget;

/* Connects and opens the export. Errors: NETWORK, TLS, TIMEOUT, CANCELLED, NOT_FOUND (no such
 * export), PROTOCOL. Messages name the address, not the export, whose name carries a session. */
NbdDisk *nbd_open(const NbdTarget *target, GError **error);
guint64 nbd_size(const NbdDisk *disk);
/* All n bytes at offset, or an error: NETWORK, TIMEOUT, CANCELLED, TRUNCATED (the connection broke
 * or the range is outside), IO (the server reports it). After any error the disk can only be freed.
 */
bool nbd_read(NbdDisk *disk, guint64 offset, void *buffer, size_t n, GError **error);
/* Disconnects; NULL is allowed. Never blocks for longer than a second. */
void nbd_free(NbdDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdDisk, nbd_free)
