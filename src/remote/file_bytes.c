/* One file of the place file:// as numbered bytes, past the page cache where that goes. */
#include "remote/file.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    Bytes base;
    Place *place; /* not owned: the remote outlives it */
    int fd;
    char *path;
    DirectFile direct;
} FileBytes;

void file_direct_begin(Place *place, DirectFile *file, int fd)
{
    bool cached = __atomic_load_n(&((FilePlace *) place)->cached, __ATOMIC_RELAXED);
    direct_init(file, fd, !cached);
}

void file_direct_end(Place *place, DirectFile *file)
{
    if (!file->possible)
        __atomic_store_n(&((FilePlace *) place)->cached, 1, __ATOMIC_RELAXED);
    direct_clear(file);
}

static bool flush_window(FileBytes *bytes, GError **error)
{
    if (direct_flush(&bytes->direct))
        return true;
    err_set_errno(error, errno, "writing \"%s\"", bytes->path);
    return false;
}

static gssize bytes_read_some(Bytes *base, guint64 offset, void *buffer, gsize n, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (!flush_window(bytes, error))
        return -1;
    gssize n_read = direct_read(&bytes->direct, offset, buffer, n);
    if (n_read < 0)
        err_set_errno(error, errno, "reading \"%s\" at %" G_GUINT64_FORMAT, bytes->path, offset);
    return n_read;
}

static gssize bytes_read_both(Bytes *base, guint64 offset, void *head, gsize n_head, void *buffer,
                              gsize n, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (!flush_window(bytes, error))
        return -1;
    gssize n_read = direct_read_split(&bytes->direct, offset, head, n_head, buffer, n);
    if (n_read < 0)
        err_set_errno(error, errno, "reading \"%s\" at %" G_GUINT64_FORMAT, bytes->path, offset);
    return n_read;
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
    g_autofree void *wrong = lie(data, n);
    if (direct_write(&bytes->direct, offset, wrong ? wrong : data, n))
        return true;
    err_set_errno(error, errno, "writing \"%s\" at %" G_GUINT64_FORMAT, bytes->path, offset);
    return false;
}

static bool bytes_set_size(Bytes *base, guint64 size, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (!flush_window(bytes, error))
        return false;
    if (ftruncate(bytes->fd, (off_t) size) == 0)
        return true;
    err_set_errno(error, errno, "resizing \"%s\"", bytes->path);
    return false;
}

static gint64 bytes_get_size(Bytes *base, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    struct stat st;
    if (!flush_window(bytes, error))
        return -1;
    if (fstat(bytes->fd, &st) == 0)
        return st.st_size;
    err_set_errno(error, errno, "looking at \"%s\"", bytes->path);
    return -1;
}

static bool bytes_flush(Bytes *base, GError **error)
{
    FileBytes *bytes = (FileBytes *) base;
    if (!flush_window(bytes, error))
        return false;
    if (fdatasync(bytes->fd) == 0)
        return true;
    err_set_errno(error, errno, "making \"%s\" durable", bytes->path);
    return false;
}

static void bytes_end(Bytes *base)
{
    FileBytes *bytes = (FileBytes *) base;
    direct_flush(&bytes->direct); /* who needs to know has synced */
    file_direct_end(bytes->place, &bytes->direct);
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
    .read_split = bytes_read_both,
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
        *bytes = (FileBytes){ .base = { &ops }, .place = place, .fd = fd, .path = g_strdup(path) };
        file_direct_begin(place, &bytes->direct, fd);
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
