/* News of objects for every signed-in client: one `all` notification per batch of changes, of what
 * the client may see. Its text is made once for all sockets with equal rights. Thread-safe. */
#pragma once

#include "api/session.h"
#include "http/websocket.h"
#include "pool/pool.h"

typedef struct Hub Hub;

enum {
    HUB_BATCH_MS = 30,                  /* between two batches */
    HUB_GATHER_MS = 5,                  /* what happens together comes within this */
    HUB_MESSAGE_BYTES = 8 * 1024 * 1024 /* a larger batch goes in several messages */
};

/* Starts its thread. */
Hub *hub_new(void);
void hub_free(Hub *hub);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Hub, hub_free)

/* Each socket gets news while its session is signed in. References are taken. */
void hub_add(Hub *hub, WebSocket *socket, Session *session);
void hub_drop(Hub *hub, WebSocket *socket);
/* {user_ip, user_id?} of each socket. */
json_t *hub_list(Hub *hub);
/* Closes every socket. */
void hub_close_all(Hub *hub);

/* One more that hears of every change, of whatever may be seen by whom: an object of `before`
 * (NULL: it was not there) that is in `now` (NULL: it has gone). Called from the hub's thread,
 * should be quick. */
typedef void (*HubTap)(const char *id, Inventory *before, Inventory *now, void *user);
/* NULL: nobody; the old one is not called any more when it returns. */
void hub_set_tap(Hub *hub, HubTap tap, void *user);

/* Objects of `now` that came or changed since `before`, and ids of `before` that went; any of the
 * lists and snapshots may be NULL. */
void hub_changed(Hub *hub, Inventory *before, Inventory *now, GPtrArray *entered, GPtrArray *left);
