/* Source and sinks: one stream, many ends. Every block is read once and written to all ends; blocks
 * lie in a fixed number of buffers, so memory does not depend on the disk. An end that is slower
 * than the others lags behind by as many blocks as there are buffers, then slows the stream; one
 * that does not move at all is dropped, and the others go on. */
#pragma once

#include "base/cancel.h"
#include "disk/disk.h"
#include "pipe/throttle.h"

enum {
    PIPE_BUFFERS = 8,             /* blocks in flight in one pipe */
    PIPE_SPOOL_BLOCKS = 64,       /* the usual number of blocks that an end may lag behind */
    PIPE_MAX_SPOOL = 1024,        /* the greatest */
    PIPE_MAX_READERS = 8,         /* threads that read one source */
    PIPE_MAX_WRITERS = 32,        /* ends */
    PIPE_WRITER_THREADS = 2,      /* of an end whose writer is parallel */
    PIPE_STALL_MS = 5 * 60000,    /* the usual patience with who does not move */
    PIPE_STACK_BYTES = 512 << 10, /* of each thread here and in what feeds it */
};

#define PIPE_UNKNOWN G_MAXUINT32

typedef struct Source Source;
struct source_ops {
    /* The next block that must be copied, with its content; false in *more at the end. Called by
     * n_readers threads at once, each with its own number below n_readers. */
    bool (*next)(Source *source, unsigned reader, guint32 *block, void *buffer, bool *more,
                 GError **error);
    void (*close)(Source *source);
};
struct Source {
    const struct source_ops *ops;
    DiskInfo info;      /* size_bytes and n_blocks; the rest is the caller's */
    guint32 n_present;  /* blocks that will come; PIPE_UNKNOWN: known at the end alone, and the
                           source itself must tell when it was cut */
    unsigned n_readers; /* 0: one */
    const char *method; /* "nbd+cbt", "nbd+bat", "vhd": for the log */
    Cancel *stop;       /* ends a blocked next within a second; pipe_run sets it; may be NULL */
};
void source_close(Source *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Source, source_close)

/* Where the blocks go. A writer marked `parallel` gets several threads. */
typedef struct {
    DiskWriter *writer;
    Cancel *cancel; /* drops this end alone; may be NULL */
    /* When a call of the writer does not come back, the writer cannot be freed: pipe_run returns
     * without it, with `stuck` set, and the writer belongs to the pipe until `left` is called, from
     * another thread, once the call came back: just now, or never. */
    void (*left)(void *user);
    void *user;
    /* Filled in: */
    GError *error; /* why it was dropped; the caller frees it; NULL before */
    bool stuck;
} PipeEnd;

typedef struct {
    Cancel *cancel;            /* watched; may be NULL */
    unsigned stall_timeout_ms; /* an end, or the source, that does not move for so long is given up
                                  (TIMEOUT); 0: PIPE_STALL_MS */
    unsigned spool_blocks;     /* by so many an end may lag behind the others */
    Throttle *throttle;        /* of what is read, shared with others; may be NULL */
    /* From the calling thread, a few times a second; may be NULL. */
    void (*progress)(guint32 n_done, guint32 n_total, void *user);
    void *user;
} PipeOptions;

/* Copies everything from the source to all ends; an end that fails is dropped and the others go on;
 * false when the source fails, the copy is cancelled, or no end is left. Does not finish the
 * writers. *n_bytes: read from the source. */
bool pipe_run(Source *source, PipeEnd *ends, unsigned n_ends, const PipeOptions *options,
              guint64 *n_bytes, GError **error);

/* The most that the buffers and threads of one pipe, its source and its writers hold at a time. */
guint64 pipe_bound_bytes(unsigned n_ends, unsigned n_readers, unsigned spool_blocks);
