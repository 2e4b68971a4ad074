/* The log of who did what, as a table whose rows are chained by their hashes. */
#include "store/audit.h"
#include "store/private.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

enum { LINES_AT_ONCE = 500 };

/* --- The chain --- */

/* The id that a record should have. */
static char *id_of(json_t *record)
{
    json_t *rest = json_copy(record);
    json_object_del(rest, "id");
    char *text = json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(rest);
    g_autofree char *hash = text ? g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1)
                                 : NULL;
    free(text);
    return g_strdup_printf("$5$%s", hash ? hash : "");
}

void audit_verdict_clear(AuditVerdict *verdict)
{
    g_clear_pointer(&verdict->missing, g_free);
    g_clear_pointer(&verdict->altered, g_free);
}

void audit_walk_clear(AuditWalk *walk)
{
    g_clear_pointer(&walk->expected, g_free);
    g_clear_pointer(&walk->oldest, g_free);
    audit_verdict_clear(&walk->verdict);
}

bool audit_walk_step(AuditWalk *walk, json_t *record)
{
    const char *id = json_text(record, "id"), *previous = json_text(record, "previousId");
    if (walk->done)
        return false;
    if (walk->expected && strcmp(walk->expected, id) != 0) {
        walk->verdict.missing = g_strdup(walk->expected);
        walk->done = true;
        return false;
    }
    g_autofree char *right = id_of(record);
    if (strcmp(right, id) != 0 && !MUTANT(audit_any_hash)) { /* mutant: store_audit */
        walk->verdict.altered = g_strdup(id);
        walk->done = true;
        return false;
    }
    walk->verdict.n_valid++;
    walk->reached = g_strcmp0(walk->oldest, id) == 0;
    walk->done = walk->reached || strcmp(previous, AUDIT_START) == 0;
    g_free(walk->expected);
    walk->expected = g_strdup(previous);
    return !walk->done;
}

void audit_walk_end(AuditWalk *walk, const char *first_id)
{
    if (!walk->done && walk->expected && g_strcmp0(walk->expected, first_id) != 0 &&
        !MUTANT(audit_cut_short)) /* mutant: store_audit */
        walk->verdict.missing = g_strdup(walk->expected);
    else if (walk->oldest && !walk->reached && !walk->verdict.missing && !walk->verdict.altered)
        walk->verdict.missing = g_strdup(walk->oldest);
    walk->done = true;
}

/* --- Records --- */

static bool read_text(sqlite3_stmt *statement, void *text, GError **error)
{
    g_free(*(char **) text);
    *(char **) text = g_strdup((const char *) sqlite3_column_text(statement, 0));
    return true;
}

char *audit_newest(Store *store, GError **error)
{
    char *id = NULL;
    database_run(&store->logs, read_text, &id, error,
                 "SELECT id FROM audit ORDER BY n DESC LIMIT 1", "");
    return id;
}

char *audit_oldest(Store *store, GError **error)
{
    char *id = NULL;
    database_run(&store->logs, read_text, &id, error, "SELECT id FROM audit ORDER BY n LIMIT 1",
                 "");
    return id;
}

static bool read_n(sqlite3_stmt *statement, void *n, GError **error)
{
    *(gint64 *) n = sqlite3_column_int64(statement, 0);
    return true;
}

static bool insert(Store *store, json_t *record, gint64 *n, GError **error)
{
    char *text = database_text(record, "audit record", error);
    bool ok = text && database_run(&store->logs, read_n, n, error,
                                   "INSERT INTO audit (id, value) VALUES (?1, ?2) RETURNING n",
                                   "ss", json_text(record, "id"), text);
    free(text);
    return ok;
}

static bool trim(Store *store, gint64 n, GError **error)
{
    return n % AUDIT_TRIM_EVERY != 0 ||
           database_run(&store->logs, NULL, NULL, error, "DELETE FROM audit WHERE n <= ?1", "i",
                        n - (gint64) AUDIT_MAX_RECORDS);
}

bool audit_add(Store *store, const char *event, json_t *subject, json_t *data, GError **error)
{
    gint64 n = 0;
    json_t *record = json_pack("{s:s, s:o, s:o, s:I}", "event", event, "subject", subject, "data",
                               data, "time", (json_int_t) (g_get_real_time() / 1000));
    if (!record) {
        err_set(error, ERR_INVALID, "the audit record of %s cannot be written as JSON", event);
        return false;
    }
    bool ok = database_begin(&store->logs, error);
    if (ok) {
        g_autoptr(GError) failure = NULL;
        g_autofree char *previous = audit_newest(store, &failure);
        json_object_set_new(record, "previousId", json_string(previous ? previous : AUDIT_START));
        g_autofree char *id = id_of(record);
        json_object_set_new(record, "id", json_string(id));
        ok = !failure && insert(store, record, &n, &failure) && trim(store, n, &failure);
        if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        ok = database_end(&store->logs, ok, ok ? error : NULL) && ok;
    }
    json_decref(record);
    return ok;
}

/* --- Reading --- */

typedef struct {
    AuditSeen seen;
    void *user;
} Each;

static bool read_record(sqlite3_stmt *statement, void *user, GError **error)
{
    const Each *each = user;
    const char *text = (const char *) sqlite3_column_text(statement, 0);
    return each->seen(text ? text : "", (gsize) sqlite3_column_bytes(statement, 0), each->user,
                      error);
}

bool audit_each(Store *store, const char *newest, unsigned limit, AuditSeen seen, void *user,
                GError **error)
{
    Each each = { seen, user };
    return database_run(&store->logs, read_record, &each, error,
                        "SELECT value FROM audit WHERE n <= CASE WHEN ?1 = '' THEN (SELECT max(n)"
                        " FROM audit) ELSE (SELECT n FROM audit WHERE id = ?1) END"
                        " ORDER BY n DESC LIMIT ?2",
                        "si", newest ? newest : "", limit ? (gint64) limit : (gint64) -1);
}

typedef struct {
    GString *lines;
    gint64 last;
} Lines;

static bool read_line(sqlite3_stmt *statement, void *user, GError **error)
{
    Lines *lines = user;
    lines->last = sqlite3_column_int64(statement, 1);
    g_string_append_len(lines->lines, (const char *) sqlite3_column_text(statement, 0),
                        sqlite3_column_bytes(statement, 0));
    g_string_append_c(lines->lines, '\n');
    return true;
}

bool audit_next(Store *store, gint64 *after, GString *text, GError **error)
{
    Lines lines = { text, 0 };
    if (!database_run(&store->logs, read_line, &lines, error,
                      "SELECT value, n FROM audit WHERE n > ?1 ORDER BY n LIMIT ?2", "ii", *after,
                      (gint64) LINES_AT_ONCE))
        return false;
    *after = lines.last;
    return lines.last != 0;
}

static bool step(const char *text, gsize n, void *user, GError **error)
{
    AuditWalk *walk = user;
    json_t *record = json_loadb(text, n, JSON_ALLOW_NUL, NULL);
    if (!record && !walk->done) {
        walk->verdict.altered = g_strdup(walk->expected ? walk->expected : "");
        walk->done = true;
    } else if (record) {
        audit_walk_step(walk, record);
    }
    json_decref(record);
    return true;
}

/* Where the log begins after older records were dropped. */
static char *first_previous(Store *store, GError **error)
{
    char *previous = NULL;
    database_run(&store->logs, read_text, &previous, error,
                 "SELECT json_extract(value, '$.previousId') FROM audit WHERE n > 1"
                 " AND n = (SELECT min(n) FROM audit) AND n % ?1 = 1",
                 "i", (gint64) AUDIT_TRIM_EVERY);
    return previous;
}

bool audit_check(Store *store, const char *newest, const char *oldest, AuditVerdict *verdict,
                 GError **error)
{
    g_auto(AuditWalk) walk = { .expected = g_strdup(newest), .oldest = g_strdup(oldest) };
    g_autoptr(GError) failure = NULL;
    g_autofree char *first = first_previous(store, &failure);
    if (failure || !audit_each(store, newest, 0, step, &walk, &failure)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    audit_walk_end(&walk, first);
    *verdict = walk.verdict;
    walk.verdict = (AuditVerdict){ 0 };
    return true;
}
