/* Written by ISA-L, the fastest whose output XO reads; read by libdeflate as a whole, and by ISA-L,
 * which stops where it is told to, in part. */
#include "codec/gzip.h"

#include "base/mutant.h"
#include "codec/piece.h"

#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <string.h>

enum {
    LEVEL_BYTES = ISAL_DEF_LVL1_DEFAULT,
    LEVEL_ALIGN_BYTES = 64,
    STRIDE_BYTES = 256 << 10, /* between the places where reading may begin */
    N_MARKS_MAX = 4096,
    STORED_MAX_BYTES = 65535, /* of a stored deflate block */
    HEADER_BYTES = 10,
    EXTRA_BYTES = 4 + 8, /* the name and length of the field; n_head and the stride, u32 LE */
};

enum { FLAG_CHECK = 2, FLAG_EXTRA = 4 };

/* PIECE_BYTES zeros, by zlib at its best, ending on a byte with nothing before it to refer to. */
static const guint8 zeros[] = { 0xec, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe,
                                0xaf, 0xee, 0x08, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00, 0xff, 0xff };
static const guint8 last_block[] = { 0x03, 0x00 };

static void put_u32(guint8 *at, guint32 value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static guint32 get_u32(const guint8 *at)
{
    guint32 value;
    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_LE(value);
}

static guint16 get_u16(const guint8 *at)
{
    return (guint16) (at[0] | at[1] << 8);
}

/* --- writing --- */

/* Cutting and storing cost less than 64 bytes per PIECE_BYTES, header and trailer less than 64.
 * Behind it ISA-L works. */
gsize gzip_bound(gsize n)
{
    return n + n / 512 + 512 + LEVEL_BYTES + LEVEL_ALIGN_BYTES;
}

typedef struct {
    guint8 *out;
    gsize n, max;
    guint8 *level; /* what ISA-L works in */
    guint32 crc;
    bool failed;
} Packer;

static void put(Packer *packer, const void *data, gsize n)
{
    packer->failed = packer->failed || n > packer->max - packer->n;
    if (packer->failed)
        return;
    memcpy(packer->out + packer->n, data, n);
    packer->n += n;
}

static void put_plain(Packer *packer, const guint8 *data, gsize n)
{
    struct isal_zstream stream;
    if (n == 0 || packer->failed)
        return;
    isal_deflate_stateless_init(&stream);
    stream.level = 1;
    stream.level_buf = packer->level;
    stream.level_buf_size = LEVEL_BYTES;
    stream.gzip_flag = IGZIP_DEFLATE;
    stream.end_of_stream = 0;
    stream.flush = FULL_FLUSH;
    stream.next_in = (guint8 *) data;
    stream.avail_in = (guint32) n;
    stream.next_out = packer->out + packer->n;
    stream.avail_out = (guint32) (packer->max - packer->n);
    packer->failed = isal_deflate_stateless(&stream) != COMP_OK;
    packer->n += stream.total_out;
}

static void put_stored(Packer *packer, const guint8 *data, gsize n)
{
    for (gsize part; n > 0; data += part, n -= part) {
        part = MIN(n, STORED_MAX_BYTES);
        guint8 head[] = { 0, part & 0xff, part >> 8, ~part & 0xff, (~part >> 8) & 0xff };
        put(packer, head, sizeof head);
        put(packer, data, part);
    }
}

/* Neighbours that are to be compressed go together. */
static void put_stride(Packer *packer, const guint8 *data, gsize n)
{
    gsize n_plain = 0;
    for (gsize at = 0, part; at < n; at += part) {
        part = MIN(PIECE_BYTES, n - at);
        PieceKind kind = piece_kind(data + at, part);
        packer->crc = crc32_gzip_refl(packer->crc, data + at, part);
        if (kind == PIECE_PLAIN) {
            n_plain += part;
            continue;
        }
        put_plain(packer, data + at - n_plain, n_plain);
        n_plain = 0;
        if (kind == PIECE_ZEROS)
            put(packer, zeros, sizeof zeros);
        else
            put_stored(packer, data + at, part);
    }
    put_plain(packer, data + n - n_plain, n_plain);
}

static unsigned n_marks_of(gsize n)
{
    gsize n_marks = n > 0 ? (n - 1) / STRIDE_BYTES : 0;
    return n_marks <= N_MARKS_MAX ? (unsigned) n_marks : 0;
}

/* With room for the marks, which are known later. */
static guint8 *put_header(Packer *packer, gsize n_head, unsigned n_marks)
{
    guint8 header[HEADER_BYTES] = { 0x1f, 0x8b, 8,
                                    n_marks ? FLAG_EXTRA | FLAG_CHECK : 0, [9] = 0xff };
    guint8 extra[2 + EXTRA_BYTES] = { 0, 0, 'C', 'z' };
    static const guint8 none[4];
    put(packer, header, sizeof header);
    if (!n_marks)
        return NULL;
    gsize n = 8 + n_marks * sizeof(guint32);
    extra[0] = (n + 4) & 0xff;
    extra[1] = (guint8) ((n + 4) >> 8);
    extra[4] = n & 0xff;
    extra[5] = (guint8) (n >> 8);
    put_u32(extra + 6, (guint32) n_head);
    put_u32(extra + 10, STRIDE_BYTES);
    put(packer, extra, sizeof extra);
    guint8 *marks = packer->out + packer->n;
    for (unsigned i = 0; i < n_marks; i++)
        put(packer, none, sizeof none);
    put(packer, none, 2); /* the check of the header */
    return marks;
}

static void put_trailer(Packer *packer, gsize n)
{
    guint8 trailer[8];
    put_u32(trailer, packer->crc);
    put_u32(trailer + 4, (guint32) n);
    put(packer, last_block, sizeof last_block);
    put(packer, trailer, sizeof trailer);
}

static void check_header(const Packer *packer, guint8 *end)
{
    guint32 check = crc32_gzip_refl(0, packer->out, (gsize) (end - packer->out));
    end[0] = check & 0xff;
    end[1] = check >> 8 & 0xff;
}

gsize gzip_compress(const void *head, gsize n_head, const void *data, gsize n, void *out, gsize max)
{
    gsize work = ((gsize) out + max - LEVEL_BYTES) & ~(gsize) (LEVEL_ALIGN_BYTES - 1);
    Packer packer = { .out = out, .max = work - (gsize) out, .level = (guint8 *) work };
    unsigned n_marks = n_marks_of(n);
    guint8 *marks = put_header(&packer, n_head, n_marks);
    packer.crc = crc32_gzip_refl(0, head, n_head);
    put_plain(&packer, head, n_head);
    for (gsize at = 0, i = 0; at < n; at += STRIDE_BYTES, i++) {
        if (i > 0 && i <= n_marks && !packer.failed)
            put_u32(marks + (i - 1) * sizeof(guint32), (guint32) packer.n);
        put_stride(&packer, (const guint8 *) data + at, MIN(STRIDE_BYTES, n - at));
    }
    put_trailer(&packer, n_head + n);
    if (packer.failed)
        return 0;
    if (marks)
        check_header(&packer, marks + n_marks * sizeof(guint32));
    return packer.n;
}

/* --- reading --- */

/* Behind the extra field, the only one that we write; 0: another header, or not whole. */
static gsize extra_end(const guint8 *data, gsize n)
{
    if (n < HEADER_BYTES + 2 || data[3] != (FLAG_EXTRA | FLAG_CHECK))
        return 0;
    gsize end = HEADER_BYTES + 2 + get_u16(data + HEADER_BYTES);
    return end + 2 <= n ? end : 0;
}

/* libdeflate does not look at the check of a header, zlib, and so XO, does. */
static bool is_checked(const guint8 *data, gsize n)
{
    gsize end = extra_end(data, n);
    return end == 0 || get_u16(data + end) == (crc32_gzip_refl(0, (guint8 *) data, end) & 0xffff);
}

/* A file may hold several members, one after the other. */
Expanded gzip_expand(const void *data, gsize n, void *out, gsize max, gsize *n_out)
{
    struct libdeflate_decompressor *state = libdeflate_alloc_decompressor();
    enum libdeflate_result result = LIBDEFLATE_SUCCESS;
    gsize in = 0;
    *n_out = 0;
    if (!is_checked(data, n))
        result = LIBDEFLATE_BAD_DATA;
    while (result == LIBDEFLATE_SUCCESS &&
           (in == 0 || (in < n && !MUTANT(gzip_trailing)))) { /* mutant: codec */
        gsize used = 0, made = 0;
        result = libdeflate_gzip_decompress_ex(state, (const guint8 *) data + in, n - in,
                                               (guint8 *) out + *n_out, max - *n_out, &used, &made);
        if (result == LIBDEFLATE_SUCCESS) {
            in += used;
            *n_out += made;
        }
    }
    libdeflate_free_decompressor(state);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE)
        return TOO_LONG;
    return result == LIBDEFLATE_SUCCESS ? EXPANDED : DAMAGED;
}

/* Where the last mark at or before *from is, and *from becomes what lies there; 0: there is none,
 * or the header is not ours and whole. */
static gsize find_mark(const guint8 *data, gsize n, gsize n_head, gsize *from)
{
    gsize end = extra_end(data, n), n_extra = end ? end - HEADER_BYTES - 2 : 0;
    if (n_extra < EXTRA_BYTES || data[12] != 'C' || data[13] != 'z' ||
        get_u16(data + 14) != n_extra - 4 || !is_checked(data, n))
        return 0;
    gsize n_marks = (n_extra - EXTRA_BYTES) / sizeof(guint32), stride = get_u32(data + 20);
    if (get_u32(data + 16) != n_head || stride == 0)
        return 0;
    gsize i = MIN(*from / stride, n_marks);
    gsize at = i > 0 ? get_u32(data + HEADER_BYTES + 2 + EXTRA_BYTES + (i - 1) * sizeof(guint32))
                     : 0;
    if (at <= end || at >= n)
        return 0;
    *from = i * stride;
    return at;
}

/* False when there is not so much. */
static bool inflate_into(struct inflate_state *state, void *out, gsize n)
{
    state->next_out = out;
    state->avail_out = (guint32) n;
    return n == 0 || (isal_inflate(state) == ISAL_DECOMP_OK && state->avail_out == 0);
}

bool gzip_expand_part(const void *data, gsize n, void *head, gsize n_head, void *out, gsize *from,
                      gsize to)
{
    g_autofree struct inflate_state *state = g_new(struct inflate_state, 1);
    struct isal_gzip_header header;
    isal_inflate_init(state);
    isal_gzip_header_init(&header);
    state->next_in = (guint8 *) data;
    state->avail_in = (guint32) n;
    if (n > G_MAXUINT32 || isal_read_gzip_header(state, &header) != ISAL_DECOMP_OK)
        return false;
    state->crc_flag = ISAL_DEFLATE; /* nobody will compare it */
    if (!inflate_into(state, head, n_head))
        return false;
    gsize at = find_mark(data, n, n_head, from);
    if (at > 0) {
        isal_inflate_init(state);
        state->next_in = (guint8 *) data + at;
        state->avail_in = (guint32) (n - at);
    } else {
        *from = 0;
    }
    return inflate_into(state, (guint8 *) out + *from, to - *from);
}

gsize gzip_length(const void *data, gsize n)
{
    enum { HEAD_BYTES = 10, TAIL_BYTES = 8, MAX_RATIO = 1032 }; /* deflate makes nothing smaller */
    guint32 length;
    if (n < HEAD_BYTES + TAIL_BYTES)
        return 0;
    memcpy(&length, (const guint8 *) data + n - sizeof length, sizeof length);
    length = GUINT32_FROM_LE(length);
    return length / MAX_RATIO <= n ? length : 0;
}
