/* A client that says exactly what it is told: raw bytes to a loopback port. */
#pragma once

#include <glib.h>

/* A connected socket whose reads give up after 10 s. */
int wire_connect(guint16 port);
void wire_send(int fd, const char *bytes, gssize n);
/* Everything until the peer closes; a reset adds "<RESET>", silence "<TIMEOUT>". Closes fd. */
char *wire_drain(int fd);
/* Reads until `text` has been seen, or the end. */
char *wire_until(int fd, const char *text);
/* One connection: bytes out, everything back. */
char *wire_ask(guint16 port, const char *bytes);
