/* The data folder, its lock, and collections of records. */
#include "store/private.h"

#include "base/durable.h"
#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Schema versions: append a step, never change one. */
static const char *const state_steps[] = {
    "CREATE TABLE records (collection TEXT NOT NULL, id TEXT NOT NULL, value TEXT NOT NULL,"
    " PRIMARY KEY (collection, id)) WITHOUT ROWID",
};
static const char *const log_steps[] = {
    "CREATE TABLE logs (name_space TEXT NOT NULL, time_ms INTEGER NOT NULL, n INTEGER NOT NULL,"
    " value TEXT NOT NULL, PRIMARY KEY (name_space, time_ms, n)) WITHOUT ROWID",
    "CREATE TABLE audit (n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
    " value TEXT NOT NULL)",
};

static void name_holder(const char *path, const char *folder, GError **error)
{
    g_autofree char *pid = NULL;
    g_file_get_contents(path, &pid, NULL, NULL);
    err_set(error, ERR_BUSY, "data folder %s is in use by another server (process %s)", folder,
            pid && *pid ? g_strstrip(pid) : "unknown");
}

static int lock_folder(const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_set_errno(error, errno, "data folder %s: opening its lock", folder);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && !MUTANT(store_folder_unlocked)) { /* mutant: store */
        name_holder(path, folder, error);
        close(fd);
        return -1;
    }
    g_autofree char *pid = g_strdup_printf("%d\n", (int) getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, strlen(pid), 0) < 0) {
        err_set_errno(error, errno, "data folder %s: writing its lock", folder);
        close(fd);
        return -1;
    }
    return fd;
}

Store *store_open(const char *folder, GError **error)
{
    if (!durable_make_folder(folder, 0700, error)) {
        g_prefix_error(error, "data folder: ");
        return NULL;
    }
    int fd = lock_folder(folder, error);
    if (fd < 0)
        return NULL;
    g_autoptr(Store) store = g_new0(Store, 1);
    store->folder = g_strdup(folder);
    store->lock_fd = fd;
    pthread_mutex_init(&store->key_lock, NULL);
    if (!database_open(&store->state, folder, "state.db", true, state_steps,
                       G_N_ELEMENTS(state_steps), error) ||
        !database_open(&store->logs, folder, "logs.db", false, log_steps, G_N_ELEMENTS(log_steps),
                       error) ||
        !durable_sync_folder(folder, error))
        return NULL;
    return g_steal_pointer(&store);
}

const char *store_folder(const Store *store)
{
    return store->folder;
}

void store_close(Store *store)
{
    if (!store)
        return;
    database_close(&store->state);
    database_close(&store->logs);
    if (store->key) {
        explicit_bzero(store->key, 32);
        g_free(store->key);
    }
    pthread_mutex_destroy(&store->key_lock);
    close(store->lock_fd);
    g_free(store->folder);
    g_free(store);
}

/* --- Records --- */

/* Collections that share a number only make each other's readers read again. */
static atomic_ulong *version_of(Store *store, const char *collection)
{
    return &store->versions[collection ? g_str_hash(collection) % STORE_N_VERSIONS : 0];
}

guint64 store_version(Store *store, const char *collection)
{
    return atomic_load(version_of(store, collection));
}

static void touch(Store *store, const char *collection)
{
    if (!MUTANT(store_version_stands)) /* mutant: store */
        atomic_fetch_add(version_of(store, collection), 1);
}

static bool write_record(Store *store, const char *sql, const char *collection, const char *id,
                         json_t *record, GError **error)
{
    g_autofree char *what = g_strdup_printf("%s %s", collection, id);
    char *text = database_text(record, what, error);
    if (!text)
        return false;
    bool ok = database_run(&store->state, NULL, NULL, error, sql, "sss", collection, id, text);
    free(text);
    touch(store, collection);
    return ok;
}

bool store_put(Store *store, const char *collection, const char *id, json_t *record, GError **error)
{
    return write_record(store,
                        "INSERT INTO records (collection, id, value) VALUES (?1, ?2, ?3)"
                        " ON CONFLICT (collection, id) DO UPDATE SET value = excluded.value",
                        collection, id, record, error);
}

static bool read_flag(sqlite3_stmt *statement, void *flag, GError **error)
{
    *(bool *) flag = true;
    return true;
}

bool store_add(Store *store, const char *collection, const char *id, json_t *record, GError **error)
{
    g_autofree char *what = g_strdup_printf("%s %s", collection, id);
    char *text = database_text(record, what, error);
    if (!text)
        return false;
    bool added = false;
    bool ok = database_run(&store->state, read_flag, &added, error,
                           "INSERT INTO records (collection, id, value) VALUES (?1, ?2, ?3)"
                           " ON CONFLICT DO NOTHING RETURNING id",
                           "sss", collection, id, text);
    free(text);
    touch(store, collection);
    if (ok && !added)
        err_set(error, ERR_EXISTS, "%s %s already exists", collection, id);
    return ok && added;
}

typedef struct {
    const char *what;
    json_t *value;
} Found;

static bool read_one(sqlite3_stmt *statement, void *user, GError **error)
{
    Found *found = user;
    found->value = database_json(statement, 0, found->what, error);
    return found->value != NULL;
}

json_t *store_get(Store *store, const char *collection, const char *id, GError **error)
{
    g_autofree char *what = g_strdup_printf("%s %s", collection, id);
    Found found = { what, NULL };
    bool ok = database_run(&store->state, read_one, &found, error,
                           "SELECT value FROM records WHERE collection = ?1 AND id = ?2", "ss",
                           collection, id);
    if (ok && !found.value)
        err_set(error, ERR_NOT_FOUND, "no such record %s in %s", id, collection);
    return found.value;
}

static bool read_next(sqlite3_stmt *statement, void *list, GError **error)
{
    json_t *value =
        database_json(statement, 0, (const char *) sqlite3_column_text(statement, 1), error);
    return value && json_array_append_new(list, value) == 0;
}

json_t *store_list(Store *store, const char *collection, GError **error)
{
    json_t *list = json_array();
    if (database_run(&store->state, read_next, list, error,
                     "SELECT value, collection || ' ' || id FROM records WHERE collection = ?1"
                     " ORDER BY id",
                     "s", collection))
        return list;
    json_decref(list);
    return NULL;
}

bool store_drop(Store *store, const char *collection, const char *id, bool *existed, GError **error)
{
    bool found = false;
    bool ok = database_run(&store->state, read_flag, &found, error,
                           "DELETE FROM records WHERE collection = ?1 AND id = ?2 RETURNING id",
                           "ss", collection, id);
    touch(store, collection);
    if (existed)
        *existed = found;
    return ok;
}

bool store_change_all(Store *store, const StoreChange *changes, gsize n, GError **error)
{
    if (!database_begin(&store->state, error))
        return false;
    bool ok = true;
    for (gsize i = 0; ok && i < n; i++) {
        const StoreChange *change = &changes[i];
        ok = change->record
                 ? store_put(store, change->collection, change->id, change->record, error)
                 : store_drop(store, change->collection, change->id, NULL, error);
    }
    ok = database_end(&store->state, ok || MUTANT(store_half_a_change), /* mutant: store */
                      error) &&
         ok;
    for (gsize i = 0; i < n; i++) /* what was read between was taken back, or is there only now */
        touch(store, changes[i].collection);
    return ok;
}
