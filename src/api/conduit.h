/* Bytes from one transfer to another, when one wants to write and the other to read: a thread and a
 * pipe between them. Whoever is slow slows the other down; nothing more is held than the pipe does.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Conduit Conduit;

/* Runs in a thread of its own: writes with conduit_write, returns when all is written. */
typedef bool (*ConduitFeed)(Conduit *conduit, void *user, GError **error);

/* `user` must live until conduit_end. NULL with an error when there is no room for a pipe. */
Conduit *conduit_new(ConduitFeed feed, void *user, GError **error);
/* An HttpSink, and whatever else looks alike. False once the reader has gone. */
bool conduit_write(const void *data, size_t n, void *conduit, GError **error);
/* An HttpSource: up to n bytes, 0 at the end of what went well, -1 with the feed's error. */
ssize_t conduit_read(void *data, size_t n, void *conduit, GError **error);
/* Waits for the thread, which sees that nobody reads any more, and frees. */
void conduit_end(Conduit *conduit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Conduit, conduit_end)
