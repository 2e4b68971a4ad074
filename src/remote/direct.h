/* Reading and writing past the page cache. A backup is written once and seldom read: in memory it
 * would only push out what is needed there, and the copies are most of what writing costs. Where a
 * file system cannot, everything goes through the cache and is let go of behind the writer.
 *
 * The pieces that are not whole blocks of 4 KiB, at the edges of what is written in one run, always
 * go through the cache. Private to the file:// place. One thread at a time per file. */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum {
    DIRECT_BLOCK_BYTES = 4096,       /* what every device takes */
    DIRECT_WINDOW_BYTES = 512 << 10, /* collected before it is written */
    DIRECT_MIN_BYTES = 64 << 10,     /* less is not worth it */
};

typedef struct {
    int fd;                /* not owned */
    bool possible;         /* past the page cache; false once the file system has refused */
    unsigned sector_bytes; /* what this device takes when reading; 0: not asked yet */
    /* Not yet written: */
    guint8 *window; /* DIRECT_WINDOW_BYTES, made when it is needed */
    guint64 at;     /* where in the file it begins … */
    gsize n;        /* … and so many bytes of it; in memory it has the same place in its block */
    guint64 pushed; /* through the cache: sent to the disk up to here */
} DirectFile;

void direct_init(DirectFile *file, int fd, bool possible);
void direct_clear(DirectFile *file);

/* All n bytes; some may stay in the window. False with errno, here or at the next call. */
bool direct_write(DirectFile *file, guint64 offset, const void *data, gsize n);
/* A whole small file at once; nothing stays in the window. */
bool direct_write_whole(DirectFile *file, const void *data, gsize n);
/* Writes what is in the window. Not durable before an fsync. */
bool direct_flush(DirectFile *file);
/* Up to n bytes, fewer only at the end of the file; -1 with errno. Past the page cache when it is
 * much; what is in the window must have been flushed. */
gssize direct_read(DirectFile *file, guint64 offset, void *buffer, gsize n);
/* The same into two places, one behind the other in the file; -1 with errno, 0 when memory and file
 * do not lie as this device wants them: then read as usual. */
gssize direct_read_split(DirectFile *file, guint64 offset, void *head, gsize n_head, void *buffer,
                         gsize n);
