/* The URL holds the secrets (keys, passwords): it is sealed as a whole in the store and shown with
 * them obfuscated. A client that edits a remote sends the obfuscated URL back: that means "as
 * before". */
#include "api/remotes.h"
#include "api/error.h"
#include "base/mutant.h"
#include "remote/remote.h"

#include <string.h>

#define COLLECTION "remotes"

struct Remotes {
    Store *store;
    GMutex mutex; /* one read-change-write at a time */
};

Remotes *remotes_new(Store *store)
{
    Remotes *remotes = g_new0(Remotes, 1);
    remotes->store = store;
    g_mutex_init(&remotes->mutex);
    return remotes;
}

void remotes_free(Remotes *remotes)
{
    g_mutex_clear(&remotes->mutex);
    g_free(remotes);
}

static const char *text_of(json_t *record, const char *key)
{
    return json_string_value(json_object_get(record, key));
}

/* The record with its URL in clear. */
json_t *remotes_get(Remotes *remotes, const char *id, GError **error)
{
    g_autoptr(GError) missing = NULL;
    json_t *record = store_get(remotes->store, COLLECTION, id, &missing);
    if (!record && err_is(missing, ERR_NOT_FOUND))
        api_error_no_such(error, id, "remote");
    else if (!record)
        g_propagate_error(error, g_steal_pointer(&missing));
    if (!record)
        return NULL;
    g_autofree char *url = store_unseal(remotes->store, text_of(record, "url"), error);
    if (!url) {
        json_decref(record);
        return NULL;
    }
    json_object_set_new(record, "url", json_string(url));
    return record;
}

/* As shown: secrets obfuscated, no empty error. Takes the reference. */
static json_t *show(json_t *record)
{
    if (!record)
        return NULL;
    g_autofree char *url = remote_redact_url(text_of(record, "url"));
    json_object_set_new(record, "url", json_string(url));
    const char *error = text_of(record, "error");
    if (error && !*error)
        json_object_del(record, "error");
    return record;
}

json_t *remotes_show(Remotes *remotes, const char *id, GError **error)
{
    return show(remotes_get(remotes, id, error));
}

json_t *remotes_list(Remotes *remotes, GError **error)
{
    json_t *stored = store_list(remotes->store, COLLECTION, error);
    if (!stored)
        return NULL;
    json_t *list = json_array();
    size_t i;
    json_t *record;
    json_array_foreach (stored, i, record) {
        json_t *shown = remotes_show(remotes, text_of(record, "id"), NULL);
        if (shown)
            json_array_append_new(list, shown);
    }
    json_decref(stored);
    return list;
}

/* The rules of XO that need no I/O. */
bool remotes_check_url(const char *url, GError **error)
{
    g_autofree char *base = g_strndup(url, strcspn(url, "?#"));
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = 0;
    if (g_str_has_suffix(base, "xo-vm-backups")) {
        api_error_invalid(error, "remote url should not end with xo-vm-backups");
        return false;
    }
    if (strstr(url, "encryptionKey=") && !strstr(url, "useVhdDirectory=true")) {
        api_error_invalid(error, "Encryption must be used with VHD directory (data blocks)");
        return false;
    }
    return remote_check_url(url, error);
}

static bool put(Remotes *remotes, json_t *record, GError **error)
{
    json_t *stored = json_copy(record);
    g_autofree char *sealed = store_seal(remotes->store, text_of(record, "url"), error);
    json_object_set_new(stored, "url", json_string(sealed));
    bool ok = sealed && store_put(remotes->store, COLLECTION, text_of(record, "id"), stored, error);
    json_decref(stored);
    return ok;
}

json_t *remotes_create(Remotes *remotes, json_t *params, GError **error)
{
    if (!remotes_check_url(text_of(params, "url"), error))
        return NULL;
    g_autofree char *id = g_uuid_string_random();
    json_t *record = json_pack("{s:b, s:s, s:s, s:s, s:s}", "enabled", 1, "error", "", "name",
                               text_of(params, "name"), "url", text_of(params, "url"), "id", id);
    const char *const optional[] = { "options", "proxy" };
    for (unsigned i = 0; i < G_N_ELEMENTS(optional); i++)
        if (json_object_get(params, optional[i]))
            json_object_set(record, optional[i], json_object_get(params, optional[i]));
    if (!put(remotes, record, error)) {
        json_decref(record);
        return NULL;
    }
    g_autofree char *url = remote_redact_url(text_of(record, "url"));
    json_object_set_new(record, "url", json_string(url));
    return record;
}

/* The new URL, where obfuscated secrets stand for the old ones; NULL: they cannot be told. */
static char *restore_secrets(const char *old, const char *new)
{
    g_autofree char *shown = remote_redact_url(old);
    if (g_str_equal(shown, new))
        return g_strdup(old);
    return strstr(new, "obfuscated-") ? NULL : g_strdup(new);
}

static bool apply(json_t *record, json_t *changes, GError **error)
{
    const char *key;
    json_t *value;
    json_object_foreach (changes, key, value) {
        if (g_str_equal(key, "id") || g_str_equal(key, "url"))
            continue;
        if (json_is_null(value))
            json_object_del(record, key);
        else
            json_object_set(record, key, value);
    }
    const char *sent = text_of(changes, "url");
    if (!sent)
        return true;
    g_autofree char *url = restore_secrets(text_of(record, "url"), sent);
    if (!url) {
        api_error_invalid(error,
                          "the url of remote %s contains an obfuscated secret and differs "
                          "from the stored one: give the secret in clear",
                          text_of(record, "id"));
        return false;
    }
    json_object_set_new(record, "url", json_string(url));
    return remotes_check_url(url, error);
}

bool remotes_set(Remotes *remotes, const char *id, json_t *changes, GError **error)
{
    g_mutex_lock(&remotes->mutex);
    json_t *record = remotes_get(remotes, id, error);
    bool ok = record && apply(record, changes, error) && put(remotes, record, error);
    g_mutex_unlock(&remotes->mutex);
    json_decref(record);
    return ok;
}

bool remotes_delete(Remotes *remotes, const char *id, GError **error)
{
    bool existed;
    if (!store_drop(remotes->store, COLLECTION, id, &existed, error))
        return false;
    if (!existed)
        api_error_no_such(error, id, "remote");
    return existed;
}

bool remotes_add_benchmark(Remotes *remotes, const char *id, double read_rate, double write_rate,
                           GError **error)
{
    g_mutex_lock(&remotes->mutex);
    json_t *record = remotes_get(remotes, id, error);
    if (record) {
        json_t *list = json_object_get(record, "benchmarks");
        if (!list)
            json_object_set_new(record, "benchmarks", list = json_array());
        json_array_append_new(list, json_pack("{s:f, s:I, s:f}", "readRate", read_rate, "timestamp",
                                              (json_int_t) (g_get_real_time() / 1000), "writeRate",
                                              write_rate));
        while (json_array_size(list) > REMOTES_BENCHMARKS)
            json_array_remove(list, 0);
    }
    bool ok = record && put(remotes, record, error);
    g_mutex_unlock(&remotes->mutex);
    json_decref(record);
    return ok;
}

void remotes_set_error(Remotes *remotes, const char *id, const char *text)
{
    g_mutex_lock(&remotes->mutex);
    json_t *record = remotes_get(remotes, id, NULL);
    const char *old = record ? text_of(record, "error") : NULL;
    if (record && g_strcmp0(old ? old : "", text ? text : "") != 0) {
        json_object_set_new(record, "error", json_string(text ? text : ""));
        put(remotes, record, NULL);
    }
    g_mutex_unlock(&remotes->mutex);
    json_decref(record);
}
