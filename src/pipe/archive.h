/* A whole VM as its pool exports it (XVA), as a source of a pipe: the stream in pieces of
 * DISK_BLOCK_BYTES, numbered from 0, the last one shorter and padded with zeros. It is checked as
 * it comes: the source fails unless the archive is whole by its format. */
#pragma once

#include "disk/xva.h"
#include "pipe/pipe.h"
#include "xapi/xapi.h"

/* Starts the export; what fails, fails in the pipe. compression as for xapi_export_vm. */
Source *source_archive(Xapi *xapi, const char *vm, const char *compression, Cancel *cancel);
/* Bytes of a piece that are the archive's; for a piece that was handed out. */
gsize source_archive_piece_bytes(Source *source, guint32 piece);
/* Bytes so far, from any thread. */
guint64 source_archive_bytes(Source *source);
/* Once the pipe has ended well: what ova.xml says, as long as the source is there; the MD5 of the
 * archive as hex. */
const XvaInfo *source_archive_info(Source *source);
const char *source_archive_md5(Source *source);
