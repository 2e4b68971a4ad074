/* What a host and the machines on it use at this moment, of its newest records. */
#pragma once

#include "xapi/xapi.h"

#include <jansson.h>

/* uuid → {cpu?: percent, memory?: bytes, memoryFree?: bytes} of the host (its processors alone) and
 * of every machine that runs there; a new reference. `address` and `ref` are the host's. Blocks. */
json_t *usage_of_host(Xapi *xapi, const char *address, const char *ref, GError **error);
