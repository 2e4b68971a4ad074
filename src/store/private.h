/* What the files of this room share: one SQLite database with its lock. */
#pragma once

#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

enum { STORE_N_VERSIONS = 64 };

typedef struct {
    pthread_mutex_t lock; /* one statement at a time: SQLite's own locking is off */
    sqlite3 *sqlite;
    const char *name; /* "state.db", for messages */
} Database;

struct Store {
    char *folder;
    int lock_fd;
    Database state, logs;
    atomic_ulong versions[STORE_N_VERSIONS]; /* of the collections with this hash */
    pthread_mutex_t key_lock;
    guint8 *key; /* NULL until the first use */
};

/* Opens or creates <folder>/<name> and migrates it to n_steps; each step is SQL. */
bool database_open(Database *database, const char *folder, const char *name, bool full_sync,
                   const char *const *steps, int n_steps, GError **error);
void database_close(Database *database);

/* Runs one statement with the lock held. `format` of the bindings: s text (must stay until it
 * returns), i gint64. Rows go to `row`, which may be NULL; it returns false with an error to stop.
 */
typedef bool (*DatabaseRow)(sqlite3_stmt *statement, void *user, GError **error);
bool database_run(Database *database, DatabaseRow row, void *user, GError **error, const char *sql,
                  const char *format, ...);
/* From the one to the other, all statements of this thread are one transaction, and other threads
 * wait. The end keeps it (false: cannot) or, with `keep` false, takes all back. */
bool database_begin(Database *database, GError **error);
bool database_end(Database *database, bool keep, GError **error);
/* Sets an error from the last failure; `what` names the object. */
void database_error(Database *database, const char *what, GError **error);

/* A column of JSON text; CORRUPT naming `what`. */
json_t *database_json(sqlite3_stmt *statement, int column, const char *what, GError **error);
char *database_text(json_t *value, const char *what, GError **error);
