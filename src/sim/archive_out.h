/* An archive of a VM (XVA) as a host writes it: a plain ustar of small entries, each chunk with its
 * checksum, all of it compressed when asked for. It shares nothing with the reader in disk/. */
#pragma once

#include "codec/flow.h"

typedef struct ArchiveOut ArchiveOut;

/* codec: "none", "gzip" or "zstd"; `old`: SHA-1 sums (".checksum") instead of XXH64 (".xxhash"). */
ArchiveOut *archive_out_new(const char *codec, bool old, FlowSink sink, void *user);
void archive_out_free(ArchiveOut *out);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ArchiveOut, archive_out_free)

bool archive_out_entry(ArchiveOut *out, const char *name, const void *data, gsize n,
                       GError **error);
/* "<id>/<number>" and its checksum. */
bool archive_out_chunk(ArchiveOut *out, const char *id, guint number, const void *data, gsize n,
                       GError **error);
bool archive_out_end(ArchiveOut *out, GError **error);
