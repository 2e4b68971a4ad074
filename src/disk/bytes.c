/* The one gate in front of every maker of bytes, and the two makers that need no remote: memory and
 * a local file. */
#include "disk/bytes.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool bytes_read(Bytes *bytes, guint64 offset, void *buffer, gsize n, GError **error)
{
    for (gsize done = 0; done < n;) {
        gssize got =
            bytes->ops->read(bytes, offset + done, (char *) buffer + done, n - done, error);
        if (got < 0)
            return false;
        if (got == 0) {
            err_set(error, ERR_TRUNCATED,
                    "file ends at byte %" G_GUINT64_FORMAT ", before byte %" G_GUINT64_FORMAT,
                    offset + done, offset + n);
            return false;
        }
        done += got;
    }
    return true;
}

bool bytes_read_split(Bytes *bytes, guint64 offset, void *head, gsize n_head, void *buffer, gsize n,
                      GError **error)
{
    gssize got = bytes->ops->read_split
                     ? bytes->ops->read_split(bytes, offset, head, n_head, buffer, n, error)
                     : 0;
    if (got < 0 || (gsize) got == n_head + n)
        return got >= 0;
    return bytes_read(bytes, offset, head, n_head, error) &&
           bytes_read(bytes, offset + n_head, buffer, n, error);
}

bool bytes_write(Bytes *bytes, guint64 offset, const void *data, gsize n, GError **error)
{
    return n == 0 || bytes->ops->write(bytes, offset, data, n, error);
}

bool bytes_resize(Bytes *bytes, guint64 size, GError **error)
{
    return bytes->ops->resize(bytes, size, error);
}

gint64 bytes_size(Bytes *bytes, GError **error)
{
    return bytes->ops->size(bytes, error);
}

bool bytes_sync(Bytes *bytes, GError **error)
{
    return bytes->ops->sync(bytes, error);
}

void bytes_close(Bytes *bytes)
{
    if (bytes)
        bytes->ops->close(bytes);
}

/* --- Memory --- */

typedef struct {
    Bytes base;
    GByteArray *array;
} Memory;

static gssize memory_read(Bytes *bytes, guint64 offset, void *buffer, gsize n, GError **error)
{
    GByteArray *array = ((Memory *) bytes)->array;
    gsize left = offset < array->len ? array->len - offset : 0;
    n = MIN(n, left);
    if (n)
        memcpy(buffer, array->data + offset, n);
    return n;
}

static bool memory_resize(Bytes *bytes, guint64 size, GError **error)
{
    GByteArray *array = ((Memory *) bytes)->array;
    guint old = array->len;
    if (size > G_MAXINT32) {
        err_set(error, ERR_LIMIT, "%" G_GUINT64_FORMAT " bytes do not fit into memory", size);
        return false;
    }
    g_byte_array_set_size(array, size);
    if (size > old)
        memset(array->data + old, 0, size - old);
    return true;
}

static bool memory_write(Bytes *bytes, guint64 offset, const void *data, gsize n, GError **error)
{
    GByteArray *array = ((Memory *) bytes)->array;
    if (offset + n > array->len && !memory_resize(bytes, offset + n, error))
        return false;
    memcpy(array->data + offset, data, n);
    return true;
}

static gint64 memory_size(Bytes *bytes, GError **error)
{
    return ((Memory *) bytes)->array->len;
}

static bool memory_sync(Bytes *bytes, GError **error)
{
    return true;
}

static void memory_close(Bytes *bytes)
{
    g_byte_array_unref(((Memory *) bytes)->array);
    g_free(bytes);
}

static const struct bytes_ops memory_ops = { memory_read, memory_write, memory_resize,
                                             memory_size, memory_sync,  memory_close };

Bytes *bytes_new_memory(const void *data, gsize n)
{
    Memory *memory = g_new0(Memory, 1);
    memory->base.ops = &memory_ops;
    memory->array = g_byte_array_new();
    if (n)
        g_byte_array_append(memory->array, data, n);
    return &memory->base;
}

/* --- A file descriptor --- */

typedef struct {
    Bytes base;
    int fd;
    char *name;
} File;

static gssize file_read(Bytes *bytes, guint64 offset, void *buffer, gsize n, GError **error)
{
    File *file = (File *) bytes;
    for (;;) {
        gssize got = pread(file->fd, buffer, n, offset);
        if (got >= 0)
            return got;
        if (errno != EINTR)
            break;
    }
    err_set_errno(error, errno, "reading %s", file->name);
    return -1;
}

static bool file_write(Bytes *bytes, guint64 offset, const void *data, gsize n, GError **error)
{
    File *file = (File *) bytes;
    for (gsize done = 0; done < n;) {
        gssize put = pwrite(file->fd, (const char *) data + done, n - done, offset + done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            err_set_errno(error, put ? errno : EIO, "writing %s", file->name);
            return false;
        }
        done += put;
    }
    return true;
}

static bool file_resize(Bytes *bytes, guint64 size, GError **error)
{
    File *file = (File *) bytes;
    if (!ftruncate(file->fd, size))
        return true;
    err_set_errno(error, errno, "resizing %s", file->name);
    return false;
}

static gint64 file_size(Bytes *bytes, GError **error)
{
    File *file = (File *) bytes;
    gint64 size = lseek(file->fd, 0, SEEK_END);
    if (size < 0)
        err_set_errno(error, errno, "finding the size of %s", file->name);
    return size;
}

static bool file_sync(Bytes *bytes, GError **error)
{
    File *file = (File *) bytes;
    if (!fdatasync(file->fd))
        return true;
    err_set_errno(error, errno, "syncing %s", file->name);
    return false;
}

static void file_close(Bytes *bytes)
{
    File *file = (File *) bytes;
    close(file->fd);
    g_free(file->name);
    g_free(file);
}

static const struct bytes_ops file_ops = { file_read, file_write, file_resize,
                                           file_size, file_sync,  file_close };

Bytes *bytes_new_fd(int fd, const char *name)
{
    File *file = g_new0(File, 1);
    file->base.ops = &file_ops;
    file->fd = fd;
    file->name = g_strdup(name);
    return &file->base;
}
