/* .cadenza/index/<vm>.json: how the VM's folder was when a clean-up found nothing more to do.
 * Private to the catalog. */
#pragma once

#include "catalog/layout.h"

/* Whether all files are, by name, size, time and inode, as they were after a clean-up that did at
 * least this. Stats only; no file but the index is read. */
bool index_is_clean(Catalog *catalog, const char *vm, bool merge, bool remove);
/* Best effort: without it the next clean-up reads everything again. */
void index_write(Catalog *catalog, const char *vm, bool merge, bool remove);
