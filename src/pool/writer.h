/* The one writer of a pool's inventory: takes records as they come, writes the views that they
 * touch, and publishes a snapshot that shares all the rest with the one before. Not thread-safe;
 * the snapshots are. */
#pragma once

#include "pool/pool.h"

typedef struct InventoryWriter InventoryWriter;

InventoryWriter *inventory_writer_new(void);
void inventory_writer_free(InventoryWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(InventoryWriter, inventory_writer_free)

/* The classes an inventory holds, NULL-terminated, in the order in which they should be fetched. */
const char *const *inventory_classes(void);
/* The class of that name in any case ("vm_metrics"), or NULL. Static. */
const char *inventory_class(const char *name);

/* Adds or replaces; cls is one of the above, the record is borrowed. */
void inventory_writer_put(InventoryWriter *writer, const char *cls, const char *ref,
                          json_t *record);
/* The same of a record's JSON text: how many of the n bytes it was, or 0: not understood in this
 * way, or not whole, and shall be put as a value. */
gsize inventory_writer_take(InventoryWriter *writer, const char *cls, const char *ref,
                            const char *text, gsize n);
void inventory_writer_drop(InventoryWriter *writer, const char *ref);
/* Drops every object of the class whose reference is not in the set, of which all were put. */
void inventory_writer_keep_only(InventoryWriter *writer, const char *cls, GHashTable *refs);
void inventory_writer_clear(InventoryWriter *writer);
unsigned inventory_writer_count(const InventoryWriter *writer, const char *cls);

/* Publishes; adds the XO ids of objects whose view came or changed to `entered`, of those that went
 * to `left` (arrays of g_free'd text). */
Inventory *inventory_writer_commit(InventoryWriter *writer, GPtrArray *entered, GPtrArray *left);

/* How many views wait for others to change or to come; bounded by the number of objects. */
unsigned inventory_writer_waiting(const InventoryWriter *writer);
