/* A connected pool: session, events, inventory, XO's object view. Knows no users.
 *
 * One thread per pool follows its events and swaps inventory snapshots; readers hold a snapshot as
 * long as they like. */
#pragma once

#include "xapi/xapi.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Pool Pool;
typedef struct Inventory Inventory;

typedef enum { POOL_DISCONNECTED, POOL_CONNECTING, POOL_CONNECTED } PoolStatus;

typedef struct {
    /* Objects that came, changed or went: XO ids; called from the pool's thread after the swap. */
    void (*changed)(Pool *pool, Inventory *now, GPtrArray *entered, GPtrArray *left, void *user);
    /* Status or error changed. */
    void (*status)(Pool *pool, void *user);
    void *user;
} PoolOps;

Pool *pool_new(const XapiConfig *config, const PoolOps *ops);
/* Disconnects, waits for the thread. */
void pool_free(Pool *pool);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pool, pool_free)

/* Starts the thread; waits until the first inventory is complete, or fails with the first attempt's
 * error (BAD_LOGIN, NETWORK, TLS, …); with `keep_trying` it goes on with back-off for ever and
 * returns at once. */
bool pool_connect(Pool *pool, bool keep_trying, GError **error);
/* From any thread, also while another waits in pool_connect, which then gives CANCELLED. */
void pool_disconnect(Pool *pool);
PoolStatus pool_status(Pool *pool);
/* Why it is not connected and since when (ms), or NULL; copy. */
GError *pool_error(Pool *pool, gint64 *since_ms);
/* For calls on the pool. Valid as long as the pool. */
Xapi *pool_xapi(Pool *pool);
/* Waits until the inventory has seen everything that happened before this call (XO's barrier). */
bool pool_barrier(Pool *pool, unsigned timeout_ms, GError **error);

/* A counted snapshot. */
Inventory *pool_inventory(Pool *pool);
Inventory *inventory_ref(Inventory *inventory);
void inventory_unref(Inventory *inventory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Inventory, inventory_unref)

/* Pool uuid, "" before the first inventory. */
const char *inventory_pool_id(const Inventory *inventory);
unsigned inventory_n_objects(const Inventory *inventory);
/* XO's view of an object by XO id, uuid or opaque ref, as JSON text, or NULL. Shared,
 * NUL-terminated. */
GBytes *inventory_text(const Inventory *inventory, const char *id);
/* The same parsed; new reference or NULL. */
json_t *inventory_object(const Inventory *inventory, const char *id);
const char *inventory_type(const Inventory *inventory, const char *id); /* "VM", or NULL */
/* The raw XAPI record, as jansson; new reference or NULL. */
json_t *inventory_record(const Inventory *inventory, const char *cls, const char *ref);
/* Every object of a type (NULL: all). */
void inventory_each(const Inventory *inventory, const char *type,
                    void (*seen)(const char *id, const char *type, GBytes *text, void *user),
                    void *user);
