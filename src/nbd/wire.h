/* Bytes to and from an NBD server, plain or TLS, each exchange with a deadline; private to the
 * room. */
#pragma once

#include "base/cancel.h"
#include "nbd/nbd.h"

typedef struct NbdWire NbdWire;

/* Connects to the target's address. */
NbdWire *nbd_wire_connect(const NbdTarget *target, GError **error);
/* The same over a connected socket, which is taken over. */
NbdWire *nbd_wire_new(const NbdTarget *target, int fd);
void nbd_wire_free(NbdWire *wire);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdWire, nbd_wire_free)
/* "nbd://address:port", for messages. */
const char *nbd_wire_server(const NbdWire *wire);

/* What follows must be finished within the target's timeout. */
void nbd_wire_begin(NbdWire *wire);
/* The TLS handshake, with the target's certificate. */
bool nbd_wire_start_tls(NbdWire *wire, const NbdTarget *target, GError **error);
bool nbd_wire_read(NbdWire *wire, void *data, size_t n, GError **error);
bool nbd_wire_write(NbdWire *wire, const void *data, size_t n, GError **error);
/* As much as goes without waiting. */
void nbd_wire_push(NbdWire *wire, const void *data, size_t n);
