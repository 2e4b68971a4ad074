/* What is plugged into a host: PCI and USB devices. With the lock held. */
#pragma once

#include "sim/call.h"

/* What every simulated host has. */
void hardware_add(Obj *host);
/* The host leaves the pool. */
void hardware_drop(Obj *host);
/* The host has started: what was to change then has changed. */
void hardware_booted(Obj *host);
