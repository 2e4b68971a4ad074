/* A connected socket, plain or TLS (OpenSSL, server side); private to the room.
 *
 * The descriptor never blocks: the loop uses the try_ functions, request threads the others, which
 * wait with poll. One thread may read while another writes: a lock keeps OpenSSL's object whole,
 * and is never held while waiting. */
#pragma once

#include "base/openssl.h"

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct HttpStream HttpStream;

/* Results of the try_ functions below zero. */
enum {
    STREAM_WANT_READ = -1,  /* wait for EPOLLIN, then again */
    STREAM_WANT_WRITE = -2, /* wait for EPOLLOUT, then again with the same bytes */
    STREAM_BROKEN = -3,
};

/* A server's TLS settings from PEM files: TLS 1.2 and later, HTTP/1.1. */
SSL_CTX *stream_tls_context(const char *cert_file, const char *key_file, GError **error);

/* Takes over fd. context NULL: plain. */
HttpStream *stream_new(int fd, SSL_CTX *context);
/* Closes the socket. */
void stream_free(HttpStream *stream);
int stream_fd(const HttpStream *stream);
/* Decrypted bytes that poll cannot see. */
bool stream_has_pending(HttpStream *stream);

/* 0 when the TLS handshake is complete, else one of the above. */
int stream_try_handshake(HttpStream *stream);
/* Bytes, 0 at the end, or one of the above. A TLS peer that leaves without close_notify is BROKEN.
 */
ssize_t stream_try_read(HttpStream *stream, void *buffer, size_t n);
/* more: further bytes follow at once. */
ssize_t stream_try_write(HttpStream *stream, const void *data, size_t n, bool more);
/* Sends close_notify as far as it goes without waiting, then ends our direction. */
void stream_end(HttpStream *stream);
/* From any thread: readers and writers of this stream end with an error. */
void stream_cut(HttpStream *stream);
/* The close to come sends a reset. */
void stream_reset(HttpStream *stream);
/* The peer has closed its side or the connection is broken. Does not block. */
bool stream_peer_left(HttpStream *stream);

/* Waits up to timeout_ms. Bytes, 0 at the end, -1 with TIMEOUT or NETWORK. */
ssize_t stream_read(HttpStream *stream, void *buffer, size_t n, unsigned timeout_ms,
                    GError **error);
/* All n bytes; timeout_ms is the longest time without progress. */
bool stream_write(HttpStream *stream, const void *data, size_t n, bool more, unsigned timeout_ms,
                  GError **error);
