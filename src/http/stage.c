/* One buffer, filled again when all of it has gone. */
#include "http/stage.h"

#include "base/mutant.h"

#include <string.h>

enum { STAGE_BYTES = 128 * 1024 };

void stage_begin(Stage *stage, size_t n_total)
{
    *stage = (Stage){ .data = g_malloc(MIN(n_total, STAGE_BYTES)) };
}

void stage_end(Stage *stage)
{
    g_clear_pointer(&stage->data, g_free);
}

ssize_t stage_write(Stage *stage, HttpStream *stream, const Rope *rope, const void *header,
                    size_t n_header)
{
    bool begun = stage->n > 0;
    if (stage->at == stage->n || MUTANT(stage_early)) { /* mutant: http_websocket:test_rope_tls */
        size_t n = begun ? 0 : n_header;
        memcpy(stage->data, header, n);
        stage->n = n + rope_read(rope, &stage->cursor, stage->data + n, STAGE_BYTES - n);
        stage->at = 0;
    }
    ssize_t put = stream_try_write(stream, stage->data + stage->at, stage->n - stage->at, false);
    if (put > 0)
        stage->at += (size_t) put;
    return put;
}
