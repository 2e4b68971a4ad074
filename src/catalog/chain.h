/* A disk with its whole chain. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* Paths from the root of the remote: of the file that is there, and of the disk whose content it
 * brought; they differ while a merge is not finished. */
typedef struct {
    char *file, *disk;
} ChainPart;

/* As catalog_disk_open; *members (may be NULL): a ChainPart for each disk whose content makes it
 * up, newest first; a reference to drop. */
Disk *chain_read(Catalog *catalog, const char *vm, const char *path, GPtrArray **members,
                 GError **error);
