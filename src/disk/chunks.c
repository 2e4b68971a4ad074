/* The one gate in front of every maker of chunks, and chunks in memory. */
#include "disk/chunks.h"

#include "base/error.h"

#include <pthread.h>
#include <string.h>

GBytes *chunks_get(Chunks *chunks, const char *name, GError **error)
{
    return chunks->ops->get(chunks, name, error);
}

bool chunks_put(Chunks *chunks, const char *name, const void *data, gsize n, GError **error)
{
    return chunks->ops->put(chunks, name, data, n, error);
}

bool chunks_move(Chunks *to, const char *to_name, Chunks *from, const char *name, GError **error)
{
    if (to->ops == from->ops)
        return to->ops->move(to, to_name, from, name, error);
    err_set(error, ERR_INTERNAL, "chunk %s cannot move between two kinds of places", name);
    return false;
}

bool chunks_drop(Chunks *chunks, const char *name, GError **error)
{
    return chunks->ops->drop(chunks, name, error);
}

bool chunks_sync(Chunks *chunks, GError **error)
{
    return chunks->ops->sync(chunks, error);
}

void chunks_close(Chunks *chunks)
{
    if (chunks)
        chunks->ops->close(chunks);
}

/* --- Memory --- */

typedef struct {
    Chunks base;
    pthread_mutex_t lock;
    GHashTable *table; /* name → GBytes */
} Memory;

static GBytes *take(Memory *memory, const char *name, bool remove)
{
    pthread_mutex_lock(&memory->lock);
    GBytes *bytes = g_hash_table_lookup(memory->table, name);
    if (bytes)
        g_bytes_ref(bytes);
    if (remove)
        g_hash_table_remove(memory->table, name);
    pthread_mutex_unlock(&memory->lock);
    return bytes;
}

static void give(Memory *memory, const char *name, GBytes *bytes)
{
    pthread_mutex_lock(&memory->lock);
    g_hash_table_replace(memory->table, g_strdup(name), bytes);
    pthread_mutex_unlock(&memory->lock);
}

static GBytes *memory_get(Chunks *chunks, const char *name, GError **error)
{
    GBytes *bytes = take((Memory *) chunks, name, false);
    if (!bytes)
        err_set(error, ERR_NOT_FOUND, "no chunk %s", name);
    return bytes;
}

static bool memory_put(Chunks *chunks, const char *name, const void *data, gsize n, GError **error)
{
    give((Memory *) chunks, name, g_bytes_new(data, n));
    return true;
}

static bool memory_move(Chunks *to, const char *to_name, Chunks *from, const char *name,
                        GError **error)
{
    GBytes *bytes = take((Memory *) from, name, true);
    if (!bytes) {
        err_set(error, ERR_NOT_FOUND, "no chunk %s", name);
        return false;
    }
    give((Memory *) to, to_name, bytes);
    return true;
}

static bool memory_drop(Chunks *chunks, const char *name, GError **error)
{
    GBytes *bytes = take((Memory *) chunks, name, true);
    if (bytes)
        g_bytes_unref(bytes);
    return true;
}

static bool memory_sync(Chunks *chunks, GError **error)
{
    return true;
}

static void memory_close(Chunks *chunks)
{
    Memory *memory = (Memory *) chunks;
    g_hash_table_unref(memory->table);
    pthread_mutex_destroy(&memory->lock);
    g_free(memory);
}

static const struct chunks_ops memory_ops = { memory_get,  memory_put,  memory_move,
                                              memory_drop, memory_sync, memory_close };

Chunks *chunks_new_memory(void)
{
    Memory *memory = g_new0(Memory, 1);
    memory->base.ops = &memory_ops;
    pthread_mutex_init(&memory->lock, NULL);
    memory->table =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
    return &memory->base;
}
