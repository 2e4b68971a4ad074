/* Faults on order: rules set over the control API (docs/simulator.md), asked for at the points
 * where they bite. Thread-safe, with or without the lock of model.h; no rule, no cost. */
#pragma once

#include "sim/model.h"

/* --- Streams: exports, imports, NBD --- */

typedef struct FaultStream FaultStream;

/* `path` is the handler's ("/export_raw_vdi", "nbd"), `object` the VDI's uuid or "". */
FaultStream *fault_stream_open(Sim *sim, const char *path, const char *object);
void fault_stream_close(FaultStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FaultStream, fault_stream_close)
/* Call before passing the next n bytes, without the lock: blocks while the rule says stall (or
 * throttles), and returns how many of them may pass; fewer than n means: pass these, then cut the
 * connection (http_abort). */
size_t fault_stream_pass(FaultStream *stream, size_t n);

/* --- Storage --- */

/* Seconds before the garbage collector may start, and per node it merges. */
double fault_coalesce_delay_s(Sim *sim);
