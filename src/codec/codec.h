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
/* Fills `out` with exactly n_out bytes, or CORRUPT: damaged, shorter, longer, trailing bytes. */
bool codec_expand(const Codec *codec, const void *data, gsize n, void *out, gsize n_out,
                  GError **error);
/* The first n_head bytes into `head` and the n_out that follow into `out`, and no further: what
 * comes behind them, checksums too, is not looked at. */
bool codec_expand_start(const Codec *codec, const void *data, gsize n, void *head, gsize n_head,
                        void *out, gsize n_out, GError **error);
/* Of unknown length: CORRUPT, or LIMIT when it is longer than max. */
GBytes *codec_expand_all(const Codec *codec, const void *data, gsize n, gsize max, GError **error);
