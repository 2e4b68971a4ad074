/* How a snapshot is made; for writer.c only. */
#pragma once

#include "pool/pool.h"
#include "pool/trie.h"

const char *inventory_key_ref(const Object *object);
const char *inventory_key_id(const Object *object);
/* Takes references of its own. */
Inventory *inventory_new(Trie *by_ref, Trie *by_id, const char *pool_id, unsigned n_objects);
