/* Consoles of machines: a WebSocket at /api/consoles/<id> whose binary messages are the bytes of
 * the machine's screen and keyboard (RFB), as XO's. Whoever may operate the machine may open it; it
 * ends with the machine, with the client, or with the server. */
#pragma once

#include "api/parts.h"
#include "http/server.h"

typedef struct Consoles Consoles;

enum {
    CONSOLES_MAX = 256,              /* open at a time; 503 beyond */
    CONSOLE_QUEUED_BYTES = 4 << 20,  /* for a client that reads slowly; then the host waits */
    CONSOLE_MESSAGE_BYTES = 1 << 20, /* from the client */
    CONSOLE_SEND_MS = 60 * 1000,     /* as long as a host may take nothing */
};

/* The parts must outlive it. */
Consoles *consoles_new(const ApiParts *parts);
/* The HTTP server must have stopped; waits until all have ended. */
void consoles_free(Consoles *consoles);

/* Answers the request when its path is a console's. */
bool consoles_handle(Consoles *consoles, HttpRequest *request);
