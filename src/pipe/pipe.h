/* Source and sinks: one stream, many ends. Every block is read once and written to all sinks;
 * blocks lie in a fixed number of buffers, so memory does not depend on the disk. */
#pragma once

#include "base/cancel.h"
#include "disk/disk.h"

enum {
    PIPE_BUFFERS = 8,      /* blocks in flight in one pipe */
    PIPE_MAX_READERS = 8,  /* threads that read one source */
    PIPE_MAX_WRITERS = 32, /* ends */
};

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
    guint32 n_present;  /* blocks that will come */
    unsigned n_readers; /* 0: one */
    const char *method; /* "nbd+cbt", "nbd+bat", "vhd": for the log */
    Cancel *stop;       /* ends a blocked next within a second; pipe_run sets it; may be NULL */
};
void source_close(Source *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Source, source_close)

typedef struct {
    Cancel *cancel;            /* watched; may be NULL */
    unsigned stall_timeout_ms; /* nothing read nor written for so long: TIMEOUT; 0: 5 min */
    /* From the calling thread, a few times a second; may be NULL. */
    void (*progress)(guint32 n_done, guint32 n_total, void *user);
    void *user;
} PipeOptions;

/* Copies everything from the source to all writers; a writer that fails is dropped (its error in
 * errors[i], which the caller frees; all NULL before) and the others go on; false when the source
 * fails, the copy is cancelled, or no writer is left. Does not finish the writers. Writers marked
 * `parallel` get several threads. *n_bytes: read from the source. */
bool pipe_run(Source *source, DiskWriter **writers, unsigned n_writers, GError **errors,
              const PipeOptions *options, guint64 *n_bytes, GError **error);
