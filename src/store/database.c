/* One SQLite file: opening, migrating, running one statement. Every use holds its lock, so SQLite's
 * own thread locking is switched off. */
#include "store/private.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum {
    BUSY_MS = 5000,
    OPEN_FLAGS = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
};

static ErrCode code_of(int result)
{
    switch (result & 0xff) {
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
        return ERR_DENIED;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_IOERR:
        return ERR_IO;
    default:
        return ERR_INTERNAL;
    }
}

void database_error(Database *database, const char *what, GError **error)
{
    err_set(error, code_of(sqlite3_extended_errcode(database->sqlite)), "database %s: %s: %s",
            database->name, what, sqlite3_errmsg(database->sqlite));
}

static bool run_script(Database *database, const char *sql, GError **error)
{
    if (sqlite3_exec(database->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    database_error(database, "preparing", error);
    return false;
}

static bool read_version(sqlite3_stmt *statement, void *version, GError **error)
{
    *(int *) version = sqlite3_column_int(statement, 0);
    return true;
}

static bool migrate_one(Database *database, const char *step, int version, GError **error)
{
    g_autofree char *sql =
        g_strdup_printf("BEGIN IMMEDIATE; %s; PRAGMA user_version = %d; COMMIT", step, version);
    if (run_script(database, sql, error))
        return true;
    sqlite3_exec(database->sqlite, "ROLLBACK", NULL, NULL, NULL);
    g_prefix_error(error, "migrating to version %d: ", version);
    return false;
}

static bool migrate(Database *database, const char *const *steps, int n_steps, GError **error)
{
    int version = 0;
    if (!database_run(database, read_version, &version, error, "PRAGMA user_version", ""))
        return false;
    if (version > n_steps) {
        err_set(error, ERR_TOO_NEW,
                "database %s has schema version %d, this program knows up to %d", database->name,
                version, n_steps);
        return false;
    }
    for (; version < n_steps; version++)
        if (!migrate_one(database, steps[version], version + 1, error))
            return false;
    return true;
}

static bool make_whole(Database *database, const char *path, const char *const *steps, int n_steps,
                       GError **error)
{
    if (sqlite3_open_v2(path, &database->sqlite, OPEN_FLAGS, NULL) != SQLITE_OK) {
        database_error(database, path, error);
        return false;
    }
    return run_script(database, "PRAGMA journal_mode = WAL", error) &&
           run_script(database, "PRAGMA synchronous = OFF", error) &&
           migrate(database, steps, n_steps, error);
}

/* A new one is made beside its place and renamed into it: one flush to the disk instead of eight.
 */
static bool make_new(Database *database, const char *path, const char *const *steps, int n_steps,
                     GError **error)
{
    g_autofree char *part = g_strconcat(path, ".new", NULL);
    unlink(part);
    bool ok = make_whole(database, part, steps, n_steps, error);
    sqlite3_close(g_steal_pointer(&database->sqlite));
    int fd = ok ? open(part, O_RDONLY | O_CLOEXEC) : -1;
    if (ok && (fd < 0 || fsync(fd) != 0 || rename(part, path) != 0)) {
        err_set_errno(error, errno, "database %s: making %s", database->name, path);
        ok = false;
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

bool database_open(Database *database, const char *folder, const char *name, bool full_sync,
                   const char *const *steps, int n_steps, GError **error)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    pthread_mutexattr_t again; /* statements within a transaction lock once more */
    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&database->lock, &again);
    pthread_mutexattr_destroy(&again);
    database->name = name;
    if (access(path, F_OK) != 0 && !make_new(database, path, steps, n_steps, error))
        return false;
    if (sqlite3_open_v2(path, &database->sqlite, OPEN_FLAGS, NULL) != SQLITE_OK) {
        database_error(database, path, error);
        return false;
    }
    sqlite3_extended_result_codes(database->sqlite, 1);
    sqlite3_busy_timeout(database->sqlite, BUSY_MS);
    return run_script(database, "PRAGMA journal_mode = WAL", error) &&
           run_script(database,
                      full_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
                      error) &&
           /* KiB: rows are small, or long and written anew; the system has the pages anyway. */
           run_script(database, "PRAGMA cache_size = -64", error) &&
           migrate(database, steps, n_steps, error);
}

void database_close(Database *database)
{
    if (!database->name)
        return;
    sqlite3_close(database->sqlite);
    pthread_mutex_destroy(&database->lock);
    database->name = NULL;
}

static void bind(sqlite3_stmt *statement, const char *format, va_list args)
{
    for (int i = 1; *format; format++, i++) {
        if (*format == 's')
            sqlite3_bind_text(statement, i, va_arg(args, const char *), -1, SQLITE_STATIC);
        else
            sqlite3_bind_int64(statement, i, va_arg(args, gint64));
    }
}

static bool step_all(Database *database, sqlite3_stmt *statement, DatabaseRow row, void *user,
                     GError **error)
{
    for (;;) {
        int result = sqlite3_step(statement);
        if (result == SQLITE_DONE)
            return true;
        if (result != SQLITE_ROW) {
            database_error(database, "running a statement", error);
            return false;
        }
        if (row && !row(statement, user, error))
            return false;
    }
}

bool database_run(Database *database, DatabaseRow row, void *user, GError **error, const char *sql,
                  const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    pthread_mutex_lock(&database->lock);
    bool ok = sqlite3_prepare_v2(database->sqlite, sql, -1, &statement, NULL) == SQLITE_OK;
    if (!ok)
        database_error(database, sql, error);
    if (ok) {
        va_list args;
        va_start(args, format);
        bind(statement, format, args);
        va_end(args);
        ok = step_all(database, statement, row, user, error);
    }
    sqlite3_finalize(statement);
    pthread_mutex_unlock(&database->lock);
    return ok;
}

bool database_begin(Database *database, GError **error)
{
    pthread_mutex_lock(&database->lock);
    if (run_script(database, "BEGIN IMMEDIATE", error))
        return true;
    pthread_mutex_unlock(&database->lock);
    return false;
}

bool database_end(Database *database, bool keep, GError **error)
{
    bool ok = keep && run_script(database, "COMMIT", error);
    if (!ok)
        sqlite3_exec(database->sqlite, "ROLLBACK", NULL, NULL, NULL);
    pthread_mutex_unlock(&database->lock);
    return ok;
}

json_t *database_json(sqlite3_stmt *statement, int column, const char *what, GError **error)
{
    const char *text = (const char *) sqlite3_column_text(statement, column);
    gsize n = (gsize) sqlite3_column_bytes(statement, column);
    json_error_t problem;
    json_t *value = text ? json_loadb(text, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem) : NULL;
    if (!value)
        err_set(error, ERR_CORRUPT, "%s: the stored record is not JSON: %s", what,
                text ? problem.text : "empty");
    return value;
}

char *database_text(json_t *value, const char *what, GError **error)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        err_set(error, ERR_INVALID, "%s: the record cannot be written as JSON", what);
    return text;
}
