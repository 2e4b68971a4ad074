/* Packages of hosts: which wait, and installing them. Only XCP-ng's hosts, which have a script for
 * it. */
#pragma once

#include "api/objects.h"

/* What waits, an array of {name, version, release, description, size, …}; UNSUPPORTED for other
 * products. */
json_t *patches_missing(const ApiObject *host, GError **error);
/* The names of a host's patches, each as a key; a new reference. */
json_t *patches_installed(ApiCall *call, const ApiObject *host);
/* Of the names in `wanted`, those that are not in `have`; a new reference. */
json_t *patches_lacking(json_t *have, json_t *wanted);
/* References of the updates of these names that lie in the host's pool, uploaded and not applied;
 * STATE names one that does not. A new reference. */
json_t *patches_lying(const ApiObject *host, json_t *names, GError **error);
/* Puts them on all hosts of the pool, each checked first. */
bool patches_apply(const ApiObject *host, json_t *updates, GError **error);
/* Installs all that waits; the host then wants a restart. */
bool patches_install(const ApiObject *host, GError **error);
/* The hosts of a pool, objects owned by the call, its master first; NULL with an error. */
GPtrArray *pool_hosts(ApiCall *call, const ApiObject *pool, GError **error);
