/* A host that must be up. With the lock held. */
#pragma once

#include "sim/call.h"

/* The host of a parameter; HOST_OFFLINE [host] when it is down. */
Obj *host_live(Call *call, guint i, GError **error);
