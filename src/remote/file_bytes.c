/* One file of the place file:// as numbered bytes. What was written is pushed to the disk every few
 * MiB, so that the sync at the end has little left to wait for. */
#include "remote/file.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PUSH_EVERY_BYTES (8u << 20)

typedef struct {
    Bytes base;
    int fd;
    char *path;
    gsize n_unpushed;
} FileBytes;

static gssize bytes_read_some(Bytes *base, guint64 offset, void *buffer, gsize n, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    gsize n_read = 0;
    while (n_read < n) {
        ssize_t done =
            pread(bytes->fd, (char *) buffer + n_read, n - n_read, (off_t) (offset + n_read));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            err_set_errno(error, errno, "reading \"%s\" at %" G_GUINT64_FORMAT, bytes->path,
                          offset);
            return -1;
        }
        if (done == 0)
            break;
        n_read += (gsize) done;
    }
    return (gssize) n_read;
}

static void push(FileBytes *bytes, gsize n)
{
    bytes->n_unpushed += n;
    if (bytes->n_unpushed < PUSH_EVERY_BYTES)
        return;
    sync_file_range(bytes->fd, 0, 0,
                    SYNC_FILE_RANGE_WRITE); /* a hint: its failure shows at the sync */
    bytes->n_unpushed = 0;
}

enum { LIE_FROM_BYTES = 64 << 10 };

/* Storage that says it wrote, and wrote something else; NULL: it is honest. */
static void *lie(const void *data, gsize n)
{
    if (n < LIE_FROM_BYTES || !MUTANT(storage_flips_bits)) /* mutant: catalog_readback */
        return NULL;
    guint8 *copy = g_memdup2(data, n);
    copy[n / 2] ^= 1;
    return copy;
}

static bool bytes_write_all(Bytes *base, guint64 offset, const void *data, gsize n, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    gsize n_written = 0;
    g_autofree void *wrong = lie(data, n);
    data = wrong ? wrong : data;
    while (n_written < n) {
        ssize_t done = pwrite(bytes->fd, (const char *) data + n_written, n - n_written,
                              (off_t) (offset + n_written));
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            err_set_errno(error, done < 0 ? errno : ENOSPC, "writing \"%s\" at %" G_GUINT64_FORMAT,
                          bytes->path, offset);
            return false;
        }
        n_written += (gsize) done;
    }
    push(bytes, n);
    return true;
}

static bool bytes_set_size(Bytes *base, guint64 size, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (ftruncate(bytes->fd, (off_t) size) == 0)
        return true;
    err_set_errno(error, errno, "resizing \"%s\"", bytes->path);
    return false;
}

static gint64 bytes_get_size(Bytes *base, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    struct stat st;
    if (fstat(bytes->fd, &st) == 0)
        return st.st_size;
    err_set_errno(error, errno, "looking at \"%s\"", bytes->path);
    return -1;
}

static bool bytes_flush(Bytes *base, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (fdatasync(bytes->fd) == 0)
        return true;
    err_set_errno(error, errno, "making \"%s\" durable", bytes->path);
    return false;
}

static void bytes_end(Bytes *base)
{
    FileBytes *bytes = (FileBytes *) base;
    close(bytes->fd);
    g_free(bytes->path);
    g_free(bytes);
}

static const struct bytes_ops ops = {
    .read = bytes_read_some,
    .write = bytes_write_all,
    .resize = bytes_set_size,
    .size = bytes_get_size,
    .sync = bytes_flush,
    .close = bytes_end,
};

Bytes *file_bytes(Place *place, const char *path, RemoteMode mode, GError **error)
{
    static const int flags[] = { [REMOTE_READ] = O_RDONLY,
                                 [REMOTE_CREATE] = O_RDWR | O_CREAT | O_TRUNC,
                                 [REMOTE_UPDATE] = O_RDWR };
    g_autofree char *absolute = file_path(place, path);
    g_autofree char *folder = file_parent(path);
    if (mode == REMOTE_CREATE && !file_make_folders(place, folder, 0755, error))
        return NULL;
    int fd = open(absolute, flags[mode] | O_CLOEXEC | O_NONBLOCK, 0644);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        FileBytes *bytes = g_new0(FileBytes, 1);
        *bytes = (FileBytes){ { &ops }, fd, g_strdup(path), 0 };
        return &bytes->base;
    }
    if (fd >= 0) {
        close(fd);
        err_set(error, ERR_IO, "opening \"%s\": it is not a file", path);
    } else {
        err_set_errno(error, errno, "opening \"%s\"", path);
    }
    return NULL;
}
