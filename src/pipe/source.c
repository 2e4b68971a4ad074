/* The choice of a source, and the changed block log. Every way that is passed over leaves a note.
 */
#include "pipe/private.h"

#include "base/error.h"
#include "base/mutant.h"

enum {
    CBT_BLOCK_BYTES = 64 << 10,                                   /* one bit of XAPI's bitmap */
    CBT_BYTES_PER_BLOCK = DISK_BLOCK_BYTES / CBT_BLOCK_BYTES / 8, /* of a block of ours */
};

guint8 *source_cbt_map(const SourceRequest *request, guint32 n_blocks, GError **error)
{
    g_autofree char *base64 = xapi_call_string(request->xapi, "VDI.list_changed_blocks",
                                               json_pack("[ss]", request->base, request->vdi),
                                               error);
    if (!base64)
        return NULL;
    gsize n_bytes = 0, n_want = (request->size_bytes / CBT_BLOCK_BYTES + 7) / 8;
    g_autofree guint8 *bitmap = g_base64_decode(base64, &n_bytes);
    if (n_bytes < n_want) {
        err_set(error, ERR_PROTOCOL, "the changed block log has %zu bytes instead of %zu", n_bytes,
                n_want);
        return NULL;
    }
    guint8 *map = g_malloc0(MAX(n_blocks, 1));
    for (gsize i = 0; i < n_bytes && i / CBT_BYTES_PER_BLOCK < n_blocks; i++)
        if (bitmap[i] & (MUTANT(cbt_first_bit) ? 0x80 : 0xff)) /* mutant: work:test_flat_cbt */
            map[i / CBT_BYTES_PER_BLOCK] = 1;
    return map;
}

static void note(GPtrArray *notes, const char *way, GError *why)
{
    g_ptr_array_add(notes, g_strdup_printf("%s is not possible: %s", way, why->message));
    g_error_free(why);
}

/* The servers, or NULL with the reason noted. */
static json_t *nbd_servers(const SourceRequest *request, GPtrArray *notes)
{
    GError *why = NULL;
    json_t *infos =
        xapi_call(request->xapi, "VDI.get_nbd_info", json_pack("[s]", request->vdi), &why);
    if (infos && json_array_size(infos) == 0) {
        err_set(&why, ERR_NOT_FOUND, "no network of the pool allows NBD");
        g_clear_pointer(&infos, json_decref);
    }
    if (!infos)
        note(notes, "NBD", why);
    return infos;
}

/* One way over NBD: a map, then the connections. */
static Source *try_nbd(const SourceRequest *request, json_t *infos, const char *method,
                       guint8 *(*make_map)(const SourceRequest *, guint32, GError **),
                       GPtrArray *notes)
{
    GError *why = NULL;
    guint32 n_blocks = (guint32) ((request->size_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);
    guint8 *map = make_map(request, n_blocks, &why);
    Source *source = map ? source_nbd(request, infos, map, method, &why) : NULL;
    if (source)
        return source;
    g_free(map);
    note(notes, method, why);
    return NULL;
}

static Source *over_nbd(const SourceRequest *request, GPtrArray *notes)
{
    json_t *infos = nbd_servers(request, notes);
    Source *source = NULL;
    if (infos && request->base)
        source = try_nbd(request, infos, "nbd+cbt", source_cbt_map, notes);
    if (infos && !source)
        source = try_nbd(request, infos, "nbd+bat", source_vhd_map, notes);
    json_decref(infos);
    return source;
}

/* A source must be as large as the disk that it is said to be. */
static bool check_size(Source *source, const SourceRequest *request, GError **error)
{
    if (source->info.size_bytes == request->size_bytes)
        return true;
    err_set(error, ERR_PROTOCOL,
            "the export has %" G_GUINT64_FORMAT " bytes, the VDI %" G_GUINT64_FORMAT,
            source->info.size_bytes, request->size_bytes);
    return false;
}

Source *source_open(const SourceRequest *request, GPtrArray *notes, GError **error)
{
    Source *source = request->prefer_nbd ? over_nbd(request, notes) : NULL;
    if (!source && cancel_check(request->cancel, "export", error))
        return NULL;
    if (!source)
        source = source_vhd(request, error);
    if (source && !check_size(source, request, error))
        g_clear_pointer(&source, source_close);
    return source;
}
