/* A file that is sent as the answer to a request while it is made. What fails before its first byte
 * is told as an error; later the connection breaks, so that nobody takes a part for the whole. */
#pragma once

#include "http/server.h"

#include <glib.h>
#include <stdbool.h>

typedef struct {
    HttpRequest *request;
    const char *name, *suffix; /* of the file */
    gint64 n_bytes;            /* -1: unknown */
    bool begun;
    const char *type; /* NULL: application/octet-stream */
} Delivery;

/* An HttpSink. */
bool delivery_write(const void *data, size_t n, void *delivery, GError **error);
/* The answer's end. False: nothing was sent yet, and the caller has to answer with the error. */
bool delivery_end(Delivery *delivery, bool ok);
