/* One small table of codecs, which work on whole buffers, as all our blocks are. */
#include "codec/codec.h"

#include "base/error.h"
#include "base/mutant.h"
#include "codec/gzip.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <string.h>

struct Codec {
    const char *name;
    gsize (*bound)(gsize n);
    /* Both, in this order. 0 on failure. */
    gsize (*compress)(const void *head, gsize n_head, const void *data, gsize n, void *out,
                      gsize max);
    /* *n_out: bytes written, at most max. All input must be consumed. */
    Expanded (*expand)(const void *data, gsize n, void *out, gsize max, gsize *n_out);
    /* As codec_expand_part; false when there is not so much. */
    bool (*expand_part)(const void *data, gsize n, void *head, gsize n_head, void *out, gsize *from,
                        gsize to);
    /* The length that the data may have when expanded, 0: it does not say. May be absent. */
    gsize (*length)(const void *data, gsize n);
};

static gsize none_bound(gsize n)
{
    return n;
}

static gsize none_compress(const void *head, gsize n_head, const void *data, gsize n, void *out,
                           gsize max)
{
    if (n_head)
        memcpy(out, head, n_head);
    if (n)
        memcpy((guint8 *) out + n_head, data, n);
    return n_head + n;
}

static Expanded none_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    if (n > max)
        return TOO_LONG;
    memcpy(out, data, n);
    *n_out = n;
    return EXPANDED;
}

static bool none_expand_part(const void *data, gsize n, void *head, gsize n_head, void *out,
                             gsize *from, gsize to)
{
    if (n_head > n || to > n - n_head)
        return false;
    memcpy(head, data, n_head);
    memcpy((guint8 *) out + *from, (const guint8 *) data + n_head + *from, to - *from);
    return true;
}

/* With so much room libbrotli writes into it, otherwise it does so elsewhere and copies. Only what
 * is written becomes memory. */
static gsize brotli_bound(gsize n)
{
    gsize bound = BrotliEncoderMaxCompressedSize(n);
    return MAX(bound ? bound : n + n / 1024, 2 * n) + 1024;
}

static bool brotli_put(BrotliEncoderState *state, BrotliEncoderOperation operation,
                       const void *data, gsize n, guint8 **out, gsize *room)
{
    const guint8 *in = data;
    return BrotliEncoderCompressStream(state, operation, &n, &in, room, out, NULL) && n == 0 &&
           !BrotliEncoderHasMoreOutput(state);
}

static gsize brotli_compress(const void *head, gsize n_head, const void *data, gsize n, void *out,
                             gsize max)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(NULL, NULL, NULL);
    guint8 *next = out;
    gsize room = max;
    BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, BROTLI_MIN_QUALITY);
    BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_DEFAULT_WINDOW);
    bool ok =
        (n_head == 0 || brotli_put(state, BROTLI_OPERATION_PROCESS, head, n_head, &next, &room)) &&
        brotli_put(state, BROTLI_OPERATION_FINISH, data, n, &next, &room) &&
        BrotliEncoderIsFinished(state);
    BrotliEncoderDestroyInstance(state);
    return ok ? max - room : 0;
}

/* The window at once, not in steps that are copied: only what is written becomes memory. */
static BrotliDecoderState *brotli_decoder(void)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    BrotliDecoderSetParameter(state, BROTLI_DECODER_PARAM_DISABLE_RING_BUFFER_REALLOCATION, 1);
    return state;
}

static Expanded brotli_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    BrotliDecoderState *state = brotli_decoder();
    const guint8 *in = data;
    guint8 *next = out;
    gsize n_in = n, room = max;
    BrotliDecoderResult result =
        BrotliDecoderDecompressStream(state, &n_in, &in, &room, &next, NULL);
    BrotliDecoderDestroyInstance(state);
    *n_out = max - room;
    if (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT)
        return TOO_LONG;
    return result == BROTLI_DECODER_RESULT_SUCCESS && n_in == 0 ? EXPANDED : DAMAGED;
}

static bool brotli_expand_part(const void *data, gsize n, void *head, gsize n_head, void *out,
                               gsize *from, gsize to)
{
    BrotliDecoderState *state = brotli_decoder();
    const guint8 *in = data;
    guint8 *next = head;
    gsize n_in = n;
    BrotliDecoderDecompressStream(state, &n_in, &in, &n_head, &next, NULL);
    next = out;
    *from = 0;
    if (n_head == 0)
        BrotliDecoderDecompressStream(state, &n_in, &in, &to, &next, NULL);
    BrotliDecoderDestroyInstance(state);
    return n_head == 0 && to == 0;
}

static const Codec codecs[] = {
    { "none", none_bound, none_compress, none_expand, none_expand_part },
    { "gzip", gzip_bound, gzip_compress, gzip_expand, gzip_expand_part, gzip_length },
    { "brotli", brotli_bound, brotli_compress, brotli_expand, brotli_expand_part },
};

const Codec *codec_find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(codecs); i++)
        if (name && !strcmp(codecs[i].name, name))
            return &codecs[i];
    return NULL;
}

const char *codec_name(const Codec *codec)
{
    return codec->name;
}

gsize codec_bound(const Codec *codec, gsize n)
{
    return codec->bound(n);
}

gsize codec_compress_both(const Codec *codec, const void *head, gsize n_head, const void *data,
                          gsize n, void *out, gsize max, GError **error)
{
    gsize made = 0;
    if (n_head <= G_MAXUINT32 && n <= G_MAXUINT32 - n_head && max >= codec_bound(codec, n_head + n))
        made = codec->compress(head, n_head, data, n, out, max);
    if (!made)
        err_set(error, ERR_INTERNAL, "%s cannot compress %zu bytes into %zu", codec->name,
                n_head + n, max);
    return made;
}

gsize codec_compress(const Codec *codec, const void *data, gsize n, void *out, gsize max,
                     GError **error)
{
    return codec_compress_both(codec, NULL, 0, data, n, out, max, error);
}

bool codec_expand(const Codec *codec, const void *data, gsize n, void *out, gsize n_out,
                  GError **error)
{
    gsize made = 0;
    switch (codec->expand(data, n, out, n_out, &made)) {
    case EXPANDED:
        if (made == n_out || MUTANT(codec_short)) /* mutant: codec */
            return true;
        err_set(error, ERR_CORRUPT, "%s data holds %zu bytes, not %zu", codec->name, made, n_out);
        return false;
    case TOO_LONG:
        err_set(error, ERR_CORRUPT, "%s data holds more than %zu bytes", codec->name, n_out);
        return false;
    case DAMAGED:
        break;
    }
    err_set(error, ERR_CORRUPT, "%s data is damaged or cut", codec->name);
    return false;
}

bool codec_expand_part(const Codec *codec, const void *data, gsize n, void *head, gsize n_head,
                       void *out, gsize *from, gsize to, GError **error)
{
    if (*from <= to && codec->expand_part(data, n, head, n_head, out, from, to))
        return true;
    err_set(error, ERR_CORRUPT, "%s data is damaged, cut, or shorter than %zu bytes", codec->name,
            n_head + to);
    return false;
}

GBytes *codec_expand_all(const Codec *codec, const void *data, gsize n, gsize max, GError **error)
{
    gsize said = codec->length ? codec->length(data, n) : 0;
    gsize room = MIN(max, MAX(MAX(n * 4, said), 4096));
    for (;;) {
        g_autofree guint8 *out = g_malloc(room + 1);
        gsize made = 0;
        Expanded result = codec->expand(data, n, out, room, &made);
        if (result == EXPANDED)
            return g_bytes_new_take(g_realloc(g_steal_pointer(&out), made + 1), made);
        if (result == DAMAGED) {
            err_set(error, ERR_CORRUPT, "%s data is damaged or cut", codec->name);
            return NULL;
        }
        if (room == max) {
            err_set(error, ERR_LIMIT, "%s data expands to more than %zu bytes", codec->name, max);
            return NULL;
        }
        room = room > max / 4 ? max : room * 4;
    }
}
