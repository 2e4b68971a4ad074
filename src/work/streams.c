/* So many disks at a time in one run, whichever VMs they belong to. */
#include "work/private.h"

#include <pthread.h>
#include <time.h>

enum { POLL_MS = 500 };

struct WorkStreams {
    unsigned n_free;
    pthread_mutex_t lock;
    pthread_cond_t freed;
};

WorkStreams *work_streams_new(unsigned n)
{
    WorkStreams *streams = g_new0(WorkStreams, 1);
    streams->n_free = MAX(n, 1);
    pthread_mutex_init(&streams->lock, NULL);
    pthread_cond_init(&streams->freed, NULL);
    return streams;
}

void work_streams_free(WorkStreams *streams)
{
    if (!streams)
        return;
    pthread_cond_destroy(&streams->freed);
    pthread_mutex_destroy(&streams->lock);
    g_free(streams);
}

/* The lock is held; returns soon, to look for a cancel. */
static void wait_a_little(WorkStreams *streams)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLL_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    pthread_cond_timedwait(&streams->freed, &streams->lock, &until);
}

bool streams_take(WorkStreams *streams, const Cancel *cancel, GError **error)
{
    if (!streams)
        return !cancel_check(cancel, "backup", error);
    pthread_mutex_lock(&streams->lock);
    while (streams->n_free == 0 && !cancel_is_set(cancel))
        wait_a_little(streams);
    bool ok = !cancel_check(cancel, "backup", error);
    streams->n_free -= ok;
    pthread_mutex_unlock(&streams->lock);
    return ok;
}

void streams_give(WorkStreams *streams)
{
    if (!streams)
        return;
    pthread_mutex_lock(&streams->lock);
    streams->n_free++;
    pthread_cond_signal(&streams->freed);
    pthread_mutex_unlock(&streams->lock);
}
