/* Named chunks of one disk: what a block directory is made of ("header", "bat", "blocks/0/12"). The
 * names are relative; remote/ binds them to a folder. Thread-safe. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Chunks Chunks;

struct chunks_ops {
    /* The whole chunk; NOT_FOUND when absent. */
    GBytes *(*get)(Chunks *chunks, const char *name, GError **error);
    /* Creates or replaces; folders are made as needed. Durable after sync. */
    bool (*put)(Chunks *chunks, const char *name, const void *data, gsize n, GError **error);
    /* Moves a chunk here from a sibling of the same maker, over any chunk of that name. */
    bool (*move)(Chunks *to, const char *to_name, Chunks *from, const char *name, GError **error);
    /* Absent is success. */
    bool (*drop)(Chunks *chunks, const char *name, GError **error);
    bool (*sync)(Chunks *chunks, GError **error);
    void (*close)(Chunks *chunks);
};

struct Chunks {
    const struct chunks_ops *ops;
};

GBytes *chunks_get(Chunks *chunks, const char *name, GError **error);
bool chunks_put(Chunks *chunks, const char *name, const void *data, gsize n, GError **error);
bool chunks_move(Chunks *to, const char *to_name, Chunks *from, const char *name, GError **error);
bool chunks_drop(Chunks *chunks, const char *name, GError **error);
bool chunks_sync(Chunks *chunks, GError **error);
void chunks_close(Chunks *chunks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chunks, chunks_close)

Chunks *chunks_new_memory(void);
