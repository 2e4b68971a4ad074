/* Append-only intents and progress of one run, durable before the act.
 *
 * A record is one JSON object; on disk: u32 length, u32 CRC-32C, bytes (all little-endian), after a
 * header with magic and version. journal_add returns after fdatasync. A torn last record is dropped
 * at open; damage before it is CORRUPT. The file is locked (flock) by the process that writes it:
 * a journal whose lock is free belongs to a dead worker and may be replayed. Not thread-safe to
 * open or close; journal_add is thread-safe. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Journal Journal;

/* Creates (folder fsynced) or continues. BUSY when another process holds it. */
Journal *journal_open(const char *path, GError **error);
/* Appends {"type": type, …fields} durably; fields may be NULL; the reference is taken. */
bool journal_add(Journal *journal, const char *type, json_t *fields, GError **error);
/* Without waiting for the disk: progress that may be lost. */
bool journal_note(Journal *journal, const char *type, json_t *fields, GError **error);
/* An array of all records, oldest first; new reference. */
json_t *journal_records(Journal *journal, GError **error);
/* Its file. */
const char *journal_path(const Journal *journal);
void journal_close(Journal *journal);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Journal, journal_close)
/* Closes, removes the file, fsyncs the folder. */
bool journal_end(Journal *journal, GError **error);
