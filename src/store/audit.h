/* The audit log: who did what, each record chained to the one before it by a hash, so that nobody
 * changes or takes one out unseen.
 *
 * A record is {id, previousId, time (ms), event, subject, data}, as XO's; id is "$5$" and the hex
 * SHA-256 of the others as JSON with sorted keys and no blanks. The first one's previousId is
 * AUDIT_START. Who takes the newest records away leaves a chain that is whole, so the id of the
 * newest must be kept elsewhere (a fingerprint) to prove that. Thread-safe; blocks for the disk. */
#pragma once

#include "store/store.h"

#define AUDIT_START "nullId"

/* The newest are kept; older ones go in steps. */
enum { AUDIT_MAX_RECORDS = 1000000, AUDIT_TRIM_EVERY = 10000 };

/* Adds a record of now. The references of subject and data are taken. */
bool audit_add(Store *store, const char *event, json_t *subject, json_t *data, GError **error);
/* The ids of the newest and the oldest record, or NULL without error when there is none. */
char *audit_newest(Store *store, GError **error);
char *audit_oldest(Store *store, GError **error);

/* Each record's JSON text, its length beside it; false stops with the error. */
typedef bool (*AuditSeen)(const char *text, gsize n, void *user, GError **error);
/* The newest first, from the record `newest` (NULL: all; unknown: none) and at most `limit` (0:
 * all). The log is busy meanwhile. */
bool audit_each(Store *store, const char *newest, unsigned limit, AuditSeen seen, void *user,
                GError **error);
/* Some of the oldest that come after position *after (begins as 0), in their order; *after moves.
 * False at the end or with an error. */
bool audit_next(Store *store, gint64 *after, GString *lines, GError **error);

/* What is wrong with a chain. */
typedef struct {
    gint64 n_valid;          /* before that */
    char *missing, *altered; /* the id of the record; both NULL: nothing */
} AuditVerdict;
void audit_verdict_clear(AuditVerdict *verdict);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AuditVerdict, audit_verdict_clear)
/* Walks from `newest` (NULL: the last one) to `oldest` (NULL: the first that is kept). False with
 * an error of the disk only. */
bool audit_check(Store *store, const char *newest, const char *oldest, AuditVerdict *verdict,
                 GError **error);

/* --- The chain without a store, for exported files: records from the newest to the oldest --- */

typedef struct {
    char *expected; /* the id that comes next; NULL: any */
    char *oldest;   /* where to end; NULL: with the first record there ever was */
    bool done, reached;
    AuditVerdict verdict;
} AuditWalk;
void audit_walk_clear(AuditWalk *walk);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(AuditWalk, audit_walk_clear)
/* Takes the next record; false when the walk has come to its end, well or not. */
bool audit_walk_step(AuditWalk *walk, json_t *record);
/* There are no more records: a walk that is not at its end lacks one, except where the log begins
 * (`first_id`: the oldest one's previousId, where older ones were dropped; may be NULL). */
void audit_walk_end(AuditWalk *walk, const char *first_id);
