/* The parser of a journal's bytes, apart from files. */
#pragma once

#include "journal/journal.h"

enum {
    JOURNAL_HEADER_BYTES = 8,
    JOURNAL_MAX_RECORD_BYTES = 4 << 20,
    JOURNAL_MAX_BYTES = 256 << 20
};

/* Appends the records to `records` (may be NULL); *end is where the next one goes, before a torn
 * last record. `name` is for messages. */
bool journal_parse(const guint8 *data, gsize n, const char *name, json_t *records, gsize *end,
                   GError **error);
/* One record as bytes, or NULL with LIMIT. */
GBytes *journal_frame(json_t *record, const char *name, GError **error);
