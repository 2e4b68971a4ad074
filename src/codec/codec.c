/* One small table of codecs. gzip is written by ISA-L, the fastest whose output XO reads, and read
 * by libdeflate; both work on whole buffers, as all our blocks are. */
#include "codec/codec.h"

#include "base/error.h"
#include "base/mutant.h"

#include <brotli/decode.h>
#include <brotli/encode.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <string.h>

typedef enum { EXPANDED, TOO_LONG, DAMAGED } Expanded;

struct Codec {
    const char *name;
    gsize (*bound)(gsize n);
    /* 0 on failure. */
    gsize (*compress)(const void *data, gsize n, void *out, gsize max);
    /* *n_out: bytes written, at most max. All input must be consumed. */
    Expanded (*expand)(const void *data, gsize n, void *out, gsize max, gsize *n_out);
    /* Fills both, in this order; false when there is not so much. */
    bool (*expand_start)(const void *data, gsize n, void *head, gsize n_head, void *out,
                         gsize n_out);
};

static gsize none_bound(gsize n)
{
    return n;
}

static gsize none_compress(const void *data, gsize n, void *out, gsize max)
{
    memcpy(out, data, n);
    return n;
}

static Expanded none_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    if (n > max)
        return TOO_LONG;
    memcpy(out, data, n);
    *n_out = n;
    return EXPANDED;
}

static bool none_expand_start(const void *data, gsize n, void *head, gsize n_head, void *out,
                              gsize n_out)
{
    if (n_head > n || n_out > n - n_head)
        return false;
    memcpy(head, data, n_head);
    memcpy(out, (const guint8 *) data + n_head, n_out);
    return true;
}

enum { LEVEL_BYTES = ISAL_DEF_LVL1_DEFAULT, LEVEL_ALIGN_BYTES = 64 };

/* Stored blocks cost 5 bytes per 64 KiB; header and trailer 18. Behind it ISA-L works. */
static gsize gzip_bound(gsize n)
{
    return n + n / 1024 + 512 + LEVEL_BYTES + LEVEL_ALIGN_BYTES;
}

static gsize gzip_compress(const void *data, gsize n, void *out, gsize max)
{
    struct isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    gsize work = (gsize) out + max - LEVEL_BYTES;
    stream.level = 1;
    stream.level_buf = (guint8 *) (work & ~(gsize) (LEVEL_ALIGN_BYTES - 1));
    stream.level_buf_size = LEVEL_BYTES;
    stream.gzip_flag = IGZIP_GZIP;
    stream.end_of_stream = 1;
    stream.flush = NO_FLUSH;
    stream.next_in = (guint8 *) data;
    stream.avail_in = n;
    stream.next_out = out;
    stream.avail_out = (guint32) (stream.level_buf - (guint8 *) out);
    return isal_deflate_stateless(&stream) == COMP_OK ? stream.total_out : 0;
}

/* A file may hold several members, one after the other. */
static Expanded gzip_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    struct libdeflate_decompressor *state = libdeflate_alloc_decompressor();
    enum libdeflate_result result = LIBDEFLATE_SUCCESS;
    gsize in = 0;
    *n_out = 0;
    do {
        gsize used = 0, made = 0;
        result = libdeflate_gzip_decompress_ex(state, (const guint8 *) data + in, n - in,
                                               (guint8 *) out + *n_out, max - *n_out, &used, &made);
        if (result == LIBDEFLATE_SUCCESS) {
            in += used;
            *n_out += made;
        }
    } while (result == LIBDEFLATE_SUCCESS && in < n && !MUTANT(gzip_trailing)); /* mutant: codec */
    libdeflate_free_decompressor(state);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
        return TOO_LONG;
    return result == LIBDEFLATE_SUCCESS ? EXPANDED : DAMAGED;
}

/* By ISA-L, which stops where it is told to. */
static bool gzip_expand_start(const void *data, gsize n, void *head, gsize n_head, void *out,
                              gsize n_out)
{
    g_autofree struct inflate_state *state = g_new(struct inflate_state, 1);
    isal_inflate_init(state);
    struct isal_gzip_header header;
    isal_gzip_header_init(&header);
    state->next_in = (guint8 *) data;
    state->avail_in = n;
    if (n > G_MAXUINT32 || isal_read_gzip_header(state, &header) != ISAL_DECOMP_OK)
        return false;
    state->crc_flag = ISAL_DEFLATE; /* nobody will compare it */
    state->next_out = head;
    state->avail_out = n_head;
    if (n_head && (isal_inflate(state) != ISAL_DECOMP_OK || state->avail_out))
        return false;
    state->next_out = out;
    state->avail_out = n_out;
    return n_out == 0 || (isal_inflate(state) == ISAL_DECOMP_OK && state->avail_out == 0);
}

static gsize brotli_bound(gsize n)
{
    gsize bound = BrotliEncoderMaxCompressedSize(n);
    return bound ? bound : n + n / 1024 + 512;
}

static gsize brotli_compress(const void *data, gsize n, void *out, gsize max)
{
    gsize made = max;
    if (!BrotliEncoderCompress(BROTLI_MIN_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE, n,
                               data, &made, out))
        return 0;
    return made;
}

static Expanded brotli_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
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

static bool brotli_expand_start(const void *data, gsize n, void *head, gsize n_head, void *out,
                                gsize n_out)
{
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    const guint8 *in = data;
    guint8 *next = head;
    gsize n_in = n;
    BrotliDecoderDecompressStream(state, &n_in, &in, &n_head, &next, NULL);
    next = out;
    if (n_head == 0)
        BrotliDecoderDecompressStream(state, &n_in, &in, &n_out, &next, NULL);
    BrotliDecoderDestroyInstance(state);
    return n_head == 0 && n_out == 0;
}

static const Codec codecs[] = {
    { "none", none_bound, none_compress, none_expand, none_expand_start },
    { "gzip", gzip_bound, gzip_compress, gzip_expand, gzip_expand_start },
    { "brotli", brotli_bound, brotli_compress, brotli_expand, brotli_expand_start },
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

gsize codec_compress(const Codec *codec, const void *data, gsize n, void *out, gsize max,
                     GError **error)
{
    gsize made =
        n <= G_MAXUINT32 && max >= codec_bound(codec, n) ? codec->compress(data, n, out, max) : 0;
    if (!made)
        err_set(error, ERR_INTERNAL, "%s cannot compress %zu bytes into %zu", codec->name, n, max);
    return made;
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

bool codec_expand_start(const Codec *codec, const void *data, gsize n, void *head, gsize n_head,
                        void *out, gsize n_out, GError **error)
{
    if (codec->expand_start(data, n, head, n_head, out, n_out))
        return true;
    err_set(error, ERR_CORRUPT, "%s data is damaged, cut, or shorter than %zu bytes", codec->name,
            n_head + n_out);
    return false;
}

GBytes *codec_expand_all(const Codec *codec, const void *data, gsize n, gsize max, GError **error)
{
    gsize room = MIN(max, MAX(n * 4, 4096));
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
