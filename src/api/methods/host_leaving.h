/* A host that leaves its pool becomes a pool of its own, and a server of ours. */
#pragma once

#include "api/duties.h"
#include "api/objects.h"

/* pool.eject; then it is added beside the server of its pool, and connected once it has started
 * anew. */
bool host_detach(const ApiObject *host, GError **error);

extern const DutyKind host_leaving_duty;
