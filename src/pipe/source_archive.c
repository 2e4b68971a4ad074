/* The export of a VM as a source. A thread of its own receives, checks and copies straight into the
 * buffer that next() offers; so nothing waits here but what the pipe has room for. */
#include "pipe/archive.h"

#include "base/error.h"
#include "codec/hash.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    Source base;
    Xapi *xapi;
    char *vm, *compression;
    XvaStream *stream;
    Hash *hash;
    char *md5; /* once ended well */
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t moved;
    guint8 *buffer; /* offered by next(), NULL: none */
    gsize n_buffer; /* filled of it */
    guint32 n_pieces;
    gsize last_bytes; /* of the last piece, once ended */
    guint64 n_bytes;
    bool full, ended, closing;
    GError *error; /* of the thread, once ended */
} ArchiveSource;

/* The lock is held. Waits for a buffer with room. */
static bool wait_for_room(ArchiveSource *source, GError **error)
{
    while ((!source->buffer || source->full) && !source->closing)
        pthread_cond_wait(&source->moved, &source->lock);
    if (source->closing)
        err_set(error, ERR_CANCELLED, "the export is no longer wanted");
    return !source->closing;
}

static bool pass_on(ArchiveSource *source, const guint8 *data, gsize n, GError **error)
{
    while (n > 0) {
        pthread_mutex_lock(&source->lock);
        bool ok = wait_for_room(source, error);
        pthread_mutex_unlock(&source->lock);
        if (!ok)
            return false;
        gsize piece = MIN(n, DISK_BLOCK_BYTES - source->n_buffer);
        memcpy(source->buffer + source->n_buffer, data, piece); /* the reader waits for it */
        pthread_mutex_lock(&source->lock);
        source->n_buffer += piece;
        source->n_bytes += piece;
        source->full = source->n_buffer == DISK_BLOCK_BYTES;
        if (source->full)
            pthread_cond_broadcast(&source->moved);
        pthread_mutex_unlock(&source->lock);
        data += piece;
        n -= piece;
    }
    return true;
}

static bool on_data(const void *data, size_t n, void *user, GError **error)
{
    ArchiveSource *source = user;
    hash_add(source->hash, data, n);
    return xva_stream_feed(source->stream, data, n, error) && pass_on(source, data, n, error);
}

static void *export_main(void *data)
{
    ArchiveSource *source = data;
    GError *error = NULL, *cut = NULL;
    bool ok = xapi_export_vm(source->xapi, source->vm, source->compression, on_data, source,
                             source->base.stop, &error);
    /* The pool closes the connection when it is done: the format alone knows whether it was. */
    if (ok && !xva_stream_finish(source->stream, &cut))
        g_propagate_error(&error, g_steal_pointer(&cut));
    g_clear_error(&cut);
    source->md5 = hash_end_hex(source->hash);
    pthread_mutex_lock(&source->lock);
    source->error = error;
    source->ended = true;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    return NULL;
}

/* The lock is held. */
static bool ended_well(ArchiveSource *source, GError **error)
{
    if (!source->error)
        return true;
    g_propagate_error(error, g_error_copy(source->error));
    return false;
}

static bool archive_next(Source *base, unsigned reader, guint32 *piece, void *buffer, bool *more,
                         GError **error)
{
    ArchiveSource *source = (ArchiveSource *) base;
    pthread_mutex_lock(&source->lock);
    source->buffer = buffer;
    source->n_buffer = 0;
    source->full = false;
    pthread_cond_broadcast(&source->moved);
    while (!source->full && !source->ended)
        pthread_cond_wait(&source->moved, &source->lock);
    gsize n = source->n_buffer;
    bool ok = source->full || ended_well(source, error);
    source->buffer = NULL;
    *more = n > 0;
    *piece = source->n_pieces;
    if (ok && n > 0) {
        source->n_pieces++;
        source->last_bytes = n;
        source->n_buffer = 0;
        source->full = false;
    }
    pthread_mutex_unlock(&source->lock);
    memset((guint8 *) buffer + n, 0, DISK_BLOCK_BYTES - n);
    return ok;
}

static void archive_close(Source *base)
{
    ArchiveSource *source = (ArchiveSource *) base;
    pthread_mutex_lock(&source->lock);
    source->closing = true;
    pthread_cond_broadcast(&source->moved);
    pthread_mutex_unlock(&source->lock);
    cancel_set(base->stop);
    pthread_join(source->thread, NULL);
    pthread_cond_destroy(&source->moved);
    pthread_mutex_destroy(&source->lock);
    xva_stream_free(source->stream);
    hash_free(source->hash);
    cancel_unref(base->stop);
    g_clear_error(&source->error);
    g_free(source->md5);
    g_free(source->vm);
    g_free(source->compression);
    g_free(source);
}

static const struct source_ops archive_ops = { archive_next, archive_close };

Source *source_archive(Xapi *xapi, const char *vm, const char *compression, Cancel *cancel)
{
    ArchiveSource *source = g_new0(ArchiveSource, 1);
    source->base = (Source){ .ops = &archive_ops, .n_present = PIPE_UNKNOWN, .method = "xva" };
    source->base.stop = cancel_new_under(cancel, NULL);
    source->xapi = xapi;
    source->vm = g_strdup(vm);
    source->compression = g_strdup(compression);
    source->stream = xva_stream_new(&(XvaStreamOps){ 0 });
    source->hash = hash_new(HASH_MD5);
    pthread_mutex_init(&source->lock, NULL);
    pthread_cond_init(&source->moved, NULL);
    int failed = pthread_create(&source->thread, NULL, export_main, source);
    g_assert_cmpint(failed, ==, 0);
    return &source->base;
}

gsize source_archive_piece_bytes(Source *base, guint32 piece)
{
    ArchiveSource *source = (ArchiveSource *) base;
    pthread_mutex_lock(&source->lock);
    gsize n = piece + 1 == source->n_pieces ? source->last_bytes : DISK_BLOCK_BYTES;
    pthread_mutex_unlock(&source->lock);
    return n;
}

const XvaInfo *source_archive_info(Source *base)
{
    return xva_stream_info(((ArchiveSource *) base)->stream);
}

guint64 source_archive_bytes(Source *base)
{
    ArchiveSource *source = (ArchiveSource *) base;
    pthread_mutex_lock(&source->lock);
    guint64 n = source->n_bytes;
    pthread_mutex_unlock(&source->lock);
    return n;
}

const char *source_archive_md5(Source *base)
{
    return ((ArchiveSource *) base)->md5;
}
