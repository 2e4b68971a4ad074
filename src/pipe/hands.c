/* The threads of a pipe. Readers take a free buffer, fill it and hand it to every end; writers take
 * the oldest of their end. A buffer is free again when every writer has had it. */
#include "pipe/hands.h"

#include "base/block_buffer.h"
#include "base/mutant.h"

static void moved(Pipe *pipe)
{
    pipe->n_steps++;
    pthread_cond_broadcast(&pipe->moved);
}

void pipe_stop(Pipe *pipe, GError *error)
{
    if (pipe->error)
        g_clear_error(&error);
    else
        pipe->error = error;
    if (!pipe->stop)
        pipe->stop_us = g_get_monotonic_time();
    pipe->stop = true;
    if (pipe->source->stop)
        cancel_set(pipe->source->stop);
    pthread_cond_broadcast(&pipe->moved);
    pthread_cond_broadcast(&pipe->ended);
}

/* --- Reading --- */

/* A free slot's number, or -1 when it is over. */
static int take_free(Pipe *pipe)
{
    while (!pipe->stop && pipe->n_free == 0)
        pthread_cond_wait(&pipe->moved, &pipe->lock);
    if (pipe->stop)
        return -1;
    unsigned slot = pipe->free[--pipe->n_free];
    if (!pipe->slots[slot].data)
        pipe->slots[slot].data = block_buffer_take(DISK_BLOCK_BYTES);
    return (int) slot;
}

static void hand_out(Pipe *pipe, unsigned slot)
{
    pipe->slots[slot].n_users = pipe->n_live;
    for (unsigned i = 0; i < pipe->n_ends; i++) {
        End *end = &pipe->ends[i];
        if (!end->dropped)
            end->queue[(end->first + end->n_queued++) % pipe->n_slots] = slot;
    }
    pipe->n_read++;
    moved(pipe);
}

/* The lock is held, and given up meanwhile. */
static void wait_for_rate(Pipe *pipe)
{
    if (!pipe->throttle)
        return;
    pipe->n_throttled++;
    pthread_mutex_unlock(&pipe->lock);
    throttle_take(pipe->throttle, DISK_BLOCK_BYTES, pipe->source->stop);
    pthread_mutex_lock(&pipe->lock);
    pipe->n_throttled--;
    pipe->n_steps++;
}

static bool read_one(Pipe *pipe, const Hand *hand)
{
    int slot = take_free(pipe);
    bool more = true;
    GError *error = NULL;
    if (slot < 0)
        return false;
    pthread_mutex_unlock(&pipe->lock);
    bool ok = pipe->source->ops->next(pipe->source, hand->index, &pipe->slots[slot].block,
                                      pipe->slots[slot].data, &more, &error);
    pthread_mutex_lock(&pipe->lock);
    if (!ok)
        pipe_stop(pipe, error);
    if (!ok || !more)
        return false;
    wait_for_rate(pipe);
    if (!pipe->stop)
        hand_out(pipe, (unsigned) slot);
    return !pipe->stop;
}

void *pipe_reader_main(void *data)
{
    Hand *hand = data;
    Pipe *pipe = hand->pipe;
    pthread_mutex_lock(&pipe->lock);
    while (read_one(pipe, hand))
        continue;
    pipe->n_reading--;
    hand->has_left = true;
    moved(pipe);
    pthread_cond_broadcast(&pipe->ended);
    pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

/* --- Writing --- */

static void release(Pipe *pipe, unsigned slot)
{
    if (--pipe->slots[slot].n_users > 0)
        return;
    pipe->free[pipe->n_free++] = slot;
    pipe->n_done++;
}

/* The oldest slot of the queue, or -1 when there will be none. */
static int take_queued(Pipe *pipe, End *end)
{
    while (!pipe->stop && !end->dropped && end->n_queued == 0 && pipe->n_reading > 0)
        pthread_cond_wait(&pipe->moved, &pipe->lock);
    if (pipe->stop || end->dropped || end->n_queued == 0)
        return -1;
    unsigned slot = end->queue[end->first];
    end->first = (end->first + 1) % pipe->n_slots;
    end->n_queued--;
    return (int) slot;
}

void pipe_drop(Pipe *pipe, End *end, GError *error)
{
    if (end->dropped) {
        g_clear_error(&error);
        return;
    }
    end->dropped = true;
    end->error = error;
    for (; end->n_queued > 0; end->n_queued--, end->first = (end->first + 1) % pipe->n_slots)
        release(pipe, end->queue[end->first]);
    if (--pipe->n_live == 0 || MUTANT(pipe_drop_all)) /* mutant: pipe */
        pipe_stop(pipe, g_error_copy(error));
    moved(pipe);
}

static bool write_one(Pipe *pipe, End *end)
{
    GError *error = NULL;
    int slot = take_queued(pipe, end);
    if (slot < 0)
        return false;
    if (end->n_busy++ == 0)
        end->moved_us = g_get_monotonic_time();
    pthread_mutex_unlock(&pipe->lock);
    bool ok = disk_put_block(end->writer, pipe->slots[slot].block, pipe->slots[slot].data, &error);
    pthread_mutex_lock(&pipe->lock);
    end->n_busy--;
    end->moved_us = g_get_monotonic_time();
    release(pipe, (unsigned) slot);
    if (!ok)
        pipe_drop(pipe, end, error);
    moved(pipe);
    return true;
}

void *pipe_writer_main(void *data)
{
    Hand *hand = data;
    Pipe *pipe = hand->pipe;
    End *end = hand->end;
    pthread_mutex_lock(&pipe->lock);
    while (write_one(pipe, end))
        continue;
    bool is_last = --end->n_hands == 0 && end->abandoned, abandoned = hand->abandoned;
    void (*left)(void *user) = is_last ? end->left : NULL;
    void *user = end->user;
    hand->has_left = true;
    pthread_cond_broadcast(&pipe->ended);
    if (abandoned)
        pipe_unref(pipe);
    else
        pthread_mutex_unlock(&pipe->lock);
    if (left)
        left(user);
    return NULL;
}
