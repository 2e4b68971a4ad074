/* The socket between the server and its workers: messages of u32 length (little-endian) and one
 * JSON object. Secrets travel here and nowhere else.
 *
 * A run worker gets {"type": "start", "version", "kind": "backup" | "restore" | "recover", …} once,
 * then "cancel" and "answer" {"id", "error"?}; it sends "event" {"event"}, "ask" {"id", "vm",
 * "wait"}, "release" {"vm"} and, last, "done" {"error"?, "result"?, "left"?}. A repository worker
 * gets calls
 * {"call", "version", "remote", …} one after the other and answers each with {"result"} or
 * {"error"}. Sending is thread-safe; one thread receives. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum {
    PROTOCOL_VERSION = 1,
    PROTOCOL_MAX_BYTES = 256 << 20,
    PROTOCOL_SEND_MS = 60000,
    PROTOCOL_FD = 3, /* in a worker */
};

typedef struct Channel Channel;

/* The descriptor is taken over. */
Channel *channel_new(int fd);
void channel_free(Channel *channel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Channel, channel_free)

/* The message's reference is taken. TRUNCATED when the other side has gone, TIMEOUT. */
bool channel_send(Channel *channel, json_t *message, GError **error);
/* The next message, a new reference. TIMEOUT when none has begun within timeout_ms (< 0: no limit):
 * receive again. After any other error (TRUNCATED at the end, PROTOCOL) the channel is of no use.
 */
json_t *channel_receive(Channel *channel, int timeout_ms, GError **error);
/* Makes receive and send fail from now on, in any thread; the other side sees the end. */
void channel_shut(Channel *channel);

/* {"code", "message", "detail"?} and back. */
json_t *protocol_error(const GError *error);
void protocol_raise(json_t *error_json, GError **error);
