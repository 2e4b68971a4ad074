/* A journal's file: locked by its writer, appended, made durable before the act it announces. */
#include "journal/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_TRIES = 5 };

struct Journal {
    char *path;
    int fd;
    gsize end; /* where the next record goes */
    pthread_mutex_t lock;
};

static bool sync_folder_of(const char *path, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        err_set_errno(error, errno, "journal %s: its folder", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The locked descriptor, or -1. A file that its last holder has just removed is opened anew. */
static int open_locked(const char *path, GError **error)
{
    for (unsigned i = 0; i < OPEN_TRIES; i++) {
        struct stat stat;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            err_set_errno(error, errno, "journal %s", path);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            err_set(error, ERR_BUSY, "journal %s is held by another process", path);
            close(fd);
            return -1;
        }
        if (fstat(fd, &stat) == 0 && stat.st_nlink > 0)
            return fd;
        close(fd);
    }
    err_set(error, ERR_BUSY, "journal %s is being removed", path);
    return -1;
}

static bool write_at(int fd, gsize offset, const guint8 *data, gsize n)
{
    while (n > 0) {
        ssize_t done = pwrite(fd, data, n, (off_t) offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        offset += (gsize) done;
        n -= (gsize) done;
    }
    return true;
}

static GBytes *read_all(int fd, const char *path, GError **error)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0 || stat.st_size > JOURNAL_MAX_BYTES) {
        err_set(error, ERR_LIMIT, "journal %s is larger than %d bytes", path, JOURNAL_MAX_BYTES);
        return NULL;
    }
    gsize n = (gsize) stat.st_size, got = 0;
    g_autofree guint8 *data = g_malloc(n + 1);
    while (got < n) {
        ssize_t done = pread(fd, data + got, n - got, (off_t) got);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            err_set_errno(error, done < 0 ? errno : EIO, "journal %s", path);
            return NULL;
        }
        got += (gsize) done;
    }
    return g_bytes_new_take(g_steal_pointer(&data), n);
}

static bool begin(Journal *journal, GError **error)
{
    static const guint8 header[JOURNAL_HEADER_BYTES] = { 'C', 'D', 'Z', 'J', 1 };
    if (write_at(journal->fd, 0, header, sizeof header) && fsync(journal->fd) == 0)
        return sync_folder_of(journal->path, error);
    err_set_errno(error, errno, "journal %s", journal->path);
    return false;
}

static bool load(Journal *journal, GError **error)
{
    g_autoptr(GBytes) bytes = read_all(journal->fd, journal->path, error);
    gsize n;
    const guint8 *data = bytes ? g_bytes_get_data(bytes, &n) : NULL;
    if (!bytes || !journal_parse(data, n, journal->path, NULL, &journal->end, error))
        return false;
    if (n < JOURNAL_HEADER_BYTES)
        return begin(journal, error);
    bool torn = journal->end < n && !MUTANT(journal_torn_kept); /* mutant: journal */
    if (torn && ftruncate(journal->fd, (off_t) journal->end) != 0) {
        err_set_errno(error, errno, "journal %s: cutting its torn end", journal->path);
        return false;
    }
    return true;
}

Journal *journal_open(const char *path, GError **error)
{
    int fd = open_locked(path, error);
    if (fd < 0)
        return NULL;
    g_autoptr(Journal) journal = g_new0(Journal, 1);
    journal->path = g_strdup(path);
    journal->fd = fd;
    pthread_mutex_init(&journal->lock, NULL);
    return load(journal, error) ? g_steal_pointer(&journal) : NULL;
}

static bool append(Journal *journal, GBytes *frame, bool durable, GError **error)
{
    gsize n;
    const guint8 *data = g_bytes_get_data(frame, &n);
    pthread_mutex_lock(&journal->lock);
    bool ok = journal->end + n <= JOURNAL_MAX_BYTES;
    if (!ok)
        errno = EFBIG;
    ok = ok && write_at(journal->fd, journal->end, data, n) &&
         (!durable || fdatasync(journal->fd) == 0);
    if (ok) {
        journal->end += n;
    } else {
        err_set_errno(error, errno, "journal %s: writing a record", journal->path);
        /* so that the next record does not follow half of this one */
        if (ftruncate(journal->fd, (off_t) journal->end) != 0)
            g_prefix_error(error, "and cutting it off: ");
    }
    pthread_mutex_unlock(&journal->lock);
    return ok;
}

static bool add(Journal *journal, const char *type, json_t *fields, bool durable, GError **error)
{
    json_t *record = json_pack("{s:s}", "type", type);
    if (fields)
        json_object_update_missing(record, fields);
    json_decref(fields);
    g_autoptr(GBytes) frame = journal_frame(record, journal->path, error);
    json_decref(record);
    return frame && append(journal, frame, durable, error);
}

bool journal_add(Journal *journal, const char *type, json_t *fields, GError **error)
{
    return add(journal, type, fields, true, error);
}

bool journal_note(Journal *journal, const char *type, json_t *fields, GError **error)
{
    return add(journal, type, fields, false, error);
}

json_t *journal_records(Journal *journal, GError **error)
{
    json_t *records = json_array();
    gsize n, end;
    pthread_mutex_lock(&journal->lock);
    g_autoptr(GBytes) bytes = read_all(journal->fd, journal->path, error);
    pthread_mutex_unlock(&journal->lock);
    const guint8 *data = bytes ? g_bytes_get_data(bytes, &n) : NULL;
    if (bytes && journal_parse(data, n, journal->path, records, &end, error))
        return records;
    json_decref(records);
    return NULL;
}

const char *journal_path(const Journal *journal)
{
    return journal->path;
}

void journal_close(Journal *journal)
{
    if (!journal)
        return;
    close(journal->fd);
    pthread_mutex_destroy(&journal->lock);
    g_free(journal->path);
    g_free(journal);
}

bool journal_end(Journal *journal, GError **error)
{
    bool ok = unlink(journal->path) == 0 || errno == ENOENT;
    if (!ok)
        err_set_errno(error, errno, "removing journal %s", journal->path);
    ok = ok && sync_folder_of(journal->path, error);
    journal_close(journal);
    return ok;
}
