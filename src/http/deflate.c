/* zlib's raw deflate. A message ends with a sync flush, whose last four bytes (00 00 ff ff) are
 * left out on the wire. */
#include "http/deflate.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>
#include <zlib.h>

enum {
    LEVEL = 1,
    MIN_BITS = 9,
    MAX_BITS = 15,
    MEMORY_LEVEL = 8,
    TAIL_BYTES = 4,
    GROW_BYTES = 4096
};

static const guint8 tail[TAIL_BYTES] = { 0x00, 0x00, 0xff, 0xff };

/* --- the agreement --- */

/* One parameter of an offer, each at most once; zlib's raw deflate has no window of 8 bits. */
static bool take_parameter(char *text, unsigned *seen, int *bits)
{
    static const char *const names[] = { "server_no_context_takeover", "client_no_context_takeover",
                                         "client_max_window_bits", "server_max_window_bits" };
    char *equal = strchr(text, '=');
    char *value = equal ? g_strstrip(equal + 1) : NULL;
    guint64 number = 0;
    if (equal)
        *equal = '\0';
    g_strstrip(text);
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_ascii_strcasecmp(text, names[i]) != 0)
            continue;
        bool is_new = !(*seen & 1u << i), is_server = i == 3, may_have = i >= 2;
        *seen |= 1u << i;
        if (value && (!may_have || !g_ascii_string_to_unsigned(value, 10, is_server ? MIN_BITS : 8,
                                                               MAX_BITS, &number, NULL)))
            return false;
        if (is_server && value)
            *bits = (int) number;
        return is_new && (value || !is_server);
    }
    return false;
}

/* "permessage-deflate; client_max_window_bits": the bits of our window, 0: not acceptable. */
static int bits_of_offer(const char *offer)
{
    g_auto(GStrv) parts = g_strsplit(offer, ";", 8);
    int bits = MAX_BITS;
    unsigned seen = 0;
    if (!parts[0] || g_ascii_strcasecmp(g_strstrip(parts[0]), "permessage-deflate") != 0)
        return 0;
    for (unsigned i = 1; parts[i]; i++)
        if (!take_parameter(parts[i], &seen, &bits))
            return 0;
    return bits;
}

int deflate_agree(const char *offers, GString *answer)
{
    g_auto(GStrv) list = g_strsplit(offers ? offers : "", ",", 16);
    for (unsigned i = 0; list[i]; i++) {
        int bits = bits_of_offer(list[i]);
        if (!bits)
            continue;
        g_string_append(answer, "permessage-deflate; server_no_context_takeover; "
                                "client_no_context_takeover");
        if (bits < MAX_BITS)
            g_string_append_printf(answer, "; server_max_window_bits=%d", bits);
        return bits;
    }
    return 0;
}

/* --- messages --- */

GBytes *deflate_message(GBytes *message, int window_bits)
{
    gsize n;
    gconstpointer data = g_bytes_get_data(message, &n);
    z_stream stream = { 0 };
    if (deflateInit2(&stream, LEVEL, Z_DEFLATED, -window_bits, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        g_error("zlib: out of memory");
    gsize room = deflateBound(&stream, n) + 16;
    guint8 *out = g_malloc(room);
    stream.next_in = (Bytef *) data;
    stream.avail_in = (uInt) n;
    stream.next_out = out;
    stream.avail_out = (uInt) room;
    deflate(&stream, Z_SYNC_FLUSH);
    gsize n_out = room - stream.avail_out - TAIL_BYTES;
    deflateEnd(&stream);
    return g_bytes_new_take(g_realloc(out, n_out), n_out);
}

/* Inflates one input as far as `max` bytes in all. False: longer, or broken. */
static bool inflate_part(z_stream *stream, GByteArray *out, const void *data, gsize n, gsize max,
                         GError **error)
{
    int status = Z_OK;
    stream->next_in = (Bytef *) data;
    stream->avail_in = (uInt) n;
    do {
        guint at = out->len;
        g_byte_array_set_size(out, at + MAX(at, GROW_BYTES));
        stream->next_out = out->data + at;
        stream->avail_out = out->len - at;
        status = inflate(stream, Z_SYNC_FLUSH);
        g_byte_array_set_size(out, out->len - stream->avail_out);
        if (out->len > max && !MUTANT(deflate_bomb)) { /* mutant: http_deflate */
            err_set(error, ERR_LIMIT,
                    "a compressed message is longer than %" G_GSIZE_FORMAT " bytes", max);
            return false;
        }
    } while (status == Z_OK && stream->avail_out == 0);
    if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR)
        return true;
    err_set(error, ERR_PROTOCOL, "a message is not compressed as it says");
    return false;
}

char *inflate_message(const void *data, gsize n, gsize max, gsize *n_message, GError **error)
{
    z_stream stream = { 0 };
    if (inflateInit2(&stream, -MAX_BITS) != Z_OK)
        g_error("zlib: out of memory");
    GByteArray *out = g_byte_array_new();
    bool ok = inflate_part(&stream, out, data, n, max, error) &&
              inflate_part(&stream, out, tail, sizeof tail, max, error);
    inflateEnd(&stream);
    *n_message = out->len;
    g_byte_array_append(out, (const guint8 *) "", 1);
    char *text = (char *) g_byte_array_free(out, FALSE);
    if (ok)
        return text;
    g_free(text);
    return NULL;
}
