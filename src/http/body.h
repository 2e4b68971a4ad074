/* Where the body of a request ends: nothing, a length, or chunks (RFC 9112 §7.1); private to the
 * room. Pure: bytes in, bytes out, so that it can be fuzzed. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* A chunk's line with its extensions, and all trailers together. */
enum { HTTP_MAX_CHUNK_LINE = 256, HTTP_MAX_TRAILERS = 8192 };

typedef struct {
    enum {
        HTTP_BODY_DONE,
        HTTP_BODY_LENGTH,     /* `left` bytes to come */
        HTTP_BODY_CHUNK_LINE, /* the line with the size */
        HTTP_BODY_CHUNK,      /* `left` bytes of the chunk to come */
        HTTP_BODY_CHUNK_END,  /* the CRLF after it */
        HTTP_BODY_TRAILERS,
        HTTP_BODY_BROKEN,
    } state;
    guint64 left;
    guint64 n_bytes;  /* delivered so far */
    unsigned n_line;  /* bytes of the present line */
    unsigned n_total; /* bytes of all trailers */
    char line[HTTP_MAX_CHUNK_LINE];
} HttpBody;

/* length: Content-Length, or -1 for chunks. */
void http_body_init(HttpBody *body, gint64 length);
/* Takes bytes from `in`, puts body bytes into `out`: the number of these; *used is what was taken.
 * -1 when the framing is broken. Progress is possible as long as the body is not done. */
gssize http_body_decode(HttpBody *body, const char *in, size_t n_in, size_t *used, char *out,
                        size_t n_out);
bool http_body_is_done(const HttpBody *body);
/* A body byte count that may be read past the decoder, straight from the connection, and its
 * accounting. */
guint64 http_body_direct(const HttpBody *body);
void http_body_skip(HttpBody *body, size_t n);
