/* The bytes of a disk, for those who move them: exports, imports, NBD, digests.
 *
 * All of these are called without the lock of model.h and take it for short moments. A disk that is
 * not attached may vanish meanwhile: HANDLE_INVALID. */
#pragma once

#include "sim/model.h"

/* Bytes beyond the virtual size read as zeros. */
bool storage_read(Sim *sim, const char *vdi, guint64 offset, void *out, gsize n, GError **error);
/* Stores bytes that came from outside; zeros where nothing was stay unallocated. SM's error when
 * the SR is full or the range is beyond the virtual size. */
bool storage_write(Sim *sim, const char *vdi, guint64 offset, const void *data, gsize n,
                   GError **error);
/* After a row of writes: the numbers of the records. */
void storage_write_end(Sim *sim, const char *vdi);

/* Attaches the disk to dom0 for a transfer, as a VBD that other clients see (unless the pool's
 * other_config has sim:transfer-vbd=false): the VBD's ref, copied ("" without one). VDI_IN_USE when
 * somebody else writes to it. */
char *storage_attach(Sim *sim, const char *vdi, bool rw, GError **error);
/* Takes it away after a short while, as a real pool does. */
void storage_detach(Sim *sim, const char *vbd, guint after_ms);
