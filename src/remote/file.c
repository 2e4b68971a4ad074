/* The place file://: a folder of this machine, or of whatever is mounted there.
 *
 * A file appears under its name only when its bytes are on the disk: written beside it under a
 * hidden name, fsynced, renamed, and the folder fsynced. The hidden name is XO's (".<epoch
 * ms>.<basename>") with ".tmp" behind, because XO reads any "*.json" and opens any "*.vhd" that it
 * sees. */
#include "remote/file.h"

#include "base/durable.h"
#include "base/error.h"
#include "base/mutant.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TREE_MAX_DEPTH 64u
#define TEMP_MAX_TRIES 100u

char *file_path(const Place *place, const char *path)
{
    const FilePlace *file = (const FilePlace *) place;
    return *path ? g_build_filename(file->root, path, NULL) : g_strdup(file->root);
}

char *file_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? g_strndup(path, (gsize) (slash - path)) : g_strdup("");
}

bool file_sync_folder(const char *absolute, const char *what, GError **error)
{
    int fd = open(absolute, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 &&
              (fsync(fd) == 0 || errno == EINVAL); /* EINVAL: the file system has no need */
    if (!ok)
        err_set_errno(error, errno, "making the folder \"%s\" durable", what);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_one(const Place *place, const char *path, unsigned mode, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    if (mkdir(absolute, mode) == 0) {
        g_autofree char *parent = file_parent(path);
        g_autofree char *parent_absolute = file_path(place, parent);
        return file_sync_folder(parent_absolute, parent, error);
    }
    struct stat st;
    if (errno == EEXIST && stat(absolute, &st) == 0 && S_ISDIR(st.st_mode))
        return true;
    err_set_errno(error, errno, "making the folder \"%s\"", path);
    return false;
}

bool file_make_folders(const Place *place, const char *path, unsigned mode, GError **error)
{
    for (const char *end = path; *end;) {
        end += strspn(end, "/");
        end += strcspn(end, "/");
        g_autofree char *folder = g_strndup(path, (gsize) (end - path));
        if (!make_one(place, folder, mode, error))
            return false;
    }
    return true;
}

bool file_write_all(int fd, const void *data, gsize n, const char *what, GError **error)
{
    const char *next = data;
    while (n) {
        ssize_t done = write(fd, next, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            err_set_errno(error, done < 0 ? errno : ENOSPC, "writing \"%s\"", what);
            return false;
        }
        next += done;
        n -= (gsize) done;
    }
    return true;
}

int file_open_temp(const Place *place, const char *path, const char *suffix, char **temp_absolute,
                   GError **error)
{
    g_autofree char *folder = file_parent(path);
    g_autofree char *folder_absolute = file_path(place, folder);
    g_autofree char *name = g_path_get_basename(path);
    gint64 ms = g_get_real_time() / 1000;
    for (unsigned i = 0; i < TEMP_MAX_TRIES; i++) {
        g_free(*temp_absolute);
        *temp_absolute =
            g_strdup_printf("%s/.%" G_GINT64_FORMAT ".%s%s", folder_absolute, ms + i, name, suffix);
        int fd = open(*temp_absolute, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0 || errno != EEXIST) {
            if (fd < 0)
                err_set_errno(error, errno, "creating \"%s\"", path);
            return fd;
        }
    }
    err_set(error, ERR_EXISTS, "creating \"%s\": no free temporary name", path);
    return -1;
}

/* --- the table --- */

static GBytes *read_all(int fd, const char *path, gsize size, GError **error)
{
    g_autofree char *data = g_malloc(size + 1);
    gsize n = 0;
    while (n < size) {
        ssize_t done = pread(fd, data + n, size - n, (off_t) n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0) {
            err_set_errno(error, errno, "reading \"%s\"", path);
            return NULL;
        }
        if (done == 0)
            break;
        n += (gsize) done;
    }
    return g_bytes_new_take(g_steal_pointer(&data), n);
}

static GBytes *file_get(Place *place, const char *path, gsize max, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    struct stat st;
    int fd = open(absolute, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not hang us */
    GBytes *data = NULL;
    if (fd < 0 || fstat(fd, &st) != 0)
        err_set_errno(error, errno, "reading \"%s\"", path);
    else if (!S_ISREG(st.st_mode))
        err_set(error, ERR_CORRUPT, "reading \"%s\": it is not a file", path);
    else if ((guint64) st.st_size > max)
        err_set(error, ERR_LIMIT,
                "reading \"%s\": %" G_GINT64_FORMAT
                " bytes, more than the limit of %" G_GSIZE_FORMAT,
                path, (gint64) st.st_size, max);
    else
        data = read_all(fd, path, (gsize) st.st_size, error);
    if (fd >= 0)
        close(fd);
    return data;
}

static bool give_name(const char *temp, const char *absolute, bool exclusive, const char *path,
                      GError **error)
{
    if (MUTANT(remote_put_overwrites)) /* mutant: remote_file */
        exclusive = false;
    int failed = exclusive ? renameat2(AT_FDCWD, temp, AT_FDCWD, absolute, RENAME_NOREPLACE)
                           : rename(temp, absolute);
    if (failed && exclusive && (errno == EINVAL || errno == ENOSYS)) { /* NFS */
        failed = link(temp, absolute);
        if (!failed)
            unlink(temp);
    }
    if (failed)
        err_set_errno(error, errno, "writing \"%s\"", path);
    return !failed;
}

/* A new file under its name from the start: a hidden one would stay when a power cut takes the
 * rename. Who reads checks it anyway. */
static bool put_volatile(const char *absolute, const char *path, const void *data, gsize n,
                         GError **error)
{
    unlink(absolute);
    int fd = open(absolute, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST)
        return true; /* somebody else writes it just now */
    if (fd < 0) {
        err_set_errno(error, errno, "writing \"%s\"", path);
        return false;
    }
    bool ok = file_write_all(fd, data, n, path, error);
    close(fd);
    return ok;
}

static bool fill_temp(int fd, const char *path, const void *data, gsize n, GError **error)
{
    if (!file_write_all(fd, data, n, path, error))
        return false;
    if (fsync(fd) == 0)
        return true;
    err_set_errno(error, errno, "writing \"%s\"", path);
    return false;
}

static bool file_put(Place *place, const char *path, const void *data, gsize n, RemotePut how,
                     GError **error)
{
    g_autofree char *folder = file_parent(path);
    g_autofree char *folder_absolute = file_path(place, folder);
    g_autofree char *absolute = file_path(place, path);
    g_autofree char *temp = NULL;
    if (!file_make_folders(place, folder, 0755, error))
        return false;
    if (how == REMOTE_PUT_VOLATILE)
        return put_volatile(absolute, path, data, n, error);
    int fd = file_open_temp(place, path, ".tmp", &temp, error);
    if (fd < 0)
        return false;
    bool ok = fill_temp(fd, path, data, n, error);
    close(fd);
    CRASH_POINT(remote_put_written);
    ok = ok && give_name(temp, absolute, how == REMOTE_PUT_NEW, path, error);
    if (!ok)
        unlink(temp);
    CRASH_POINT(remote_put_named);
    return ok && file_sync_folder(folder_absolute, folder, error);
}

static GPtrArray *file_list(Place *place, const char *path, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    DIR *dir = opendir(absolute);
    if (!dir) {
        err_set_errno(error, errno, "listing \"%s\"", path);
        return NULL;
    }
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    struct dirent *entry;
    while ((errno = 0, entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    int failed = errno; /* a listing that ends early must never look complete */
    closedir(dir);
    if (!failed)
        return g_steal_pointer(&names);
    err_set_errno(error, failed, "listing \"%s\"", path);
    return NULL;
}

static void to_stat(const struct stat *st, RemoteStat *out)
{
    *out = (RemoteStat){ .size_bytes = (guint64) st->st_size,
                         .mtime_ns = (gint64) st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
                         .inode = st->st_ino,
                         .is_folder = S_ISDIR(st->st_mode) };
}

/* Unlike an inode, which the next file may get, inode and birth name one file for ever. */
static gint64 birth_ns(const char *absolute)
{
    struct statx stx;
    if (statx(AT_FDCWD, absolute, 0, STATX_BTIME, &stx) != 0 || !(stx.stx_mask & STATX_BTIME))
        return 0;
    return stx.stx_btime.tv_sec * 1000000000ll + stx.stx_btime.tv_nsec;
}

static bool file_stat(Place *place, const char *path, RemoteStat *out, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    struct stat st;
    if (stat(absolute, &st) != 0) {
        err_set_errno(error, errno, "looking at \"%s\"", path);
        return false;
    }
    to_stat(&st, out);
    if (out->is_folder)
        out->birth_ns = birth_ns(absolute);
    return true;
}

static bool sync_parent(Place *place, const char *path, GError **error)
{
    g_autofree char *folder = file_parent(path);
    g_autofree char *absolute = file_path(place, folder);
    return file_sync_folder(absolute, folder, error);
}

static bool file_rename(Place *place, const char *from, const char *to, GError **error)
{
    g_autofree char *from_absolute = file_path(place, from);
    g_autofree char *to_absolute = file_path(place, to);
    g_autofree char *from_folder = file_parent(from);
    g_autofree char *to_folder = file_parent(to);
    if (rename(from_absolute, to_absolute) != 0) {
        err_set_errno(error, errno, "renaming \"%s\" to \"%s\"", from, to);
        return false;
    }
    return sync_parent(place, to, error) &&
           (strcmp(from_folder, to_folder) == 0 || sync_parent(place, from, error));
}

static bool file_drop(Place *place, const char *path, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    if (unlink(absolute) == 0)
        return sync_parent(place, path, error);
    if (errno == ENOENT && !MUTANT(remote_drop_absent_fails)) /* mutant: remote_file */
        return true;
    err_set_errno(error, errno, "deleting \"%s\"", path);
    return false;
}

static bool empty_folder(Place *place, const char *path, unsigned depth, GError **error);

static bool drop_any(Place *place, const char *path, unsigned depth, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    g_atomic_int_inc(&place->n_moves);
    if (unlink(absolute) == 0 || errno == ENOENT)
        return true;
    if (errno == EISDIR) {
        if (!empty_folder(place, path, depth, error))
            return false;
        if (rmdir(absolute) == 0 || errno == ENOENT)
            return true;
    }
    err_set_errno(error, errno, "deleting \"%s\"", path);
    return false;
}

static bool empty_folder(Place *place, const char *path, unsigned depth, GError **error)
{
    if (depth > TREE_MAX_DEPTH) {
        err_set(error, ERR_LIMIT, "deleting \"%s\": more than %u folders deep", path,
                TREE_MAX_DEPTH);
        return false;
    }
    g_autoptr(GPtrArray) names = file_list(place, path, error);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *child = g_strdup_printf("%s/%s", path, (char *) names->pdata[i]);
        if (!drop_any(place, child, depth + 1, error))
            return false;
    }
    return names != NULL;
}

static bool file_drop_tree(Place *place, const char *path, GError **error)
{
    return drop_any(place, path, 0, error) && sync_parent(place, path, error);
}

static bool file_make_folder(Place *place, const char *path, unsigned mode, GError **error)
{
    return file_make_folders(place, path, mode, error);
}

static bool file_sync(Place *place, const char *path, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    return file_sync_folder(absolute, path, error);
}

/* Pages that are on the disk already leave the page cache; the next read fills them again. */
static void file_forget(Place *place, const char *path)
{
    g_autofree char *absolute = file_path(place, path);
    int fd = open(absolute, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static bool file_space(Place *place, RemoteSpace *space, GError **error)
{
    struct statvfs st;
    if (statvfs(((FilePlace *) place)->root, &st) != 0) {
        err_set_errno(error, errno, "asking for the free space");
        return false;
    }
    guint64 unit = st.f_frsize ? st.f_frsize : st.f_bsize;
    space->size_bytes = unit * st.f_blocks;
    space->used_bytes = unit * (st.f_blocks - st.f_bfree);
    space->available_bytes = unit * st.f_bavail;
    return true;
}

static void file_close(Place *place)
{
    g_free(((FilePlace *) place)->root);
    g_free(place);
}

static Place *file_open(const RemoteUrl *url, GError **error)
{
    const char *need = url->read_only ? "the folder must be readable"
                                      : "the folder must be readable and writable";
    int access_mode = R_OK | X_OK | (url->read_only ? 0 : W_OK);
    struct stat st;
    if (!url->read_only && !durable_make_folder(url->path, 0755, error)) {
        g_prefix_error(error, "%s: ", need);
        return NULL;
    }
    int failure = stat(url->path, &st) != 0             ? errno
                  : !S_ISDIR(st.st_mode)                ? ENOTDIR
                  : access(url->path, access_mode) != 0 ? errno
                                                        : 0;
    if (failure) {
        err_set_errno(error, failure, "%s", need);
        return NULL;
    }
    FilePlace *place = g_new0(FilePlace, 1);
    place->base.ops = &file_ops;
    place->root = g_strdup(url->path);
    return &place->base;
}

/* --- locks --- */

static bool file_lock_take(Place *place, const char *path, RemoteStat *now, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    if (mkdir(absolute, 0755) == 0)
        return file_stat(place, path, now, error);
    err_set_errno(error, errno, "locking \"%s\"", path);
    return false;
}

static bool file_lock_touch(Place *place, const char *path, RemoteStat *now, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    if (utimensat(AT_FDCWD, absolute, NULL, 0) == 0)
        return file_stat(place, path, now, error);
    err_set_errno(error, errno, "refreshing the lock \"%s\"", path);
    return false;
}

/* Moved away first: rename is atomic, so two who steal at once cannot both believe that they did,
 * nor remove the lock that a third has just made. */
static bool file_lock_steal(Place *place, const char *path, const RemoteStat *seen, GError **error)
{
    g_autofree char *absolute = file_path(place, path);
    g_autofree char *folder = g_path_get_dirname(absolute);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *away = g_strdup_printf("%s/.%" G_GINT64_FORMAT ".%d.%s", folder,
                                            g_get_real_time(), getpid(), name);
    struct stat st;
    if (rename(absolute, away) != 0 || stat(away, &st) != 0)
        return errno == ENOENT;
    if (st.st_ino != seen->inode)
        return renameat2(AT_FDCWD, away, AT_FDCWD, absolute, RENAME_NOREPLACE) == 0 ||
               rmdir(away) == 0;
    if (rmdir(away) == 0)
        return true;
    err_set_errno(error, errno, "removing the stale lock \"%s\"", path);
    return false;
}

const struct remote_ops file_ops = {
    .type = "file",
    .open = file_open,
    .close = file_close,
    .get = file_get,
    .put = file_put,
    .list = file_list,
    .stat = file_stat,
    .rename = file_rename,
    .drop = file_drop,
    .drop_tree = file_drop_tree,
    .make_folder = file_make_folder,
    .sync_folder = file_sync,
    .space = file_space,
    .bytes = file_bytes,
    .chunks = file_chunks,
    .forget = file_forget,
    .lock_take = file_lock_take,
    .lock_touch = file_lock_touch,
    .lock_steal = file_lock_steal,
};
