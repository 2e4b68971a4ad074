/* Reading back what was just written. Private to the catalog. */
#pragma once

#include "catalog/blockmap.h"
#include "catalog/layout.h"
#include "catalog/member.h"

/* Whether a small file that was just put is what the storage gives back; CORRUPT. */
bool read_back_file(Catalog *catalog, const char *path, const void *data, gsize n, GError **error);

/* Opens the disk at `place` from the storage itself (all its metadata), compares its head with
 * `written`, its table with `blocks`, and the content of the first, the last and some random
 * blocks, or of all, with their hashes. `name` is for messages. CORRUPT names block and offset. */
bool read_back(Catalog *catalog, const MemberPlace *place, const DiskInfo *written,
               BlockMap *blocks, CatalogReadBack how, const char *name, CatalogVerified *verified,
               GError **error);
