/* A folder of the place file:// as named chunks.
 *
 * A chunk is written beside its place and renamed into it, so that no name ever shows a torn one to
 * a reader. A new chunk becomes durable at sync; one that replaces another is durable before it
 * does, so that a power cut leaves the old or the new. Sync flushes the few files and folders that
 * changed one by one, or the whole file system when they are many: one flush instead of thousands.
 */
#include "remote/file.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_MAX_BYTES     (64u << 20)
#define SYNC_EACH_MAX_FILES 32u

typedef struct {
    Chunks base;
    Place *place; /* not owned: the remote outlives it */
    char *path;
    pthread_mutex_t lock; /* of the two sets */
    GHashTable *files,
        *folders; /* changed since the last sync: paths from the root of the remote */
} FileChunks;

static char *chunk_path(const FileChunks *chunks, const char *name, GError **error)
{
    bool sound = *name && *name != '/' && !strstr(name, "..") && !strstr(name, "//");
    if (sound)
        return g_strdup_printf("%s/%s", chunks->path, name);
    err_set(error, ERR_INVALID, "\"%s\" is not a name of a chunk", name);
    return NULL;
}

static void note(FileChunks *chunks, const char *path, bool file)
{
    pthread_mutex_lock(&chunks->lock);
    g_hash_table_add(chunks->folders, file_parent(path));
    if (file && g_hash_table_size(chunks->files) <= SYNC_EACH_MAX_FILES)
        g_hash_table_add(chunks->files, g_strdup(path));
    pthread_mutex_unlock(&chunks->lock);
}

static GBytes *read_large(FileChunks *chunks, int fd, gsize size, const char *path, GError **error)
{
    DirectFile file;
    void *data = block_buffer_take(size + DIRECT_BLOCK_BYTES);
    file_direct_begin(chunks->place, &file, fd);
    gssize n = direct_read(&file, 0, data, size);
    int failed = errno;
    file_direct_end(chunks->place, &file);
    if (n >= 0)
        return g_bytes_new_with_free_func(data, (gsize) n, block_buffer_give, data);
    block_buffer_give(data);
    err_set_errno(error, failed, "reading \"%s\"", path);
    return NULL;
}

static GBytes *get(Chunks *base, const char *name, GError **error)
{
    FileChunks *chunks = (FileChunks *) base;
    g_autofree char *path = chunk_path(chunks, name, error);
    if (!path)
        return NULL;
    g_autofree char *absolute = file_path(chunks->place, path);
    int fd = open(absolute, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    struct stat st;
    GBytes *data = NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= DIRECT_MIN_BYTES &&
        st.st_size <= CHUNK_MAX_BYTES)
        data = read_large(chunks, fd, (gsize) st.st_size, path, error);
    else
        data = file_ops.get(chunks->place, path, CHUNK_MAX_BYTES, error);
    if (fd >= 0)
        close(fd);
    return data;
}

/* Its folder is made when the first try finds none. */
static int open_beside(FileChunks *chunks, const char *path, char **temp, GError **error)
{
    g_autoptr(GError) failure = NULL;
    int fd = file_open_temp(chunks->place, path, ".tmp", temp, &failure);
    if (fd < 0 && err_is(failure, ERR_NOT_FOUND)) {
        g_autofree char *folder = file_parent(path);
        g_clear_error(&failure);
        if (!file_make_folders(chunks->place, folder, 0755, error))
            return -1;
        fd = file_open_temp(chunks->place, path, ".tmp", temp, &failure);
    }
    if (fd < 0)
        g_propagate_error(error, g_steal_pointer(&failure));
    return fd;
}

static bool fill(FileChunks *chunks, int fd, const char *path, const void *data, gsize n,
                 bool durable, GError **error)
{
    DirectFile file;
    file_direct_begin(chunks->place, &file, fd);
    bool ok = direct_write_whole(&file, data, n);
    bool cached = !file.possible;
    file_direct_end(chunks->place, &file);
    if (ok && cached && !durable)
        sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint */
    if (ok && (!durable || fsync(fd) == 0))
        return true;
    err_set_errno(error, errno, "writing \"%s\"", path);
    return false;
}

static bool put(Chunks *base, const char *name, const void *data, gsize n, GError **error)
{
    FileChunks *chunks = (FileChunks *) base;
    g_autofree char *path = chunk_path(chunks, name, error);
    g_autofree char *temp = NULL;
    if (!path)
        return false;
    g_autofree char *absolute = file_path(chunks->place, path);
    int fd = open_beside(chunks, path, &temp, error);
    if (fd < 0)
        return false;
    bool replaces = access(absolute, F_OK) == 0;
    bool ok = fill(chunks, fd, path, data, n, replaces, error);
    close(fd);
    CRASH_POINT(remote_chunk_written);
    if (ok && rename(temp, absolute) != 0) {
        err_set_errno(error, errno, "writing \"%s\"", path);
        ok = false;
    }
    if (!ok)
        unlink(temp);
    else
        note(chunks, path, !replaces);
    return ok;
}

static bool move(Chunks *to_base, const char *to_name, Chunks *from_base, const char *name,
                 GError **error)
{
    FileChunks *to = (FileChunks *) to_base, *from = (FileChunks *) from_base;
    g_autofree char *to_path = chunk_path(to, to_name, error);
    g_autofree char *from_path = to_path ? chunk_path(from, name, error) : NULL;
    if (!from_path)
        return false;
    g_autofree char *to_absolute = file_path(to->place, to_path);
    g_autofree char *from_absolute = file_path(from->place, from_path);
    g_autofree char *folder = file_parent(to_path);
    int failed = rename(from_absolute, to_absolute);
    if (failed && errno == ENOENT && access(from_absolute, F_OK) == 0) {
        if (!file_make_folders(to->place, folder, 0755, error))
            return false;
        failed = rename(from_absolute, to_absolute);
    }
    if (failed) {
        err_set_errno(error, errno, "moving \"%s\" to \"%s\"", from_path, to_path);
        return false;
    }
    note(to, to_path, false);
    note(from, from_path, false);
    return true;
}

static bool drop(Chunks *base, const char *name, GError **error)
{
    FileChunks *chunks = (FileChunks *) base;
    g_autofree char *path = chunk_path(chunks, name, error);
    if (!path)
        return false;
    g_autofree char *absolute = file_path(chunks->place, path);
    if (unlink(absolute) != 0 && errno != ENOENT) {
        err_set_errno(error, errno, "deleting \"%s\"", path);
        return false;
    }
    note(chunks, path, false);
    return true;
}

static bool sync_whole(FileChunks *chunks, GError **error)
{
    g_autofree char *absolute = file_path(chunks->place, chunks->path);
    int fd = open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && syncfs(fd) == 0;
    if (!ok)
        err_set_errno(error, errno, "making \"%s\" durable", chunks->path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool sync_file(FileChunks *chunks, const char *path, GError **error)
{
    g_autofree char *absolute = file_path(chunks->place, path);
    int fd = open(absolute, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) /* moved or dropped since */
        return true;
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_set_errno(error, errno, "making \"%s\" durable", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool sync_each(FileChunks *chunks, GHashTable *files, GHashTable *folders, GError **error)
{
    GHashTableIter iter;
    gpointer path;
    g_hash_table_iter_init(&iter, files);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (!sync_file(chunks, path, error))
            return false;
    g_hash_table_iter_init(&iter, folders);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        if (!file_ops.sync_folder(chunks->place, path, error))
            return false;
    return true;
}

static GHashTable *path_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static bool sync_all(Chunks *base, GError **error)
{
    FileChunks *chunks = (FileChunks *) base;
    pthread_mutex_lock(&chunks->lock);
    g_autoptr(GHashTable) files = g_steal_pointer(&chunks->files);
    g_autoptr(GHashTable) folders = g_steal_pointer(&chunks->folders);
    chunks->files = path_set();
    chunks->folders = path_set();
    pthread_mutex_unlock(&chunks->lock);
    return g_hash_table_size(files) > SYNC_EACH_MAX_FILES
               ? sync_whole(chunks, error)
               : sync_each(chunks, files, folders, error);
}

static void end(Chunks *base)
{
    FileChunks *chunks = (FileChunks *) base;
    g_hash_table_unref(chunks->files);
    g_hash_table_unref(chunks->folders);
    pthread_mutex_destroy(&chunks->lock);
    g_free(chunks->path);
    g_free(chunks);
}

static const struct chunks_ops ops = {
    .get = get,
    .put = put,
    .move = move,
    .drop = drop,
    .sync = sync_all,
    .close = end,
};

Chunks *file_chunks(Place *place, const char *path, GError **error)
{
    FileChunks *chunks = g_new0(FileChunks, 1);
    chunks->base.ops = &ops;
    chunks->place = place;
    chunks->path = g_strdup(path);
    chunks->files = path_set();
    chunks->folders = path_set();
    pthread_mutex_init(&chunks->lock, NULL);
    return &chunks->base;
}
