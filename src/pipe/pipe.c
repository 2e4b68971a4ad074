/* A pipe from its start to its end: buffers and threads are made, then the calling thread watches
 * them: for a cancel, for who does not move, for the end. */
#include "pipe/hands.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum {
    WATCH_MS = 100,
    STOP_MS = 30000,    /* once all should stop, a writer has so long to come back */
    SOURCE_BLOCKS = 2,  /* that a source holds besides: what it takes apart, what it reads */
    WRITER_BLOCKS = 3,  /* that a writer's thread holds: compressed (of brotli twice), scratch */
    SOURCE_THREADS = 2, /* besides the readers: the export, and the one that runs the pipe */
};

void source_close(Source *source)
{
    if (source)
        source->ops->close(source);
}

/* --- Making and ending --- */

/* Slots in use at most; and those kept for writers that never give theirs back. */
static unsigned n_slots_of(unsigned n_ends, unsigned spool_blocks)
{
    return PIPE_BUFFERS + (n_ends > 1 ? MIN(spool_blocks, PIPE_MAX_SPOOL) : 0);
}

/* With one end nobody lags behind anybody: one buffer for each thread, and one between them. */
static unsigned n_used_by(const Source *source, const PipeEnd *ends, unsigned n_ends,
                          unsigned spool_blocks)
{
    unsigned n_readers = CLAMP(source->n_readers, 1, PIPE_MAX_READERS);
    unsigned n_writers = ends->writer->parallel ? PIPE_WRITER_THREADS : 1;
    unsigned n = n_ends > 1 ? n_slots_of(n_ends, spool_blocks)
                            : MIN(n_readers + n_writers + 1, PIPE_BUFFERS);
    return CLAMP(source->n_present, 1, n);
}

static unsigned n_spare_of(unsigned n_ends)
{
    return n_ends > 1 ? n_ends * PIPE_WRITER_THREADS : 0;
}

guint64 pipe_bound_bytes(unsigned n_ends, unsigned n_readers, unsigned spool_blocks)
{
    guint64 n_writers = n_ends * (guint64) PIPE_WRITER_THREADS;
    guint64 n_blocks = n_slots_of(n_ends, spool_blocks) + n_spare_of(n_ends) + SOURCE_BLOCKS +
                       n_writers * WRITER_BLOCKS;
    guint64 n_threads = CLAMP(n_readers, 1, PIPE_MAX_READERS) + n_writers + SOURCE_THREADS;
    return n_blocks * DISK_BLOCK_BYTES + n_threads * PIPE_STACK_BYTES;
}

static void init_sync(Pipe *pipe)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pipe->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_cond_init(&pipe->moved, NULL);
    pthread_mutex_init(&pipe->lock, NULL);
}

static void pipe_free(Pipe *pipe)
{
    for (unsigned i = 0; i < pipe->n_ends; i++)
        g_free(pipe->ends[i].queue);
    for (unsigned i = 0; i < pipe->n_slots; i++)
        block_buffer_give(pipe->slots[i].data);
    pthread_cond_destroy(&pipe->moved);
    pthread_cond_destroy(&pipe->ended);
    pthread_mutex_destroy(&pipe->lock);
    g_free(pipe->slots);
    g_free(pipe->free);
    g_free(pipe);
}

void pipe_unref(Pipe *pipe)
{
    bool last = --pipe->n_refs == 0;
    pthread_mutex_unlock(&pipe->lock);
    if (last)
        pipe_free(pipe);
}

static Pipe *pipe_new(Source *source, PipeEnd *ends, unsigned n_ends, const PipeOptions *options)
{
    Pipe *pipe = g_new0(Pipe, 1);
    unsigned n_use = n_used_by(source, ends, n_ends, options->spool_blocks);
    pipe->source = source;
    pipe->throttle = options->throttle;
    pipe->n_refs = 1;
    pipe->n_ends = pipe->n_live = n_ends;
    pipe->n_slots = n_use + n_spare_of(n_ends);
    pipe->next_spare = n_use;
    pipe->slots = g_new0(Slot, pipe->n_slots);
    pipe->free = g_new(unsigned, pipe->n_slots);
    for (unsigned i = 0; i < n_use; i++)
        pipe->free[pipe->n_free++] = n_use - 1 - i;
    for (unsigned i = 0; i < n_ends; i++)
        pipe->ends[i] = (End){ .given = &ends[i],
                               .writer = ends[i].writer,
                               .queue = g_new(unsigned, pipe->n_slots),
                               .left = ends[i].left,
                               .user = ends[i].user };
    init_sync(pipe);
    return pipe;
}

/* --- Threads --- */

/* The lock is held, so that no thread sees the counts before all have been started. */
static bool start_one(Pipe *pipe, End *end, unsigned index)
{
    Hand *hand = &pipe->hands[pipe->n_hands];
    pthread_attr_t attributes;
    *hand = (Hand){ .pipe = pipe, .end = end, .index = index };
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, PIPE_STACK_BYTES);
    int failed =
        pthread_create(&hand->thread, &attributes, end ? pipe_writer_main : pipe_reader_main, hand);
    pthread_attr_destroy(&attributes);
    if (failed) {
        GError *error = NULL;
        err_set_errno(&error, failed, "starting a thread");
        pipe_stop(pipe, error);
        return false;
    }
    pipe->n_hands++;
    if (end)
        end->n_hands++;
    else
        pipe->n_reading++;
    return true;
}

static void start_all(Pipe *pipe)
{
    unsigned n_readers = CLAMP(pipe->source->n_readers, 1, PIPE_MAX_READERS);
    for (unsigned i = 0; i < n_readers; i++)
        if (!start_one(pipe, NULL, i))
            return;
    for (unsigned i = 0; i < pipe->n_ends; i++)
        for (unsigned j = 0; j < (pipe->ends[i].writer->parallel ? PIPE_WRITER_THREADS : 1); j++)
            if (!start_one(pipe, &pipe->ends[i], 0))
                return;
}

/* The lock is held. Threads that have not left by now are left behind with the pipe. */
static void abandon_stuck(Pipe *pipe)
{
    for (unsigned i = 0; i < pipe->n_hands; i++) {
        Hand *hand = &pipe->hands[i];
        if (hand->has_left)
            continue;
        hand->abandoned = hand->end->abandoned = hand->end->given->stuck = true;
        pipe->n_refs++;
        pthread_detach(hand->thread);
    }
}

static void join_others(Pipe *pipe)
{
    for (unsigned i = 0; i < pipe->n_hands; i++)
        if (!pipe->hands[i].abandoned)
            pthread_join(pipe->hands[i].thread, NULL);
}

/* --- Watching. The lock is held. --- */

typedef struct {
    const PipeOptions *options;
    gint64 limit_us; /* of patience */
    guint64 n_steps; /* seen last, and since when */
    gint64 since_us;
} Watch;

/* Within a call of the writer for too long. */
static bool is_stuck(const Pipe *pipe, const End *end, const Watch *watch)
{
    gint64 since_us = end->moved_us, limit_us = watch->limit_us;
    if (pipe->stop) {
        since_us = MAX(since_us, pipe->stop_us);
        limit_us = MIN(limit_us, STOP_MS * 1000ll);
    }
    return end->n_busy > 0 && g_get_monotonic_time() - since_us > limit_us &&
           !MUTANT(pipe_waits_for_stuck); /* mutant: pipe:test_stuck_end */
}

static bool has_ended(const Pipe *pipe, const Watch *watch)
{
    if (pipe->n_reading > 0)
        return false;
    for (unsigned i = 0; i < pipe->n_ends; i++)
        if (pipe->ends[i].n_hands > 0 && !is_stuck(pipe, &pipe->ends[i], watch))
            return false;
    return true;
}

/* The buffers that its threads hold are replaced, so that the others do not run out of them. */
static void drop_stuck(Pipe *pipe, End *end, const Watch *watch)
{
    GError *error = NULL;
    for (unsigned i = 0; i < end->n_busy && pipe->n_ends > 1 && !end->dropped; i++)
        pipe->free[pipe->n_free++] = pipe->next_spare++;
    err_set(&error, ERR_TIMEOUT, "it took no data for %" G_GINT64_FORMAT " s",
            watch->limit_us / G_USEC_PER_SEC);
    pipe_drop(pipe, end, error);
}

static void check_ends(Pipe *pipe, const Watch *watch)
{
    for (unsigned i = 0; i < pipe->n_ends; i++) {
        End *end = &pipe->ends[i];
        GError *error = NULL;
        if (!end->dropped && cancel_check(end->given->cancel, "writing to it", &error))
            pipe_drop(pipe, end, error);
        else if (is_stuck(pipe, end, watch))
            drop_stuck(pipe, end, watch);
    }
}

static void check_source(Pipe *pipe, Watch *watch)
{
    gint64 now = g_get_monotonic_time();
    GError *error = NULL;
    if (pipe->n_steps != watch->n_steps || pipe->n_throttled > 0 || pipe->n_reading == 0) {
        watch->n_steps = pipe->n_steps;
        watch->since_us = now;
    } else if (now - watch->since_us > watch->limit_us && !pipe->stop) {
        err_set(&error, ERR_TIMEOUT, "no data moved for %" G_GINT64_FORMAT " s",
                watch->limit_us / G_USEC_PER_SEC);
        pipe_stop(pipe, error);
    }
}

static void wait_a_little(Pipe *pipe)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WATCH_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    pthread_cond_timedwait(&pipe->ended, &pipe->lock, &until);
}

static void show_progress(Pipe *pipe, const PipeOptions *options)
{
    guint32 n_done = pipe->n_done;
    if (!options->progress)
        return;
    pthread_mutex_unlock(&pipe->lock);
    options->progress(n_done, pipe->source->n_present, options->user);
    pthread_mutex_lock(&pipe->lock);
}

static void watch_all(Pipe *pipe, const PipeOptions *options)
{
    unsigned limit_ms = options->stall_timeout_ms ? options->stall_timeout_ms : PIPE_STALL_MS;
    Watch watch = { options, limit_ms * 1000ll, 0, g_get_monotonic_time() };
    while (!has_ended(pipe, &watch)) {
        GError *error = NULL;
        wait_a_little(pipe);
        if (!pipe->stop && cancel_check(options->cancel, "transfer", &error))
            pipe_stop(pipe, error);
        check_ends(pipe, &watch);
        check_source(pipe, &watch);
        show_progress(pipe, options);
    }
    check_ends(pipe, &watch); /* those that are left behind say why */
    show_progress(pipe, options);
}

/* --- The whole --- */

static bool check_whole(const Pipe *pipe, GError **error)
{
    if (pipe->error) {
        g_propagate_error(error, g_error_copy(pipe->error));
        return false;
    }
    if (pipe->n_read == pipe->source->n_present || pipe->source->n_present == PIPE_UNKNOWN ||
        MUTANT(pipe_count)) /* mutant: pipe */
        return true;
    err_set(error, ERR_TRUNCATED, "the source gave %u of %u blocks", pipe->n_read,
            pipe->source->n_present);
    return false;
}

static bool finish(Pipe *pipe, guint64 *n_bytes, GError **error)
{
    *n_bytes = pipe->n_read * (guint64) DISK_BLOCK_BYTES;
    bool ok = check_whole(pipe, error);
    g_clear_error(&pipe->error);
    for (unsigned i = 0; i < pipe->n_ends; i++)
        pipe->ends[i].given->error = g_steal_pointer(&pipe->ends[i].error);
    return ok;
}

bool pipe_run(Source *source, PipeEnd *ends, unsigned n_ends, const PipeOptions *options,
              guint64 *n_bytes, GError **error)
{
    if (n_ends == 0 || n_ends > PIPE_MAX_WRITERS) {
        err_set(error, ERR_INTERNAL, "a pipe with %u ends", n_ends);
        return false;
    }
    Pipe *pipe = pipe_new(source, ends, n_ends, options);
    pthread_mutex_lock(&pipe->lock);
    start_all(pipe);
    watch_all(pipe, options);
    abandon_stuck(pipe);
    pthread_mutex_unlock(&pipe->lock);
    join_others(pipe);
    pthread_mutex_lock(&pipe->lock);
    bool ok = finish(pipe, n_bytes, error);
    pipe_unref(pipe);
    return ok;
}
