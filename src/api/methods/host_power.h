/* Restarting a host for a change that needs it. */
#pragma once

#include "api/objects.h"

/* Moves its machines away and restarts it; `force`: also when they cannot move. On failure it is in
 * service as before. Waits until everybody sees it go. */
bool host_restart(const ApiObject *host, bool force, GError **error);
