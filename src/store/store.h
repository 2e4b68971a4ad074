/* Collections of JSON records over SQLite, and nothing more, so that another database fits behind
 * it.
 *
 * State (`state.db`, synchronous=FULL) and logs (`logs.db`, NORMAL) live in one data folder, whose
 * lock this module holds: a second server on it is refused with BUSY naming the holder's pid. The
 * schema has a version; older ones migrate forward at open, newer ones are refused with TOO_NEW.
 * Thread-safe; each call is one transaction and blocks for the disk. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Store Store;

/* Creates the folder (0700) and the databases when absent. */
Store *store_open(const char *folder, GError **error);
void store_close(Store *store);
/* The data folder. */
const char *store_folder(const Store *store);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Store, store_close)

/* Records of a collection ("servers", "users", …), each a JSON object with its own "id". */
bool store_put(Store *store, const char *collection, const char *id, json_t *record,
               GError **error);
/* As store_put, but EXISTS when the id is taken. */
bool store_add(Store *store, const char *collection, const char *id, json_t *record,
               GError **error);
/* A new reference, or NULL with NOT_FOUND naming the collection and the id. */
json_t *store_get(Store *store, const char *collection, const char *id, GError **error);
/* An array of all, in the order of ids; new reference. */
json_t *store_list(Store *store, const char *collection, GError **error);
/* Whether it existed is in *existed (may be NULL). */
bool store_drop(Store *store, const char *collection, const char *id, bool *existed,
                GError **error);

/* A number that is another one after every change in the collection: what was read under a number
 * still holds while the number is the same. Never blocks. */
guint64 store_version(Store *store, const char *collection);

/* A record to put, or to drop (NULL). */
typedef struct {
    const char *collection, *id;
    json_t *record;
} StoreChange;
/* All of them or, with an error, none: one transaction. */
bool store_change_all(Store *store, const StoreChange *changes, gsize n, GError **error);

/* Logs: append-only entries of a namespace ("jobs", "restore", …), key = decimal ms, made unique by
 * ":<n>" as XO does. Returns the key. */
char *store_log_add(Store *store, const char *name_space, gint64 time_ms, json_t *entry,
                    GError **error);
bool store_log_set(Store *store, const char *name_space, const char *key, json_t *entry,
                   GError **error);
/* The same, of an entry that is JSON text already. */
bool store_log_set_text(Store *store, const char *name_space, const char *key, const char *text,
                        GError **error);
/* What was added or set so far survives a power cut, too: one or two syncs. */
bool store_log_sync(Store *store, GError **error);
json_t *store_log_get(Store *store, const char *name_space, const char *key, GError **error);
/* An object key → entry of those with after_ms <= time < before_ms (0: open), newest `limit` (0:
 * all). */
json_t *store_log_list(Store *store, const char *name_space, gint64 after_ms, gint64 before_ms,
                       unsigned limit, GError **error);
/* The keys of those with after_ms <= time < before_ms (0: open), oldest first; strings to free with
 * the array. */
GPtrArray *store_log_keys(Store *store, const char *name_space, gint64 after_ms, gint64 before_ms,
                          GError **error);
bool store_log_drop(Store *store, const char *name_space, const char *key, GError **error);
/* Drops all but the newest `keep`. */
bool store_log_trim(Store *store, const char *name_space, unsigned keep, GError **error);

/* Secrets: sealed with the folder's key file (0600, made at first use), base64. Opening text that
 * is not sealed returns it as it is (records of older versions). */
char *store_seal(Store *store, const char *secret, GError **error);
char *store_unseal(Store *store, const char *sealed, GError **error);
