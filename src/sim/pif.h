/* Interfaces of hosts, as networks, VLANs, bonds and tunnels make them. With the lock held. */
#pragma once

#include "sim/call.h"

/* A new interface on the network, on the host of `like` and with its looks: MAC, MTU, attached. */
Obj *pif_on(const Obj *like, Obj *network, const char *device);
/* Removes it, with its metrics. */
void pif_drop(Obj *pif);
/* NETWORK_ALREADY_CONNECTED [network, PIF] when the host has an interface on the network. */
bool pif_check_free(const Obj *network, const Obj *host, GError **error);
/* May be taken down: PIF_DOES_NOT_ALLOW_UNPLUG, PIF_IS_MANAGEMENT_INTERFACE, VIF_IN_USE. */
bool pif_check_idle(const Obj *pif, GError **error);
/* Moves addresses and the management from one interface of a host to another. */
void pif_move_addresses(Obj *from, Obj *to);
