/* Logs: entries of a namespace in the order of time. A key is the decimal time, with ":<n>" for the
 * nth further entry of the same millisecond, as XO names its runs. */
#include "store/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <stdlib.h>

static char *format_key(gint64 time_ms, gint64 n)
{
    return n ? g_strdup_printf("%" G_GINT64_FORMAT ":%" G_GINT64_FORMAT, time_ms, n)
             : g_strdup_printf("%" G_GINT64_FORMAT, time_ms);
}

static bool parse_key(const char *key, gint64 *time_ms, gint64 *n)
{
    char *end = NULL;
    *n = 0;
    if (!g_ascii_isdigit(key[0]))
        return false;
    *time_ms = g_ascii_strtoll(key, &end, 10);
    if (*end == ':' && g_ascii_isdigit(end[1]))
        *n = g_ascii_strtoll(end + 1, &end, 10);
    return *end == '\0';
}

static bool check_key(const char *name_space, const char *key, gint64 *time_ms, gint64 *n,
                      GError **error)
{
    if (parse_key(key, time_ms, n))
        return true;
    err_set(error, ERR_NOT_FOUND, "no such log %s in %s", key, name_space);
    return false;
}

static bool read_n(sqlite3_stmt *statement, void *n, GError **error)
{
    *(gint64 *) n = sqlite3_column_int64(statement, 0);
    return true;
}

char *store_log_add(Store *store, const char *name_space, gint64 time_ms, json_t *entry,
                    GError **error)
{
    char *text = database_text(entry, name_space, error);
    gint64 n = -1;
    if (!text)
        return NULL;
    bool ok = database_run(&store->logs, read_n, &n, error,
                           MUTANT(store_log_key_reused) /* mutant: store */
                               ? "INSERT OR REPLACE INTO logs VALUES (?1, ?2, 0, ?3) RETURNING n"
                               : "INSERT INTO logs (name_space, time_ms, n, value) VALUES (?1, ?2,"
                                 " (SELECT coalesce(max(n) + 1, 0) FROM logs"
                                 " WHERE name_space = ?1 AND time_ms = ?2), ?3) RETURNING n",
                           "sis", name_space, time_ms, text);
    free(text);
    return ok ? format_key(time_ms, n) : NULL;
}

bool store_log_set_text(Store *store, const char *name_space, const char *key, const char *text,
                        GError **error)
{
    gint64 time_ms, n;
    return check_key(name_space, key, &time_ms, &n, error) &&
           database_run(&store->logs, NULL, NULL, error,
                        "INSERT INTO logs (name_space, time_ms, n, value) VALUES (?1, ?2, ?3, ?4)"
                        " ON CONFLICT DO UPDATE SET value = excluded.value",
                        "siis", name_space, time_ms, n, text);
}

bool store_log_set(Store *store, const char *name_space, const char *key, json_t *entry,
                   GError **error)
{
    char *text = database_text(entry, key, error);
    bool ok = text && store_log_set_text(store, name_space, key, text, error);
    free(text);
    return ok;
}

static bool ignore_row(sqlite3_stmt *statement, void *user, GError **error)
{
    return true;
}

bool store_log_sync(Store *store, GError **error)
{
    return MUTANT(store_log_stays_volatile) || /* mutant: store */
           database_run(&store->logs, ignore_row, NULL, error, "PRAGMA wal_checkpoint(PASSIVE)",
                        "");
}

typedef struct {
    const char *key;
    json_t *value;
} Found;

static bool read_one(sqlite3_stmt *statement, void *user, GError **error)
{
    Found *found = user;
    found->value = database_json(statement, 0, found->key, error);
    return found->value != NULL;
}

json_t *store_log_get(Store *store, const char *name_space, const char *key, GError **error)
{
    gint64 time_ms, n;
    Found found = { key, NULL };
    if (!check_key(name_space, key, &time_ms, &n, error))
        return NULL;
    bool ok =
        database_run(&store->logs, read_one, &found, error,
                     "SELECT value FROM logs WHERE name_space = ?1 AND time_ms = ?2 AND n = ?3",
                     "sii", name_space, time_ms, n);
    if (ok && !found.value)
        err_set(error, ERR_NOT_FOUND, "no such log %s in %s", key, name_space);
    return found.value;
}

static bool read_entry(sqlite3_stmt *statement, void *list, GError **error)
{
    g_autofree char *key =
        format_key(sqlite3_column_int64(statement, 1), sqlite3_column_int64(statement, 2));
    json_t *value = database_json(statement, 0, key, error);
    return value && json_object_set_new(list, key, value) == 0;
}

json_t *store_log_list(Store *store, const char *name_space, gint64 after_ms, gint64 before_ms,
                       unsigned limit, GError **error)
{
    json_t *list = json_object();
    gint64 end = before_ms > 0 ? before_ms : G_MAXINT64, n = limit ? (gint64) limit : -1;
    if (database_run(&store->logs, read_entry, list, error,
                     "SELECT * FROM (SELECT value, time_ms, n FROM logs WHERE name_space = ?1"
                     " AND time_ms >= ?2 AND time_ms < ?3 ORDER BY time_ms DESC, n DESC LIMIT ?4)"
                     " ORDER BY time_ms, n",
                     "siii", name_space, after_ms, end, n))
        return list;
    json_decref(list);
    return NULL;
}

static bool read_key(sqlite3_stmt *statement, void *keys, GError **error)
{
    g_ptr_array_add(
        keys, format_key(sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1)));
    return true;
}

GPtrArray *store_log_keys(Store *store, const char *name_space, gint64 after_ms, gint64 before_ms,
                          GError **error)
{
    g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
    gint64 end = before_ms > 0 ? before_ms : G_MAXINT64;
    if (!database_run(&store->logs, read_key, keys, error,
                      "SELECT time_ms, n FROM logs WHERE name_space = ?1 AND time_ms >= ?2"
                      " AND time_ms < ?3 ORDER BY time_ms, n",
                      "sii", name_space, after_ms, end))
        return NULL;
    return g_steal_pointer(&keys);
}

bool store_log_drop(Store *store, const char *name_space, const char *key, GError **error)
{
    gint64 time_ms, n;
    if (!parse_key(key, &time_ms, &n))
        return true;
    return database_run(&store->logs, NULL, NULL, error,
                        "DELETE FROM logs WHERE name_space = ?1 AND time_ms = ?2 AND n = ?3", "sii",
                        name_space, time_ms, n);
}

bool store_log_trim(Store *store, const char *name_space, unsigned keep, GError **error)
{
    return database_run(&store->logs, NULL, NULL, error,
                        "DELETE FROM logs WHERE name_space = ?1 AND (time_ms, n) IN"
                        " (SELECT time_ms, n FROM logs WHERE name_space = ?1"
                        " ORDER BY time_ms DESC, n DESC LIMIT -1 OFFSET ?2)",
                        "si", name_space, (gint64) keep);
}
