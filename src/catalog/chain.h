/* A disk with its whole chain. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* As catalog_disk_open; *members (may be NULL): the paths of its chain from the root of the remote,
 * newest first; a reference to drop. */
Disk *chain_read(Catalog *catalog, const char *vm, const char *path, GPtrArray **members,
                 GError **error);
