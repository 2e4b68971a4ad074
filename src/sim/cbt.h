/* Changed block tracking: for each disk a log of the cells written since its last snapshot.
 *
 * A snapshot takes over the log of its disk, which begins a new one after it; so the logs of a disk
 * form a row, oldest first, and what changed between two points is the union of the logs after the
 * first up to the second. Deleting a disk merges its log into the next one. A broken log (set by a
 * fault, as an unclean shutdown does) makes every union over it fail. Pure memory, no lock. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct CbtLog CbtLog;

/* An empty log that begins a row. */
CbtLog *cbt_log_new(void);
/* Begins a new log after `log`, which becomes the snapshot's and no longer grows. */
CbtLog *cbt_log_next(CbtLog *log);
/* Takes the log out of its row, its marks merged into the next one's, and frees it; NULL is fine.
 */
void cbt_log_drop(CbtLog *log);
/* A write to the cell. NULL is fine: no tracking. */
void cbt_log_mark(CbtLog *log, guint64 cell);
void cbt_log_break(CbtLog *log);
/* The union of the logs after `from` up to `to`: one bit per 64 KiB cell of `size_bytes`, most
 * significant first, padded to a byte, as base64. Caller frees. NULL when `from` is not before `to`
 * in the same row, or a log on the way is broken. The same log twice: no change. */
char *cbt_changed(const CbtLog *from, const CbtLog *to, guint64 size_bytes);
