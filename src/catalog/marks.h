/* What the pipe writes a disk into. Private to the catalog. */
#pragma once

#include "catalog/blockmap.h"
#include "catalog/catalog.h"

/* Hashes each block into `hashes` (not taken over), passes it on to `inner` (taken over). Blocks
 * that `hashes` holds already are not written again; STATE when they come with another content. */
DiskWriter *marking_writer_new(DiskWriter *inner, BlockMap *hashes);
/* From now on mark() is called for every CATALOG_MARK_BLOCKS that are new, once they are durable;
 * `folder` of the remote is made so with them. */
void marking_writer_tell(DiskWriter *writer, Remote *remote, const char *folder, CatalogMark mark,
                         void *user, GDestroyNotify release);
/* Marks what was put since. */
bool marking_writer_flush(DiskWriter *writer, GError **error);
