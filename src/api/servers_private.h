/* Shared by servers.c (records) and links.c (live connections), and by nobody else. */
#pragma once

#include "api/servers.h"

#define SERVERS_COLLECTION "servers"

struct Link {
    gint n_refs;
    Servers *servers;
    char *server_id;
    Pool *pool;
    bool is_read_only;
    Inventory *told; /* the snapshot whose changes the hub knows; of the pool's thread */
};

/* The live side of a record. */
typedef struct {
    Link *link; /* NULL: not connected, and not trying */
    bool busy;  /* a first attempt is going on */
    GError *error;
    gint64 since_ms;
} State;

struct Servers {
    Store *store;
    Hub *hub;
    GMutex mutex; /* guards what follows */
    GCond settled;
    GHashTable *states; /* server id → State */
    unsigned n_tasks;
    bool stopping;
    GThreadPool *tasks;
};

/* --- servers.c --- */

/* As stored; API_NO_SUCH_OBJECT. */
json_t *servers_record(Servers *servers, const char *id, GError **error);

/* --- links.c --- */

void links_begin(Servers *servers);
/* Ends all links and waits for the tasks. */
void links_end(Servers *servers);
/* Connects a server in the background; its id is taken. */
void links_push(Servers *servers, char *server_id);
/* Connects it and waits; API_INCORRECT_STATE when it is connected or connecting. */
bool links_connect(Servers *servers, const char *id, GError **error);
/* Ends the link of a server when there is one. */
void links_disconnect(Servers *servers, const char *id);
/* The links as they are now, each referenced. */
GPtrArray *links_now(Servers *servers);
/* "connected", "connecting" or "disconnected"; the mutex is held; NULL is allowed. */
const char *links_status(State *state);
/* XO's view of the pool of a link, a new reference, or NULL. */
json_t *links_pool_view(Link *link);
