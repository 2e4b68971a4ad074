/* Data of unknown length expanded or compressed as it passes: "none", "gzip" (RFC 1952) and "zstd"
 * (RFC 8878), as hosts send archives. One thread at a time per object; memory does not depend on
 * the length. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Flow Flow;

/* What comes out, at most FLOW_PIECE_BYTES at a time; false ends it with the error set. */
typedef bool (*FlowSink)(const void *data, gsize n, void *user, GError **error);
enum { FLOW_PIECE_BYTES = 256 << 10 };

/* Expands what the first bytes say it is: gzip members or zstd frames one after the other, and
 * anything else as it is. */
Flow *flow_expander(FlowSink sink, void *user);
/* Compresses, quickly rather than well; NULL when there is no such codec. */
Flow *flow_compressor(const char *codec, FlowSink sink, void *user);
void flow_free(Flow *flow);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Flow, flow_free)

/* CORRUPT, or the sink's error. */
bool flow_feed(Flow *flow, const void *data, gsize n, GError **error);
/* The rest; TRUNCATED when an expander is in the midst of something. */
bool flow_finish(Flow *flow, GError **error);
/* "none", "gzip", "zstd"; NULL while an expander has not seen enough to tell. */
const char *flow_codec(const Flow *flow);
