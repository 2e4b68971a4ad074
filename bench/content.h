/* What is on the disks of the benchmark: half of it can be compressed, as on real ones. Cells of 64
 * KiB drawn from a seed: 30 % zeros, 40 % text like a log, 10 % records, 20 % random. */
#pragma once

#include <glib.h>

/* Fills n bytes, a multiple of 64 KiB; the same for the same seed and block. */
void content_fill(void *data, gsize n, guint64 seed, guint32 block);
