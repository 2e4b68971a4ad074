/* Appended to the file while it takes it; from the first failure on (a full disk), to memory. */
#include "base/taskspool.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct TaskSpool {
    int fd; /* -1: none */
    guint64 n_stored;
    GString *kept; /* what follows n_stored */
};

TaskSpool *task_spool_new(const char *folder)
{
    TaskSpool *spool = g_new0(TaskSpool, 1);
    spool->fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) : -1;
    spool->kept = g_string_new(NULL);
    return spool;
}

void task_spool_free(TaskSpool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    g_string_free(spool->kept, TRUE);
    g_free(spool);
}

static gboolean store(TaskSpool *spool, const char *text, gsize n)
{
    for (gsize done = 0; done < n;) {
        gssize step = pwrite(spool->fd, text + done, n - done, (off_t) (spool->n_stored + done));
        if (step < 0 && errno != EINTR)
            return FALSE;
        done += (gsize) MAX(step, 0);
    }
    spool->n_stored += n;
    return TRUE;
}

guint64 task_spool_add(TaskSpool *spool, const char *text, gsize n)
{
    guint64 at = spool->n_stored + spool->kept->len;
    if (spool->fd < 0 || spool->kept->len > 0 || !store(spool, text, n))
        g_string_append_len(spool->kept, text, (gssize) n);
    return at;
}

static gboolean load(TaskSpool *spool, guint64 at, gsize n, char *out)
{
    for (gsize done = 0; done < n;) {
        gssize step = pread(spool->fd, out + done, n - done, (off_t) (at + done));
        if (step == 0 || (step < 0 && errno != EINTR))
            return FALSE;
        done += (gsize) MAX(step, 0);
    }
    return TRUE;
}

gboolean task_spool_append_to(TaskSpool *spool, guint64 at, gsize n, GString *out)
{
    if (at >= spool->n_stored) {
        g_string_append_len(out, spool->kept->str + (at - spool->n_stored), (gssize) n);
        return TRUE;
    }
    gsize length = out->len;
    g_string_set_size(out, length + n);
    if (load(spool, at, n, out->str + length))
        return TRUE;
    g_string_truncate(out, length);
    return FALSE;
}
