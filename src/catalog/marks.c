/* What the pipe writes a disk into: each block is hashed, for the manifest, and passed on; every so
 * many blocks all of it is made durable and told, so that another process can go on from there. */
#include "catalog/marks.h"

#include "base/error.h"
#include "base/mutant.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    DiskWriter base;
    DiskWriter *inner;
    BlockMap *hashes;
    pthread_rwlock_t gate; /* held to read by those who put, to write while a mark is made */
    guint32 n_marked;      /* rows of hashes; with the gate held to write */
    Remote *remote;
    char *folder;
    CatalogMark mark;
    void *user;
    GDestroyNotify release;
} MarkingWriter;

/* The gate is held to write. */
static bool make_mark(MarkingWriter *writer, GError **error)
{
    g_autoptr(GBytes) rows = block_map_rows(writer->hashes, writer->n_marked);
    gsize n;
    const void *data = g_bytes_get_data(rows, &n);
    bool first = writer->n_marked == 0;
    if (n == 0)
        return true;
    if (!writer->inner->ops->sync(writer->inner, error) ||
        (first && !remote_sync_folder(writer->remote, writer->folder, error)))
        return false;
    writer->mark(data, n, writer->user);
    writer->n_marked = block_map_size(writer->hashes);
    CRASH_POINT(catalog_disk_marked);
    return true;
}

static bool mark_when_due(MarkingWriter *writer, guint32 n_most, GError **error)
{
    if (!writer->mark || !writer->inner->ops->sync)
        return true;
    pthread_rwlock_wrlock(&writer->gate);
    bool due = block_map_size(writer->hashes) - writer->n_marked > n_most;
    bool ok = !due || make_mark(writer, error);
    pthread_rwlock_unlock(&writer->gate);
    return ok;
}

/* True: it is there already, *ok says whether with this content. */
static bool is_known(MarkingWriter *writer, guint32 block, const guint8 *hash, bool *ok,
                     GError **error)
{
    guint8 before[BLOCK_HASH_BYTES];
    if (!block_map_get(writer->hashes, block, before))
        return false;
    *ok = memcmp(before, hash, sizeof before) == 0 ||
          MUTANT(marks_trust); /* mutant: catalog_marks */
    if (!*ok)
        err_set(error, ERR_STATE, "block %u is not what it was before the interruption", block);
    return true;
}

static bool marking_put(DiskWriter *base, guint32 block, const void *data, GError **error)
{
    MarkingWriter *writer = (MarkingWriter *) base;
    guint8 hash[BLOCK_HASH_BYTES];
    bool ok;
    block_hash(data, hash);
    if (is_known(writer, block, hash, &ok, error))
        return ok;
    pthread_rwlock_rdlock(&writer->gate);
    ok = disk_put_block(writer->inner, block, data, error);
    if (ok)
        block_map_set(writer->hashes, block, hash);
    bool full = ok && block_map_size(writer->hashes) - writer->n_marked >= CATALOG_MARK_BLOCKS;
    pthread_rwlock_unlock(&writer->gate);
    return ok && (!full || mark_when_due(writer, CATALOG_MARK_BLOCKS - 1, error));
}

static bool marking_finish(DiskWriter *base, guint64 *stored_bytes, GError **error)
{
    return disk_finish(((MarkingWriter *) base)->inner, stored_bytes, error);
}

static void marking_close(DiskWriter *base)
{
    MarkingWriter *writer = (MarkingWriter *) base;
    disk_writer_close(writer->inner);
    pthread_rwlock_destroy(&writer->gate);
    if (writer->release)
        writer->release(writer->user);
    g_free(writer->folder);
    g_free(writer);
}

static const struct disk_writer_ops marking_ops = { .put_block = marking_put,
                                                    .finish = marking_finish,
                                                    .close = marking_close };

DiskWriter *marking_writer_new(DiskWriter *inner, BlockMap *hashes)
{
    MarkingWriter *writer = g_new0(MarkingWriter, 1);
    writer->base = (DiskWriter){ &marking_ops, inner->info, inner->parallel };
    writer->inner = inner;
    writer->hashes = hashes;
    writer->n_marked = block_map_size(hashes);
    pthread_rwlock_init(&writer->gate, NULL);
    return &writer->base;
}

void marking_writer_tell(DiskWriter *base, Remote *remote, const char *folder, CatalogMark mark,
                         void *user, GDestroyNotify release)
{
    MarkingWriter *writer = (MarkingWriter *) base;
    g_free(writer->folder);
    writer->remote = remote;
    writer->folder = g_strdup(folder);
    writer->mark = mark;
    writer->user = user;
    writer->release = release;
}

bool marking_writer_flush(DiskWriter *base, GError **error)
{
    return mark_when_due((MarkingWriter *) base, 0, error);
}
