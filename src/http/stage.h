/* A rope on its way to a socket: its pieces are gathered to writes of a good size, so that neither
 * thousands of small writes are made nor the whole is copied. Private to the room. */
#pragma once

#include "base/rope.h"
#include "http/stream.h"

typedef struct {
    char *data; /* while there is a rope, else NULL */
    size_t n, at;
    RopeCursor cursor;
} Stage;

void stage_begin(Stage *stage, size_t n_total);
void stage_end(Stage *stage);
/* One write, as stream_try_write: of what was refused before, else of the next pieces, after the
 * header when it is not there yet. */
ssize_t stage_write(Stage *stage, HttpStream *stream, const Rope *rope, const void *header,
                    size_t n_header);
