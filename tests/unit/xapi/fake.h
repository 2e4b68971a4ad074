/* A host that answers as a test tells it to: real sockets, the house's own HTTP server. */
#pragma once

#include "http/server.h"

#include <jansson.h>
#include <pthread.h>

typedef struct Fake Fake;

typedef struct {
    /* The result (a new reference), or NULL with *error = ["CODE", "param"…] (a new reference), or
     * NULL alone: the connection is cut. Called from several threads. */
    json_t *(*call)(Fake *fake, const char *method, json_t *params, json_t **error, void *user);
    /* Everything that is not RPC; NULL: 404. */
    void (*http)(Fake *fake, HttpRequest *request, void *user);
} FakeOps;

struct Fake {
    const FakeOps *ops;
    void *user;
    HttpServer *server;
    guint16 port;
    char *address;        /* "http://127.0.0.1:12345" */
    pthread_mutex_t lock; /* for the test's state */
    GHashTable *calls;    /* method → how often */
};

/* On "127.0.0.1" or another loopback address; port 0: any. */
Fake *fake_new(const FakeOps *ops, void *user, const char *host, guint16 port);
void fake_free(Fake *fake);
unsigned fake_calls(Fake *fake, const char *method);
