/* What the manifests know of a disk's content. Private to the catalog. */
#pragma once

#include "catalog/blockmap.h"
#include "catalog/layout.h"

/* `members` are the chain's parts, newest first (chain_read). A row is the newest word on its
 * block; a block without one was brought by another program. A manifest that is damaged, or of
 * another disk than `disk`, is CORRUPT. */
BlockMap *known_content(Catalog *catalog, const char *vm, Disk *disk, GPtrArray *members,
                        GError **error);
