/* The store: records, logs, secrets, the folder's lock, versions. */
#include "base/error.h"
#include "store/store.h"
#include "scratch.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char *folder;

static int make_folder(void **state)
{
    folder = scratch_new();
    return 0;
}

static int drop_folder(void **state)
{
    scratch_drop(folder);
    return 0;
}

/* All or none. */
static void test_many(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    json_t *one = json_pack("{s:s}", "id", "a");
    StoreChange changes[] = { { "users", "a", one },
                              { "jobs", "b", one },
                              { NULL, "c", one } }; /* no name */
    g_autoptr(GError) error = NULL;
    assert_false(store_change_all(store, changes, G_N_ELEMENTS(changes), &error));
    assert_non_null(error);
    assert_null(store_get(store, "users", "a", NULL));
    assert_true(store_change_all(store, changes, 2, NULL));
    changes[0].record = NULL;
    assert_true(store_change_all(store, changes, 1, NULL));
    assert_null(store_get(store, "users", "a", NULL));
    json_t *kept = store_get(store, "jobs", "b", NULL);
    assert_non_null(kept);
    json_decref(kept);
    json_decref(one);
}

/* The number of a collection moves with each change, and other collections' do not. */
static void test_version(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    json_t *one = json_pack("{s:s}", "id", "a");
    StoreChange change = { "users", "a", one };
    guint64 users = store_version(store, "users"), acls = store_version(store, "acls"), now;
    assert_true(store_put(store, "users", "a", one, NULL));
    assert_int_not_equal(now = store_version(store, "users"), users);
    users = now;
    assert_true(store_drop(store, "users", "a", NULL, NULL));
    assert_int_not_equal(now = store_version(store, "users"), users);
    users = now;
    assert_true(store_add(store, "users", "a", one, NULL));
    assert_int_not_equal(now = store_version(store, "users"), users);
    users = now;
    assert_true(store_change_all(store, &change, 1, NULL));
    assert_int_not_equal(store_version(store, "users"), users);
    assert_int_equal(store_version(store, "acls"), acls);
    json_decref(one);
}

static void test_records(void **state)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) store = store_open(folder, &error);
    assert_null(error);
    json_t *record = json_pack("{s:s, s:i}", "id", "b", "n", 1);
    assert_true(store_add(store, "users", "b", record, &error));
    assert_false(store_add(store, "users", "b", record, &error));
    assert_true(err_is(error, ERR_EXISTS));
    g_clear_error(&error);
    json_object_set_new(record, "n", json_integer(2));
    assert_true(store_put(store, "users", "b", record, NULL));
    assert_true(store_put(store, "users", "a", record, NULL));
    assert_true(store_put(store, "jobs", "c", record, NULL));
    json_t *list = store_list(store, "users", NULL);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    store_close(g_steal_pointer(&store));
    store = store_open(folder, NULL);
    json_t *again = store_get(store, "users", "b", NULL);
    assert_true(json_equal(again, record));
    json_decref(again);
    bool existed;
    assert_true(store_drop(store, "users", "b", &existed, NULL) && existed);
    assert_true(store_drop(store, "users", "b", &existed, NULL) && !existed);
    assert_null(store_get(store, "users", "b", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    assert_non_null(strstr(error->message, "users"));
    json_decref(record);
}

static void add_log(Store *store, gint64 time_ms, const char *expected)
{
    json_t *entry = json_pack("{s:s}", "key", expected);
    g_autofree char *key = store_log_add(store, "jobs", time_ms, entry, NULL);
    assert_string_equal(key, expected);
    json_decref(entry);
}

static void assert_keys(Store *store, gint64 after_ms, gint64 before_ms, const char *expected)
{
    g_autoptr(GPtrArray) keys = store_log_keys(store, "jobs", after_ms, before_ms, NULL);
    g_ptr_array_add(keys, NULL);
    g_autofree char *joined = g_strjoinv(" ", (char **) keys->pdata);
    assert_string_equal(joined, expected);
}

/* In the file itself, where a power cut leaves it. */
static int count_in_file(void)
{
    g_autofree char *uri = g_strdup_printf("file:%s/logs.db?immutable=1", folder);
    sqlite3 *file = NULL;
    sqlite3_stmt *statement = NULL;
    int n = -1;
    assert_int_equal(sqlite3_open_v2(uri, &file, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL),
                     SQLITE_OK);
    if (sqlite3_prepare_v2(file, "SELECT count(*) FROM logs", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        n = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(file);
    return n;
}

static void test_log_sync(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    add_log(store, 1000, "1000");
    assert_int_not_equal(count_in_file(), 1);
    assert_true(store_log_sync(store, NULL));
    assert_int_equal(count_in_file(), 1);
}

static void test_logs(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    add_log(store, 1000, "1000");
    add_log(store, 1000, "1000:1");
    add_log(store, 1000, "1000:2");
    add_log(store, 999, "999");
    add_log(store, 2000, "2000");
    assert_keys(store, 1000, 2000, "1000 1000:1 1000:2");
    json_t *changed = json_pack("{s:b}", "changed", 1);
    assert_true(store_log_set(store, "jobs", "1000:1", changed, NULL));
    json_t *got = store_log_get(store, "jobs", "1000:1", NULL);
    assert_true(json_equal(got, changed));
    json_decref(got);
    json_decref(changed);
    assert_true(store_log_trim(store, "jobs", 2, NULL));
    json_t *list = store_log_list(store, "jobs", 0, 0, 1, NULL);
    assert_int_equal(json_object_size(list), 1);
    assert_non_null(json_object_get(list, "2000"));
    json_decref(list);
    assert_keys(store, 0, 0, "1000:2 2000");
    g_autoptr(GError) error = NULL;
    assert_null(store_log_get(store, "jobs", "x", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    assert_true(store_log_drop(store, "jobs", "2000", NULL));
}

static void test_secrets(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    g_autofree char *sealed = store_seal(store, "top secret", NULL);
    assert_null(strstr(sealed, "secret"));
    g_autofree char *other = store_seal(store, "top secret", NULL);
    assert_string_not_equal(sealed, other);
    g_autofree char *opened = store_unseal(store, sealed, NULL);
    assert_string_equal(opened, "top secret");
    g_autofree char *plain = store_unseal(store, "not sealed", NULL);
    assert_string_equal(plain, "not sealed");
    sealed[strlen(sealed) - 5] ^= 1;
    g_autoptr(GError) error = NULL;
    assert_null(store_unseal(store, sealed, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    g_autofree char *path = g_build_filename(folder, "key", NULL);
    struct stat stat_key;
    assert_int_equal(stat(path, &stat_key), 0);
    assert_int_equal(stat_key.st_mode & 0777, 0600);
    store_close(g_steal_pointer(&store));
    store = store_open(folder, NULL);
    g_autofree char *after = store_unseal(store, other, NULL);
    assert_string_equal(after, "top secret");
    g_chmod(path, 0644);
    store_close(g_steal_pointer(&store));
    store = store_open(folder, NULL);
    g_clear_error(&error);
    assert_null(store_unseal(store, other, &error));
    assert_true(err_is(error, ERR_DENIED));
}

static void test_lock(void **state)
{
    g_autoptr(Store) store = store_open(folder, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Store) second = store_open(folder, &error);
    assert_null(second);
    assert_true(err_is(error, ERR_BUSY));
    g_autofree char *pid = g_strdup_printf("%d", (int) getpid());
    assert_non_null(strstr(error->message, pid));
    assert_non_null(strstr(error->message, folder));
}

static void test_too_new(void **state)
{
    store_close(store_open(folder, NULL));
    g_autofree char *path = g_build_filename(folder, "state.db", NULL);
    sqlite3 *sqlite = NULL;
    assert_int_equal(sqlite3_open(path, &sqlite), SQLITE_OK);
    sqlite3_exec(sqlite, "PRAGMA user_version = 999", NULL, NULL, NULL);
    sqlite3_close(sqlite);
    g_autoptr(GError) error = NULL;
    assert_null(store_open(folder, &error));
    assert_true(err_is(error, ERR_TOO_NEW));
}

static void test_damaged(void **state)
{
    store_close(store_open(folder, NULL));
    g_autofree char *path = g_build_filename(folder, "state.db", NULL);
    g_file_set_contents(path, "this is no database, and long enough to be looked at", -1, NULL);
    g_autoptr(GError) error = NULL;
    assert_null(store_open(folder, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    assert_non_null(strstr(error->message, "state.db"));
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_many),    WITH_FOLDER(test_records), WITH_FOLDER(test_log_sync),
        WITH_FOLDER(test_logs),    WITH_FOLDER(test_secrets), WITH_FOLDER(test_lock),
        WITH_FOLDER(test_too_new), WITH_FOLDER(test_damaged), WITH_FOLDER(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
