/* The VHD export as a source. A thread of its own takes the stream apart, each block straight into
 * the buffer that next() brought; without one the export waits, and the pool with it. */
#include "pipe/private.h"

#include "base/error.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    Source base;
    Xapi *xapi;
    char *vdi, *export_base;
    VhdStream *stream;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved;
    void *buffer; /* of a waiting next(), until it is being filled */
    guint32 block;
    bool filled; /* the buffer of next(), with `block` */
    bool headed, ended, closing;
    GError *error; /* of the thread, once ended */
} VhdSource;

static bool on_head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    VhdSource *source = user;
    pthread_mutex_lock(&source->lock);
    source->base.info = *info;
    source->base.n_present = n_present;
    source->headed = true;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    return true;
}

static void *on_room(guint32 block, void *user, GError **error)
{
    VhdSource *source = user;
    pthread_mutex_lock(&source->lock);
    while (!source->buffer && !source->closing)
        pthread_cond_wait(&source->moved, &source->lock);
    void *buffer = source->closing ? NULL : source->buffer;
    source->buffer = NULL;
    pthread_mutex_unlock(&source->lock);
    if (!buffer)
        err_set(error, ERR_CANCELLED, "the export is no longer wanted");
    return buffer;
}

static bool on_block(guint32 block, const void *data, void *user, GError **error)
{
    VhdSource *source = user;
    pthread_mutex_lock(&source->lock);
    source->filled = true;
    source->block = block;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    return true;
}

static void *data_room(size_t *n, void *user)
{
    return vhd_stream_room(((VhdSource *) user)->stream, n);
}

static bool on_data(const void *data, size_t n, void *user, GError **error)
{
    return vhd_stream_feed(((VhdSource *) user)->stream, data, n, error);
}

static void *export_main(void *data)
{
    VhdSource *source = data;
    GError *error = NULL;
    bool ok = xapi_export_vdi_to(source->xapi, source->vdi, source->export_base, "vhd", data_room,
                                 on_data, source, source->base.stop, &error);
    /* The pool closes the connection when it is done: only the format knows whether it was. */
    GError *cut = NULL;
    bool whole = vhd_stream_finish(source->stream, &cut);
    if (!error && !whole)
        g_propagate_error(&error, g_steal_pointer(&cut));
    if (ok && whole)
        g_clear_error(&error);
    g_clear_error(&cut);
    pthread_mutex_lock(&source->lock);
    source->error = error;
    source->ended = true;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    return NULL;
}

/* The lock is held. */
static bool ended_well(VhdSource *source, GError **error)
{
    if (!source->error)
        return true;
    g_propagate_error(error, g_error_copy(source->error));
    return false;
}

static bool vhd_next(Source *base, unsigned reader, guint32 *block, void *buffer, bool *more,
                     GError **error)
{
    VhdSource *source = (VhdSource *) base;
    pthread_mutex_lock(&source->lock);
    source->buffer = buffer;
    pthread_cond_broadcast(&source->moved);
    while (!source->filled && !source->ended)
        pthread_cond_wait(&source->moved, &source->lock);
    *more = source->filled;
    *block = source->block;
    bool ok = source->filled || ended_well(source, error);
    source->filled = false;
    source->buffer = NULL;
    pthread_mutex_unlock(&source->lock);
    return ok;
}

static void vhd_close(Source *base)
{
    VhdSource *source = (VhdSource *) base;
    pthread_mutex_lock(&source->lock);
    source->closing = true;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    cancel_set(base->stop);
    pthread_join(source->thread, NULL);
    pthread_cond_destroy(&source->moved);
    pthread_mutex_destroy(&source->lock);
    vhd_stream_free(source->stream);
    cancel_unref(base->stop);
    g_clear_error(&source->error);
    g_free(source->vdi);
    g_free(source->export_base);
    g_free(source);
}

static const struct source_ops vhd_ops = { vhd_next, vhd_close };

static VhdSource *vhd_new(const SourceRequest *request)
{
    VhdSource *source = g_new0(VhdSource, 1);
    VhdStreamOps ops = { on_head, on_block, source, on_room };
    source->base.ops = &vhd_ops;
    source->base.method = "vhd";
    source->base.stop = cancel_new_under(request->cancel, NULL);
    source->xapi = request->xapi;
    source->vdi = g_strdup(request->vdi);
    source->export_base = g_strdup(request->base);
    source->stream = vhd_stream_new(&ops);
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->moved, NULL);
    return source;
}

Source *source_vhd(const SourceRequest *request, GError **error)
{
    VhdSource *source = vhd_new(request);
    int failed = pthread_create(&source->thread, NULL, export_main, source);
    g_assert_cmpint(failed, ==, 0);
    pthread_mutex_lock(&source->lock);
    while (!source->headed && !source->ended)
        pthread_cond_wait(&source->moved, &source->lock);
    bool ok = source->headed || ended_well(source, error);
    pthread_mutex_unlock(&source->lock);
    if (ok)
        return &source->base;
    source_close(&source->base);
    return NULL;
}

/* --- Its head alone --- */

typedef struct {
    VhdStream *stream;
    guint8 *map;
    guint32 n_blocks;
    bool done;
} MapReader;

/* Refusing to go on ends the export. */
static bool map_head(const DiskInfo *info, guint32 n_present, void *user, GError **error)
{
    MapReader *reader = user;
    guint32 n;
    const guint32 *blocks = vhd_stream_blocks(reader->stream, &n);
    if (info->n_blocks != reader->n_blocks) {
        err_set(error, ERR_PROTOCOL, "the export has %u blocks, the VDI %u", info->n_blocks,
                reader->n_blocks);
        return false;
    }
    for (guint32 i = 0; i < n; i++)
        reader->map[blocks[i]] = 1;
    reader->done = true;
    err_set(error, ERR_CANCELLED, "the map of the export is read");
    return false;
}

static bool map_block(guint32 block, const void *data, void *user, GError **error)
{
    return false;
}

static bool map_data(const void *data, size_t n, void *user, GError **error)
{
    return vhd_stream_feed(((MapReader *) user)->stream, data, n, error);
}

guint8 *source_vhd_map(const SourceRequest *request, guint32 n_blocks, GError **error)
{
    MapReader reader = { .map = g_malloc0(MAX(n_blocks, 1)), .n_blocks = n_blocks };
    VhdStreamOps ops = { map_head, map_block, &reader };
    reader.stream = vhd_stream_new(&ops);
    GError *why = NULL;
    bool ok = xapi_export_vdi(request->xapi, request->vdi, request->base, "vhd", map_data, &reader,
                              request->cancel, &why);
    vhd_stream_free(reader.stream);
    if (reader.done) {
        g_clear_error(&why);
        return reader.map;
    }
    g_free(reader.map);
    if (ok)
        err_set(error, ERR_TRUNCATED, "the VHD export ended before its block table");
    else
        g_propagate_error(error, why);
    return NULL;
}
