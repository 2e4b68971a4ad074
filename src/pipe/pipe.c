/* Reader threads fill buffers, writer threads empty them, and the calling thread watches: for a
 * cancel, for a stall, for the end. A buffer is free again when every writer has had it. */
#include "pipe/pipe.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { WRITER_THREADS = 2, WATCH_MS = 100, STALL_MS = 5 * 60 * 1000 };

typedef struct {
    guint8 *data;
    guint32 block;
    unsigned n_users; /* writers that still need it */
} Slot;

typedef struct {
    DiskWriter *writer;
    unsigned queue[PIPE_BUFFERS], n_queued; /* slots to write, oldest first */
    bool dropped;
    GError *error;
} End;

typedef struct {
    Source *source;
    End *ends;
    unsigned n_ends, n_live;
    Slot slots[PIPE_BUFFERS];
    unsigned free[PIPE_BUFFERS], n_free, n_slots;
    unsigned n_reading, n_running; /* reader threads, all threads */
    bool stop;
    GError *error; /* the first that ends everything */
    guint32 n_read, n_done;
    guint64 n_steps;      /* changes whenever anything moves */
    pthread_mutex_t lock; /* of all above */
    pthread_cond_t moved;
} Pipe;

typedef struct {
    Pipe *pipe;
    unsigned index; /* reader number or end */
} Hand;

void source_close(Source *source)
{
    if (source)
        source->ops->close(source);
}

/* The lock is held. The first error wins. */
static void stop(Pipe *pipe, GError *error)
{
    if (pipe->error)
        g_clear_error(&error);
    else
        pipe->error = error;
    pipe->stop = true;
    if (pipe->source->stop)
        cancel_set(pipe->source->stop);
    pthread_cond_broadcast(&pipe->moved);
}

static void moved(Pipe *pipe)
{
    pipe->n_steps++;
    pthread_cond_broadcast(&pipe->moved);
}

/* The lock is held. A free slot's number, or -1 when it is over. */
static int take_free(Pipe *pipe)
{
    while (!pipe->stop && pipe->n_free == 0)
        pthread_cond_wait(&pipe->moved, &pipe->lock);
    return pipe->stop ? -1 : (int) pipe->free[--pipe->n_free];
}

static void release(Pipe *pipe, unsigned slot)
{
    if (--pipe->slots[slot].n_users > 0)
        return;
    pipe->free[pipe->n_free++] = slot;
    pipe->n_done++;
}

static void hand_out(Pipe *pipe, unsigned slot)
{
    pipe->slots[slot].n_users = pipe->n_live;
    for (unsigned i = 0; i < pipe->n_ends; i++)
        if (!pipe->ends[i].dropped)
            pipe->ends[i].queue[pipe->ends[i].n_queued++] = slot;
    pipe->n_read++;
    moved(pipe);
}

static void *reader_main(void *data)
{
    Hand *hand = data;
    Pipe *pipe = hand->pipe;
    bool more = true;
    pthread_mutex_lock(&pipe->lock);
    while (more) {
        int slot = take_free(pipe);
        if (slot < 0)
            break;
        pthread_mutex_unlock(&pipe->lock);
        GError *error = NULL;
        bool ok = pipe->source->ops->next(pipe->source, hand->index, &pipe->slots[slot].block,
                                          pipe->slots[slot].data, &more, &error);
        pthread_mutex_lock(&pipe->lock);
        if (!ok)
            stop(pipe, error);
        if (ok && more && !pipe->stop)
            hand_out(pipe, slot);
        else
            more = false;
    }
    pipe->n_reading--;
    pipe->n_running--;
    moved(pipe);
    pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

/* The lock is held. Takes the oldest slot of the queue, or -1 when there will be none. */
static int take_queued(Pipe *pipe, End *end)
{
    while (!pipe->stop && !end->dropped && end->n_queued == 0 && pipe->n_reading > 0)
        pthread_cond_wait(&pipe->moved, &pipe->lock);
    if (pipe->stop || end->dropped || end->n_queued == 0)
        return -1;
    unsigned slot = end->queue[0];
    end->n_queued--;
    for (unsigned i = 0; i < end->n_queued; i++)
        end->queue[i] = end->queue[i + 1];
    return (int) slot;
}

/* The lock is held. The others go on without it. */
static void drop(Pipe *pipe, End *end, GError *error)
{
    if (end->dropped) {
        g_clear_error(&error);
        return;
    }
    end->dropped = true;
    end->error = error;
    while (end->n_queued > 0)
        release(pipe, end->queue[--end->n_queued]);
    if (--pipe->n_live == 0 || MUTANT(pipe_drop_all)) /* mutant: pipe */
        stop(pipe, g_error_copy(error));
}

static void *writer_main(void *data)
{
    Hand *hand = data;
    Pipe *pipe = hand->pipe;
    End *end = &pipe->ends[hand->index];
    int slot;
    pthread_mutex_lock(&pipe->lock);
    while ((slot = take_queued(pipe, end)) >= 0) {
        pthread_mutex_unlock(&pipe->lock);
        GError *error = NULL;
        bool ok =
            disk_put_block(end->writer, pipe->slots[slot].block, pipe->slots[slot].data, &error);
        pthread_mutex_lock(&pipe->lock);
        release(pipe, slot);
        if (!ok)
            drop(pipe, end, error);
        moved(pipe);
    }
    pipe->n_running--;
    moved(pipe);
    pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

/* The lock is held; waits at most WATCH_MS. */
static void wait_a_little(Pipe *pipe)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    pthread_cond_timedwait(&pipe->moved, &pipe->lock, &until);
}

static void check_stall(Pipe *pipe, const PipeOptions *options, guint64 *n_steps, gint64 *since_us)
{
    gint64 now = g_get_monotonic_time();
    unsigned limit = options->stall_timeout_ms ? options->stall_timeout_ms : STALL_MS;
    if (pipe->n_steps != *n_steps) {
        *n_steps = pipe->n_steps;
        *since_us = now;
    } else if (now - *since_us > limit * 1000ll && !pipe->stop) {
        GError *error = NULL;
        err_set(&error, ERR_TIMEOUT, "no data moved for %u s", limit / 1000);
        stop(pipe, error);
    }
}

static void watch(Pipe *pipe, const PipeOptions *options)
{
    guint64 n_steps = 0;
    gint64 since_us = g_get_monotonic_time();
    pthread_mutex_lock(&pipe->lock);
    while (pipe->n_running > 0) {
        wait_a_little(pipe);
        GError *error = NULL;
        if (!pipe->stop && cancel_check(options->cancel, "transfer", &error))
            stop(pipe, error);
        check_stall(pipe, options, &n_steps, &since_us);
        guint32 n_done = pipe->n_done;
        pthread_mutex_unlock(&pipe->lock);
        if (options->progress)
            options->progress(n_done, pipe->source->n_present, options->user);
        pthread_mutex_lock(&pipe->lock);
    }
    pthread_mutex_unlock(&pipe->lock);
}

static void pipe_init(Pipe *pipe, DiskWriter **writers)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pipe->moved, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&pipe->lock, NULL);
    pipe->n_live = pipe->n_ends;
    pipe->n_slots = CLAMP(pipe->source->n_present, 1, PIPE_BUFFERS);
    for (unsigned i = 0; i < pipe->n_slots; i++) {
        pipe->slots[i].data = g_malloc(DISK_BLOCK_BYTES);
        pipe->free[pipe->n_free++] = i;
    }
    for (unsigned i = 0; i < pipe->n_ends; i++)
        pipe->ends[i].writer = writers[i];
}

static void pipe_clear(Pipe *pipe)
{
    for (unsigned i = 0; i < pipe->n_slots; i++)
        g_free(pipe->slots[i].data);
    pthread_cond_destroy(&pipe->moved);
    pthread_mutex_destroy(&pipe->lock);
}

/* The lock is held, so that no thread sees the counts before all have been started. */
static unsigned start(Pipe *pipe, pthread_t *threads, Hand *hands)
{
    unsigned n = 0, n_readers = CLAMP(pipe->source->n_readers, 1, PIPE_MAX_READERS);
    for (unsigned i = 0; i < n_readers; i++)
        hands[n++] = (Hand){ pipe, i };
    for (unsigned i = 0; i < pipe->n_ends; i++)
        for (unsigned j = 0; j < (pipe->ends[i].writer->parallel ? WRITER_THREADS : 1); j++)
            hands[n++] = (Hand){ pipe, i };
    for (unsigned i = 0; i < n; i++) {
        int failed =
            pthread_create(&threads[i], NULL, i < n_readers ? reader_main : writer_main, &hands[i]);
        if (failed) {
            GError *error = NULL;
            err_set_errno(&error, failed, "starting a thread");
            stop(pipe, error);
            return i;
        }
        pipe->n_running++;
        pipe->n_reading += i < n_readers;
    }
    return n;
}

static bool check_whole(const Pipe *pipe, GError **error)
{
    if (pipe->n_read == pipe->source->n_present || MUTANT(pipe_count)) /* mutant: pipe */
        return true;
    err_set(error, ERR_TRUNCATED, "the source gave %u of %u blocks", pipe->n_read,
            pipe->source->n_present);
    return false;
}

bool pipe_run(Source *source, DiskWriter **writers, unsigned n_writers, GError **errors,
              const PipeOptions *options, guint64 *n_bytes, GError **error)
{
    if (n_writers == 0 || n_writers > PIPE_MAX_WRITERS) {
        err_set(error, ERR_INTERNAL, "a pipe with %u ends", n_writers);
        return false;
    }
    End ends[PIPE_MAX_WRITERS] = { 0 };
    Hand hands[PIPE_MAX_READERS + PIPE_MAX_WRITERS * WRITER_THREADS];
    pthread_t threads[G_N_ELEMENTS(hands)];
    Pipe pipe = { .source = source, .ends = ends, .n_ends = n_writers };
    pipe_init(&pipe, writers);
    pthread_mutex_lock(&pipe.lock);
    unsigned n = start(&pipe, threads, hands);
    pthread_mutex_unlock(&pipe.lock);
    watch(&pipe, options);
    for (unsigned i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < n_writers; i++)
        errors[i] = ends[i].error;
    *n_bytes = pipe.n_read * (guint64) DISK_BLOCK_BYTES;
    pipe_clear(&pipe);
    if (pipe.error) {
        g_propagate_error(error, pipe.error);
        return false;
    }
    return check_whole(&pipe, error);
}
