/* Several paths to a disk array. */
#pragma once

#include "api/objects.h"

/* The host is out of service and its storages are detached while the setting changes; all comes
 * back whatever happens. */
bool host_set_multipathing(const ApiObject *host, bool multipathing, GError **error);
