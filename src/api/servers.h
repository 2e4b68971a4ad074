/* The pools that this server manages: their records in the store (collection "servers"), their live
 * connections, and finding an object among all of them.
 *
 * Enabled servers are connected in the background and reconnect for ever; a password or certificate
 * that is refused waits for a person. One connection per pool: a second host of a connected pool is
 * refused. Thread-safe; returned JSON is a new reference. Source of the records: XO's server.*. */
#pragma once

#include "api/hub.h"
#include "pool/pool.h"
#include "store/store.h"

typedef struct Servers Servers;
/* A live connection; counted, so that a pool outlives the calls made on it. */
typedef struct Link Link;

enum { SERVERS_MAX = 256 };

/* Nothing is taken over; both must outlive it. */
Servers *servers_new(Store *store, Hub *hub);
/* Connects what is enabled; returns at once. */
bool servers_start(Servers *servers, GError **error);
/* Waits until each enabled server is connected or has failed once, at most timeout_ms. */
void servers_wait(Servers *servers, unsigned timeout_ms);
/* The server is ending: servers_wait returns, nothing new is connected. */
void servers_interrupt(Servers *servers);
/* Nobody waits any more: calls on the pools give INTERRUPTED soon, and what they began there goes
 * on (xapi_leave); first attempts to connect end. Transfers end only with `transfers`. */
void servers_leave(Servers *servers, bool transfers);
void servers_free(Servers *servers);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Servers, servers_free)

/* Records as server.getAll shows them: with status, error, pool; never the password. */
json_t *servers_list(Servers *servers, GError **error);
/* {host, username, password, label?, autoConnect?, allowUnauthorized?, fingerprint?} → id. A host
 * that is there already is API_OBJECT_ALREADY_EXISTS. */
char *servers_add(Servers *servers, json_t *params, GError **error);
/* A host that has left the pool of a link, at `address`: a server of its own, which the same user
 * manages, connected in the background. One that somebody added already is enabled. Its id. */
char *servers_add_beside(Servers *servers, const Link *link, const char *address, GError **error);
/* Fields given replace the old ones, null removes. API_INCORRECT_STATE when the connection would
 * have to change under a live pool. */
bool servers_set(Servers *servers, const char *id, json_t *changes, GError **error);
/* Connects and waits for the first inventory. */
bool servers_enable(Servers *servers, const char *id, GError **error);
bool servers_disable(Servers *servers, const char *id, GError **error);
bool servers_remove(Servers *servers, const char *id, GError **error);

/* The record was changed in the store by somebody else: connects what is enabled and not connected,
 * disconnects what is not enabled any more (or gone). A live connection stays as it is. */
void servers_look_again(Servers *servers, const char *id);

/* --- Objects of all connected pools --- */

/* The connection and snapshot that hold an object (XO id, uuid or opaque reference), or NULL. Both
 * are new references. */
Link *servers_find(Servers *servers, const char *id, Inventory **inventory);
/* XO's view of an object, or NULL. */
json_t *servers_object(Servers *servers, const char *id);
/* The same as JSON text, a new reference, with its type: an AccountObject, `servers` is the user.
 */
GBytes *servers_text(const char *id, const char **type, void *servers);
/* Each object of a type (NULL: all) of all pools. */
void servers_each(Servers *servers, const char *type,
                  void (*seen)(const char *id, const char *type, GBytes *text, void *user),
                  void *user);
/* {"id": pool, "host", "username", "password", "allowUnauthorized", "fingerprint"?} of the pool
 * that holds an object; for workers. NOT_FOUND. */
json_t *servers_connection_of(Servers *servers, const char *object_id, GError **error);

Link *link_ref(Link *link);
void link_unref(Link *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Link, link_unref)
Pool *link_pool(Link *link);
/* Changes must be refused. */
bool link_is_read_only(const Link *link);
