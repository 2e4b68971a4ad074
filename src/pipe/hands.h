/* A running pipe: its buffers, its ends, and the threads ("hands") between them. For pipe.c and
 * hands.c only.
 *
 * Everything in Pipe is held by its lock, except the content of a buffer, which belongs to the
 * reader that fills it and then to the writers that use it. The pipe is freed by whoever leaves it
 * last: usually pipe_run, else a writer thread whose call came back after the pipe had ended. */
#pragma once

#include "pipe/pipe.h"

#include <pthread.h>

typedef struct Pipe Pipe;

typedef struct {
    void *data; /* a block buffer, taken when it is first used: a spool that nobody needs is none */
    guint32 block;
    unsigned n_users; /* writers that still need it */
} Slot;

typedef struct {
    PipeEnd *given; /* the caller's; not looked at once abandoned */
    DiskWriter *writer;
    unsigned *queue; /* slots to write: a ring of the pipe's n_slots, oldest at `first` */
    unsigned first, n_queued;
    unsigned n_hands, n_busy; /* threads, those of them within a call of the writer */
    gint64 moved_us;          /* monotonic: when it was last idle or finished a block */
    bool dropped, abandoned;
    GError *error;
    void (*left)(void *user);
    void *user;
} End;

typedef struct {
    Pipe *pipe;
    End *end;       /* NULL: a reader */
    unsigned index; /* of the reader */
    pthread_t thread;
    bool has_left, abandoned;
} Hand;

struct Pipe {
    Source *source;
    Throttle *throttle;
    End ends[PIPE_MAX_WRITERS];
    unsigned n_ends, n_live;
    Hand hands[PIPE_MAX_READERS + PIPE_MAX_WRITERS * PIPE_WRITER_THREADS];
    unsigned n_hands;
    Slot *slots;
    unsigned *free; /* a stack of slots: the one used last is warm, those never used cost nothing */
    unsigned n_slots, n_free;
    unsigned next_spare;  /* slots from here on replace those that stuck writers hold */
    unsigned n_reading;   /* reader threads */
    unsigned n_throttled; /* of them, those that wait for the rate */
    unsigned n_refs;      /* pipe_run and the threads that it left behind */
    bool stop;
    gint64 stop_us;
    GError *error; /* the first that ends everything */
    guint32 n_read, n_done;
    guint64 n_steps; /* changes whenever anything moves */
    pthread_mutex_t lock;
    pthread_cond_t moved; /* a buffer came or went */
    pthread_cond_t ended; /* a thread has left, or all should */
};

void *pipe_reader_main(void *hand);
void *pipe_writer_main(void *hand);
/* The lock is held. The first error wins and is taken. */
void pipe_stop(Pipe *pipe, GError *error);
/* The lock is held. The others go on without it; the error is taken. */
void pipe_drop(Pipe *pipe, End *end, GError *error);
/* The lock is held, and given up: it may be gone with the pipe. */
void pipe_unref(Pipe *pipe);
