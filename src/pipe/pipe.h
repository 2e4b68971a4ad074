/* Source, stages, sinks: one stream, many ends. One thread reads, codecs run beside it, every block
 * is read once and written to all sinks. Blocks come from a fixed pool. */
#pragma once

#include "base/cancel.h"
#include "disk/disk.h"

typedef struct Source Source;
struct source_ops {
    /* The next block that must be copied, with its content; false in *more at the end. */
    bool (*next)(Source *source, guint32 *block, void *buffer, bool *more, GError **error);
    void (*close)(Source *source);
};
struct Source {
    const struct source_ops *ops;
    DiskInfo info;
    guint32 n_present; /* blocks that will come; for progress */
    const char *method; /* "nbd+cbt", "nbd+bat", "vhd": for the log */
};
void source_close(Source *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Source, source_close)

typedef struct {
    Cancel *cancel;
    unsigned stall_timeout_ms; /* 0: 5 min */
    void (*progress)(guint32 n_done, guint32 n_total, void *user);
    void *user;
} PipeOptions;

/* Copies everything from the source to all writers; a writer that fails is dropped (its error in
 * errors[i]) and the others go on; false when the source fails or no writer is left. Does not finish
 * the writers. */
bool pipe_run(Source *source, DiskWriter **writers, unsigned n_writers, GError **errors,
              const PipeOptions *options, guint64 *n_bytes, GError **error);
