/* The state of a pool, shared by pool.c and its thread in follow.c. */
#pragma once

#include "pool/writer.h"

#include <pthread.h>

struct Pool {
    Xapi *xapi;
    PoolOps ops;
    pthread_t thread;
    pthread_mutex_t life; /* taken before `lock`: one caller at a time starts or ends the thread */
    bool running;         /* under `life` */
    bool keep_trying;
    Cancel *cancel;

    /* the thread's own */
    InventoryWriter *writer;
    GPtrArray *entered, *left;

    pthread_mutex_t lock;
    pthread_cond_t changed; /* of anything below */
    PoolStatus status;
    GError *error;
    gint64 since_ms;
    bool ready;          /* the first inventory is complete */
    unsigned n_attempts; /* that failed */
    bool stopped;        /* disconnect was called: who waits for the first inventory gives up */
    Inventory *inventory;
    char *token;    /* of the last events that the inventory holds */
    char *pool_ref; /* of the pool record */
};

/* The thread; `user` is the Pool. Ends when cancelled, or after a failed first attempt unless
 * keep_trying. */
void *pool_follow(void *user);
