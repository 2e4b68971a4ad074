/* The inner side of nbd.h. */
#pragma once

#include "sim/nbd.h"

/* --- nbd_child.c: the processes --- */

typedef struct NbdChildren NbdChildren;

/* `folder` holds the unix socket `socket`, and the certificates. */
NbdChildren *nbd_children_new(Sim *sim, const char *folder, const char *socket);
void nbd_children_free(NbdChildren *children);
guint16 nbd_children_serve(NbdChildren *children, const char *address, bool tls, GError **error);
const char *nbd_children_cert_file(const NbdChildren *children);

/* --- nbd_socket.c: the plug-in's questions --- */

typedef struct NbdSocket NbdSocket;

NbdSocket *nbd_socket_new(Sim *sim, const char *path, GError **error);
/* Cuts the connections and waits for their threads. */
void nbd_socket_free(NbdSocket *socket);
