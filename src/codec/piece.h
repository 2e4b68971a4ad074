/* What a piece of a buffer is, before a codec works on it. */
#pragma once

#include <glib.h>

enum { PIECE_BYTES = 32 << 10 };

typedef enum { PIECE_PLAIN, PIECE_ZEROS, PIECE_NOISE } PieceKind;

/* NOISE is a guess from samples: data that is compressed or encrypted already. ZEROS and NOISE are
 * said of whole pieces only. */
PieceKind piece_kind(const guint8 *data, gsize n);
