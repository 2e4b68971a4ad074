/* A rate that several streams share: XO's maxExportRate counts for a job as a whole. Thread-safe.
 */
#pragma once

#include "base/cancel.h"

typedef struct Throttle Throttle;

/* NULL, which is allowed everywhere and holds nobody up, for 0 bytes a second. */
Throttle *throttle_new(guint64 bytes_per_s);
void throttle_free(Throttle *throttle);
/* Waits until n_bytes more may pass: blocks in line with those who asked before; returns early when
 * cancelled. */
void throttle_take(Throttle *throttle, guint64 n_bytes, const Cancel *cancel);
