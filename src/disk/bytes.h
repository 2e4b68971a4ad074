/* A file as the disk formats see it: numbered bytes. Formats know nothing of remotes; remote/ makes
 * these. All calls block; one thread at a time per object unless the maker says more. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Bytes Bytes;

struct bytes_ops {
    /* Reads up to n bytes; fewer only at the end of the file; -1 with an error. */
    gssize (*read)(Bytes *bytes, guint64 offset, void *buffer, gsize n, GError **error);
    bool (*write)(Bytes *bytes, guint64 offset, const void *data, gsize n, GError **error);
    bool (*resize)(Bytes *bytes, guint64 size, GError **error);
    gint64 (*size)(Bytes *bytes, GError **error);
    /* Data and size are durable when it returns. */
    bool (*sync)(Bytes *bytes, GError **error);
    void (*close)(Bytes *bytes);
    /* n_head bytes, then the n that follow them, at once: how many in all, fewer only at the end
     * of the file; -1 with an error. May be absent. */
    gssize (*read_split)(Bytes *bytes, guint64 offset, void *head, gsize n_head, void *buffer,
                         gsize n, GError **error);
};

/* The maker's struct starts with this. */
struct Bytes {
    const struct bytes_ops *ops;
};

/* All n bytes or an error (TRUNCATED at the end of the file). */
bool bytes_read(Bytes *bytes, guint64 offset, void *buffer, gsize n, GError **error);
/* The same into two places: a head, and what follows it. */
bool bytes_read_split(Bytes *bytes, guint64 offset, void *head, gsize n_head, void *buffer, gsize n,
                      GError **error);
bool bytes_write(Bytes *bytes, guint64 offset, const void *data, gsize n, GError **error);
bool bytes_resize(Bytes *bytes, guint64 size, GError **error);
gint64 bytes_size(Bytes *bytes, GError **error);
bool bytes_sync(Bytes *bytes, GError **error);
void bytes_close(Bytes *bytes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bytes, bytes_close)

/* In memory, for tests; starts with a copy of data. */
Bytes *bytes_new_memory(const void *data, gsize n);
/* A local file descriptor, taken over. */
Bytes *bytes_new_fd(int fd, const char *name);
