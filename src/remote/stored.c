/* Chunks as the storage holds them: before each is read, what memory knows of it is forgotten. Only
 * for reading back what was written. */
#include "remote/remote.h"

#include "base/error.h"

typedef struct {
    Chunks base;
    Chunks *inner;
    Remote *remote;
    char *path;
} StoredChunks;

static GBytes *stored_get(Chunks *base, const char *name, GError **error)
{
    StoredChunks *chunks = (StoredChunks *) base;
    g_autofree char *path = g_strjoin("/", chunks->path, name, NULL);
    remote_forget(chunks->remote, path);
    return chunks_get(chunks->inner, name, error);
}

static bool refuse(GError **error)
{
    err_set(error, ERR_STATE, "these chunks are only to be read");
    return false;
}

static bool stored_put(Chunks *base, const char *name, const void *data, gsize n, GError **error)
{
    return refuse(error);
}

static bool stored_move(Chunks *to, const char *to_name, Chunks *from, const char *name,
                        GError **error)
{
    return refuse(error);
}

static bool stored_drop(Chunks *base, const char *name, GError **error)
{
    return refuse(error);
}

static bool stored_sync(Chunks *base, GError **error)
{
    return true;
}

static void stored_close(Chunks *base)
{
    StoredChunks *chunks = (StoredChunks *) base;
    chunks_close(chunks->inner);
    g_free(chunks->path);
    g_free(chunks);
}

static const struct chunks_ops stored_ops = { stored_get,  stored_put,  stored_move,
                                              stored_drop, stored_sync, stored_close };

Chunks *remote_chunks_stored(Remote *remote, const char *path, GError **error)
{
    Chunks *inner = remote_chunks(remote, path, error);
    if (!inner)
        return NULL;
    StoredChunks *chunks = g_new0(StoredChunks, 1);
    *chunks = (StoredChunks){ { &stored_ops }, inner, remote, g_strdup(path) };
    return &chunks->base;
}
