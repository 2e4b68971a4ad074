/* News of objects for every signed-in client: one `all` notification per batch of changes, its text
 * made once and shared by all sockets. Thread-safe. */
#pragma once

#include "api/session.h"
#include "http/websocket.h"
#include "pool/pool.h"

typedef struct Hub Hub;

enum {
    HUB_BATCH_MS = 30,                  /* changes are gathered this long */
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

/* Objects of `now` that came or changed, and ids that went; any of the lists may be NULL. */
void hub_changed(Hub *hub, Inventory *now, GPtrArray *entered, GPtrArray *left);
