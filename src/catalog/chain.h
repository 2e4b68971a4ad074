/* A disk with its whole chain. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* As catalog_disk_open; *members (may be NULL): the paths, from the root of the remote, of all
 * disks whose content makes it up, newest first; a reference to drop. */
Disk *chain_read(Catalog *catalog, const char *vm, const char *path, GPtrArray **members,
                 GError **error);
