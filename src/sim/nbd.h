/* Network block devices of the pool: who serves which disk where.
 *
 * Children running nbdkit speak NBD to clients, one per host address, started when a client first
 * asks for them; with our plug-in they ask back over a unix socket. They serve with TLS when a
 * network's purpose is nbd, in the clear when it is insecure_nbd, and end with the simulator. */
#pragma once

#include "sim/model.h"

/* Connections of clients that a host takes at once. */
enum { NBD_MAX_CONNECTIONS = 16 };

typedef struct Nbd Nbd;

/* Listens on a unix socket in a folder of its own; NULL with an error. */
Nbd *sim_nbd_new(Sim *sim, GError **error);
/* Without the lock of model.h: ends the children and waits for the connections to end. */
void sim_nbd_free(Nbd *nbd);
/* The pool's, made when needed; with the lock. */
Nbd *sim_nbd(Sim *sim, GError **error);

/* Makes sure that nbdkit listens on the address as wanted; its port, or 0 with an error. Blocks for
 * the start of a process; without the lock. */
guint16 sim_nbd_serve(Nbd *nbd, const char *address, bool tls, GError **error);
/* The certificate that TLS children show: a PEM file. */
const char *sim_nbd_cert_file(const Nbd *nbd);
