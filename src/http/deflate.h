/* Compression of WebSocket messages (permessage-deflate, RFC 7692), each message for itself:
 * nothing is kept between two messages, in neither direction, so that an idle socket costs nothing.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum { DEFLATE_MIN_BYTES = 1024 }; /* shorter messages are sent as they are */

/* Picks an acceptable offer of Sec-WebSocket-Extensions (may be NULL) and appends the answer to it;
 * the window's bits, or 0: there is none. */
int deflate_agree(const char *offers, GString *answer);
/* The compressed message, for a window of so many bits. */
GBytes *deflate_message(GBytes *message, int window_bits);
/* The message with a NUL after it, which *n_message does not count; LIMIT when it is longer than
 * `max`, PROTOCOL when it is no such message. */
char *inflate_message(const void *data, gsize n, gsize max, gsize *n_message, GError **error);
