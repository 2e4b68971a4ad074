/* Compression of whole buffers, by the names XO gives in chunk-filters.json: "gzip" (RFC 1952,
 * level 1), "brotli" (RFC 7932, quality 0), "none". Thread-safe; nothing here blocks. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Codec Codec;

/* NULL when there is no such codec. */
const Codec *codec_find(const char *name);
const char *codec_name(const Codec *codec); /* static */

/* The room that codec_compress needs for n bytes. */
gsize codec_bound(const Codec *codec, gsize n);
/* Bytes written to `out`, which holds at least codec_bound(n); 0 with INTERNAL. */
gsize codec_compress(const Codec *codec, const void *data, gsize n, void *out, gsize max,
                     GError **error);
/* The same for `head` and what follows it, from two places. */
gsize codec_compress_both(const Codec *codec, const void *head, gsize n_head, const void *data,
                          gsize n, void *out, gsize max, GError **error);
/* Fills `out` with exactly n_out bytes, or CORRUPT: damaged, shorter, longer, trailing bytes. */
bool codec_expand(const Codec *codec, const void *data, gsize n, void *out, gsize n_out,
                  GError **error);
/* The first n_head bytes into `head`; of what follows them, the bytes from *from to `to` into the
 * same places of `out`, and some before: *from becomes where decoding began (our own gzip allows it
 * every 256 KiB). What comes behind them, checksums too, is not looked at. CORRUPT. */
bool codec_expand_part(const Codec *codec, const void *data, gsize n, void *head, gsize n_head,
                       void *out, gsize *from, gsize to, GError **error);
/* Of unknown length: CORRUPT, or LIMIT when it is longer than max. */
GBytes *codec_expand_all(const Codec *codec, const void *data, gsize n, gsize max, GError **error);
