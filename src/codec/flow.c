/* Streams through ISA-L (reading gzip), zlib (writing it) and libzstd, in pieces of one size. */
#include "codec/flow.h"

#include "base/error.h"
#include "base/mutant.h"

#include <isa-l/igzip_lib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { MAGIC_BYTES = 4, LEVEL = 1 };

typedef struct {
    const char *name;
    void (*begin)(Flow *flow);
    /* Takes all of the input. */
    bool (*feed)(Flow *flow, const void *data, gsize n, GError **error);
    bool (*finish)(Flow *flow, GError **error);
    void (*end)(Flow *flow);
} Way;

struct Flow {
    const Way *way; /* NULL: not known yet */
    FlowSink sink;
    void *user;
    guint8 magic[MAGIC_BYTES];
    gsize n_magic;
    bool between; /* an expander stands before a member or frame, not inside */
    struct inflate_state *inflate;
    z_stream deflate;
    ZSTD_DStream *zstd_in;
    ZSTD_CStream *zstd_out;
    guint8 out[FLOW_PIECE_BYTES];
};

static bool put(Flow *flow, gsize n, GError **error)
{
    return n == 0 || flow->sink(flow->out, n, flow->user, error);
}

/* --- as it is --- */

static void none_begin(Flow *flow)
{
}

static bool none_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    for (gsize done = 0, piece; done < n; done += piece) {
        piece = MIN(n - done, FLOW_PIECE_BYTES);
        if (!flow->sink((const guint8 *) data + done, piece, flow->user, error))
            return false;
    }
    return true;
}

static bool none_finish(Flow *flow, GError **error)
{
    return true;
}

/* --- gzip --- */

static void gunzip_begin(Flow *flow)
{
    if (!flow->inflate)
        flow->inflate = g_new0(struct inflate_state, 1);
    isal_inflate_init(flow->inflate);
    flow->inflate->crc_flag = ISAL_GZIP;
}

static bool gunzip_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    struct inflate_state *state = flow->inflate;
    state->next_in = (guint8 *) data;
    state->avail_in = (guint32) n;
    bool full = false;
    while (state->avail_in > 0 || full) {
        if (flow->between && state->avail_in > 0) {
            guint32 left = state->avail_in;
            guint8 *next = state->next_in;
            gunzip_begin(flow);
            state->avail_in = left;
            state->next_in = next;
            flow->between = false;
        }
        state->next_out = flow->out;
        state->avail_out = FLOW_PIECE_BYTES;
        int result = isal_inflate(state);
        full = state->avail_out == 0;
        if (result != ISAL_DECOMP_OK && result != ISAL_END_INPUT) {
            err_set(error, ERR_CORRUPT, "the gzip data is damaged");
            return false;
        }
        if (!put(flow, FLOW_PIECE_BYTES - state->avail_out, error))
            return false;
        if (state->block_state == ISAL_BLOCK_FINISH) {
            flow->between = true;
            full = false;
        }
    }
    return true;
}

static bool expand_finish(Flow *flow, GError **error)
{
    if (flow->between || MUTANT(flow_accepts_cut)) /* mutant: codec_flow:test_cut */
        return true;
    err_set(error, ERR_TRUNCATED, "the %s data is cut", flow->way->name);
    return false;
}

static void gunzip_end(Flow *flow)
{
    g_free(flow->inflate);
}

static void gzip_begin(Flow *flow)
{
    int result = deflateInit2(&flow->deflate, LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    g_assert_cmpint(result, ==, Z_OK);
}

static bool gzip_run(Flow *flow, int flush, GError **error)
{
    int result;
    do {
        flow->deflate.next_out = flow->out;
        flow->deflate.avail_out = FLOW_PIECE_BYTES;
        result = deflate(&flow->deflate, flush);
        if (!put(flow, FLOW_PIECE_BYTES - flow->deflate.avail_out, error))
            return false;
    } while (flow->deflate.avail_out == 0 && result != Z_STREAM_END);
    return true;
}

static bool gzip_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    flow->deflate.next_in = (guint8 *) data;
    flow->deflate.avail_in = (uInt) n;
    return gzip_run(flow, Z_NO_FLUSH, error);
}

static bool gzip_finish(Flow *flow, GError **error)
{
    flow->deflate.avail_in = 0;
    return gzip_run(flow, Z_FINISH, error);
}

static void gzip_end(Flow *flow)
{
    deflateEnd(&flow->deflate);
}

/* --- zstd --- */

static void unzstd_begin(Flow *flow)
{
    flow->zstd_in = ZSTD_createDStream();
    g_assert_nonnull(flow->zstd_in);
}

static bool unzstd_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    ZSTD_inBuffer in = { data, n, 0 };
    bool full = false;
    while (in.pos < in.size || full) {
        ZSTD_outBuffer out = { flow->out, FLOW_PIECE_BYTES, 0 };
        gsize result = ZSTD_decompressStream(flow->zstd_in, &out, &in);
        if (ZSTD_isError(result)) {
            err_set(error, ERR_CORRUPT, "the zstd data is damaged: %s", ZSTD_getErrorName(result));
            return false;
        }
        flow->between = result == 0;
        full = out.pos == out.size && !flow->between;
        if (!put(flow, out.pos, error))
            return false;
    }
    return true;
}

static void unzstd_end(Flow *flow)
{
    ZSTD_freeDStream(flow->zstd_in);
}

static void zstd_begin(Flow *flow)
{
    flow->zstd_out = ZSTD_createCStream();
    g_assert_nonnull(flow->zstd_out);
    ZSTD_CCtx_setParameter(flow->zstd_out, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(flow->zstd_out, ZSTD_c_checksumFlag, 1);
}

static bool zstd_run(Flow *flow, ZSTD_inBuffer *in, ZSTD_EndDirective how, GError **error)
{
    gsize left;
    do {
        ZSTD_outBuffer out = { flow->out, FLOW_PIECE_BYTES, 0 };
        left = ZSTD_compressStream2(flow->zstd_out, &out, in, how);
        if (ZSTD_isError(left)) {
            err_set(error, ERR_INTERNAL, "zstd cannot compress: %s", ZSTD_getErrorName(left));
            return false;
        }
        if (!put(flow, out.pos, error))
            return false;
    } while (in->pos < in->size || (how == ZSTD_e_end && left > 0));
    return true;
}

static bool zstd_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    ZSTD_inBuffer in = { data, n, 0 };
    return zstd_run(flow, &in, ZSTD_e_continue, error);
}

static bool zstd_finish(Flow *flow, GError **error)
{
    ZSTD_inBuffer in = { NULL, 0, 0 };
    return zstd_run(flow, &in, ZSTD_e_end, error);
}

static void zstd_end(Flow *flow)
{
    ZSTD_freeCStream(flow->zstd_out);
}

/* --- the flow --- */

static const Way none = { "none", none_begin, none_feed, none_finish, none_begin };

static const struct {
    guint8 magic[MAGIC_BYTES];
    gsize n_magic;
    Way expand, compress;
} ways[] = {
    { { 0x1f, 0x8b },
      2,
      { "gzip", gunzip_begin, gunzip_feed, expand_finish, gunzip_end },
      { "gzip", gzip_begin, gzip_feed, gzip_finish, gzip_end } },
    { { 0x28, 0xb5, 0x2f, 0xfd },
      4,
      { "zstd", unzstd_begin, unzstd_feed, expand_finish, unzstd_end },
      { "zstd", zstd_begin, zstd_feed, zstd_finish, zstd_end } },
};

static Flow *flow_new(const Way *way, FlowSink sink, void *user)
{
    Flow *flow = g_new0(Flow, 1);
    flow->sink = sink;
    flow->user = user;
    flow->way = way;
    if (way)
        way->begin(flow);
    return flow;
}

Flow *flow_expander(FlowSink sink, void *user)
{
    return flow_new(NULL, sink, user);
}

Flow *flow_compressor(const char *codec, FlowSink sink, void *user)
{
    if (strcmp(codec, none.name) == 0)
        return flow_new(&none, sink, user);
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++)
        if (strcmp(codec, ways[i].compress.name) == 0)
            return flow_new(&ways[i].compress, sink, user);
    return NULL;
}

/* Decides by the first bytes, then passes them on. */
static bool begin(Flow *flow, GError **error)
{
    flow->way = &none;
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++)
        if (flow->n_magic >= ways[i].n_magic &&
            memcmp(flow->magic, ways[i].magic, ways[i].n_magic) == 0)
            flow->way = &ways[i].expand;
    flow->way->begin(flow);
    return flow->way->feed(flow, flow->magic, flow->n_magic, error);
}

bool flow_feed(Flow *flow, const void *data, gsize n, GError **error)
{
    const guint8 *bytes = data;
    while (!flow->way && n > 0) {
        flow->magic[flow->n_magic++] = *bytes++;
        n--;
        if (flow->n_magic == MAGIC_BYTES && !begin(flow, error))
            return false;
    }
    for (gsize done = 0, piece; done < n; done += piece) {
        piece = MIN(n - done, 1u << 30);
        if (!flow->way->feed(flow, bytes + done, piece, error))
            return false;
    }
    return true;
}

bool flow_finish(Flow *flow, GError **error)
{
    if (!flow->way && !begin(flow, error))
        return false;
    return flow->way->finish(flow, error);
}

const char *flow_codec(const Flow *flow)
{
    return flow->way ? flow->way->name : NULL;
}

void flow_free(Flow *flow)
{
    if (!flow)
        return;
    if (flow->way)
        flow->way->end(flow);
    g_free(flow);
}
