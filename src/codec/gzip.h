/* gzip (RFC 1952) as our block files hold it; for codec.c alone.
 *
 * What we write is one member of one deflate stream, cut at every 256 KiB so that a reader may
 * begin there: the extra field "Cz" of its header says where. Zeros are a constant, and noise,
 * which no codec makes smaller, is stored without trying. Any reader of gzip reads it, and we read
 * any gzip. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum { EXPANDED, TOO_LONG, DAMAGED } Expanded;

gsize gzip_bound(gsize n);
/* `head` and then `data`. 0 on failure. */
gsize gzip_compress(const void *head, gsize n_head, const void *data, gsize n, void *out,
                    gsize max);
/* *n_out: bytes written, at most max. All input must be consumed. */
Expanded gzip_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out);
/* What its end says of the length of its last member, which mostly is the only one; 0 when that
 * cannot be. */
gsize gzip_length(const void *data, gsize n);
/* As codec_expand_part. */
bool gzip_expand_part(const void *data, gsize n, void *head, gsize n_head, void *out, gsize *from,
                      gsize to);
