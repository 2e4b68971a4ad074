/* Whether the tables of block directories tell the truth. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* `path` is a disk of a chain. Its table has no checksum: a bit that was lost would give the
 * parent's block, or zeros. CORRUPT when a block file is there that the table does not name. Flat
 * disks, and folders in which a merge is under way, are not looked at. */
bool tables_check(Catalog *catalog, const char *path, GError **error);
