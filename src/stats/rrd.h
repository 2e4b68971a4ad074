/* What a host's round-robin databases say: the answer of /rrd_updates, in any of the dialects that
 * hosts have spoken.
 *
 * Source: xcp-rrdd. Old ones write keys without quotes and numbers bare, NaN among them; newer ones
 * values as text, with "data" inside "meta" or beside it. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Rrd Rrd;

enum { RRD_MAX_COLUMNS = 100000, RRD_MAX_VALUES = 4 << 20 };

Rrd *rrd_new(void);
void rrd_free(Rrd *rrd);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rrd, rrd_free)

/* The bytes of the answer, in slices of any size (an HttpSink; `rrd` is the user). INVALID, LIMIT.
 */
bool rrd_take(const void *data, size_t n, void *rrd, GError **error);
/* After the last byte; TRUNCATED. */
bool rrd_end(Rrd *rrd, GError **error);

gint64 rrd_step_s(const Rrd *rrd);
gint64 rrd_end_s(const Rrd *rrd); /* Unix time of the newest row; 0 when there is none */
guint rrd_n_rows(const Rrd *rrd);
guint rrd_n_columns(const Rrd *rrd);
/* "AVERAGE:vm:<uuid>:cpu0" taken apart: the last two, borrowed; false when it is not of that form.
 */
bool rrd_column(const Rrd *rrd, guint column, const char **uuid, const char **source);
/* NaN when it is not known. Row 0 is the oldest. */
double rrd_value(const Rrd *rrd, guint row, guint column);
