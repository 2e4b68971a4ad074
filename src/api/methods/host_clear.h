/* Emptying a host, so that it may go down. */
#pragma once

#include "api/objects.h"

/* Takes the host out of service and moves its machines to others. `forced`: ids of machines whose
 * blocked migration is lifted for that (may be NULL). When a machine cannot move, the host is back
 * in service and the error names the machine and the reason. */
bool host_clear(const ApiObject *host, json_t *forced, GError **error);
