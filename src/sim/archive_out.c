/* The tar, written by hand: three fields of a header matter to those who read it. */
#include "sim/archive_out.h"

#include "codec/hash.h"

#include <string.h>

enum { SECTOR = 512 };

struct ArchiveOut {
    Flow *flow;
    bool old;
};

ArchiveOut *archive_out_new(const char *codec, bool old, FlowSink sink, void *user)
{
    ArchiveOut *out = g_new0(ArchiveOut, 1);
    out->flow = flow_compressor(codec, sink, user);
    out->old = old;
    g_assert_nonnull(out->flow);
    return out;
}

void archive_out_free(ArchiveOut *out)
{
    if (!out)
        return;
    flow_free(out->flow);
    g_free(out);
}

static void make_header(char header[SECTOR], const char *name, gsize n)
{
    unsigned sum = 0;
    memset(header, 0, SECTOR);
    g_strlcpy(header, name, 100);
    memcpy(header + 100, "0000400", 7);
    memcpy(header + 108, "0000000", 7);
    memcpy(header + 116, "0000000", 7);
    g_snprintf(header + 124, 12, "%011" G_GSIZE_MODIFIER "o", n);
    memcpy(header + 136, "00000000000", 11);
    header[156] = '0';
    memset(header + 148, ' ', 8);
    for (gsize i = 0; i < SECTOR; i++)
        sum += (guint8) header[i];
    g_snprintf(header + 148, 8, "%06o", sum);
}

bool archive_out_entry(ArchiveOut *out, const char *name, const void *data, gsize n, GError **error)
{
    static const guint8 zeros[SECTOR];
    char header[SECTOR];
    make_header(header, name, n);
    return flow_feed(out->flow, header, sizeof header, error) &&
           flow_feed(out->flow, data, n, error) &&
           flow_feed(out->flow, zeros, (SECTOR - n % SECTOR) % SECTOR, error);
}

bool archive_out_chunk(ArchiveOut *out, const char *id, guint number, const void *data, gsize n,
                       GError **error)
{
    g_autofree char *name = g_strdup_printf("%s/%08u", id, number);
    g_autofree char *hex = hash_hex(out->old ? HASH_SHA1 : HASH_XXH64, data, n);
    g_autofree char *upper = g_ascii_strup(hex, -1);
    g_autofree char *sum_name = g_strconcat(name, out->old ? ".checksum" : ".xxhash", NULL);
    return archive_out_entry(out, name, data, n, error) &&
           archive_out_entry(out, sum_name, out->old ? hex : upper, strlen(hex), error);
}

bool archive_out_end(ArchiveOut *out, GError **error)
{
    static const guint8 zeros[2 * SECTOR];
    return flow_feed(out->flow, zeros, sizeof zeros, error) && flow_finish(out->flow, error);
}
