/* Packages of hosts: which wait, and installing them. Only XCP-ng's hosts, which have a script for
 * it. */
#pragma once

#include "api/objects.h"

/* What waits, an array of {name, version, release, description, size, …}; UNSUPPORTED for other
 * products. */
json_t *patches_missing(const ApiObject *host, GError **error);
/* The names of a host's patches, each as a key; a new reference. */
json_t *patches_installed(ApiCall *call, const ApiObject *host);
/* Installs all that waits; the host then wants a restart. */
bool patches_install(const ApiObject *host, GError **error);
/* The hosts of a pool, objects owned by the call, its master first; NULL with an error. */
GPtrArray *pool_hosts(ApiCall *call, const ApiObject *pool, GError **error);
