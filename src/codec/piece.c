/* Noise is told by two samples of it: all byte values come equally often, and no four bytes come
 * twice. The first alone would take a page that is repeated for noise. */
#include "codec/piece.h"

#include <stdbool.h>
#include <string.h>

enum {
    SLICE_BYTES = 1 << 10,
    N_SLICES = 4,
    N_SAMPLES = SLICE_BYTES * N_SLICES,
    STEP_BYTES = PIECE_BYTES / N_SLICES,
    N_SEEN = 1 << 12, /* words remembered */
};

/* The sum of the squares of the counts is least when all values are as frequent, and then this in
 * the mean. Coding by frequency gains nothing below 1.06 of it. */
static guint64 even_squares(guint64 n)
{
    return n + n * (n - 1) / 256;
}

static guint64 squares_of(const guint16 counts[256])
{
    guint64 squares = 0;
    for (unsigned i = 0; i < 256; i++)
        squares += (guint64) counts[i] * counts[i];
    return squares;
}

/* What is not noise mostly shows in the first slice, where chance alone makes a twelfth. */
static bool is_even(const guint8 *data)
{
    guint16 counts[256] = { 0 };
    for (gsize slice = 0; slice < PIECE_BYTES; slice += STEP_BYTES) {
        for (gsize i = slice; i < slice + SLICE_BYTES; i++)
            counts[data[i]]++;
        if (slice == 0 && squares_of(counts) > even_squares(SLICE_BYTES) * 5 / 4)
            return false;
    }
    return squares_of(counts) < even_squares(N_SAMPLES) * 17 / 16;
}

static bool has_repeats(const guint8 *data)
{
    guint32 seen[N_SEEN] = { 0 };
    unsigned n_repeats = 0;
    for (gsize slice = 0; slice < PIECE_BYTES; slice += STEP_BYTES)
        for (gsize i = slice; i < slice + SLICE_BYTES; i++) {
            guint32 word;
            memcpy(&word, data + i, sizeof word);
            guint32 *place = &seen[word * 2654435761u >> 20];
            n_repeats += *place == word;
            *place = word;
        }
    return n_repeats > N_SAMPLES / 64;
}

PieceKind piece_kind(const guint8 *data, gsize n)
{
    if (n != PIECE_BYTES)
        return PIECE_PLAIN;
    if (data[0] == 0 && memcmp(data, data + 1, n - 1) == 0)
        return PIECE_ZEROS;
    return is_even(data) && !has_repeats(data) ? PIECE_NOISE : PIECE_PLAIN;
}
