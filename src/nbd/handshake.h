/* Fixed newstyle negotiation: TLS when wanted, then one export; private to the room. */
#pragma once

#include "nbd/wire.h"

/* The size of the target's export, which can be read from then on. */
bool nbd_handshake(NbdWire *wire, const NbdTarget *target, guint64 *size_bytes, GError **error);
/* nbd_open over a wire that is there already, which is taken over. */
NbdDisk *nbd_open_on(NbdWire *wire, const NbdTarget *target, GError **error);
