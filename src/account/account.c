/* Users: who they are, how they sign in. */
#include "account/private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <sodium.h>
#include <string.h>

enum { MAX_NAME_BYTES = 256 };

Accounts *account_new(Store *store)
{
    Accounts *accounts = g_new0(Accounts, 1);
    accounts->store = store;
    pthread_mutex_init(&accounts->lock, NULL);
    pthread_mutex_init(&accounts->rules_lock, NULL);
    pthread_mutex_init(&accounts->first_lock, NULL);
    accounts->passwords = passwords_new();
    accounts->brake = brake_new();
    accounts->otp_steps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return accounts;
}

void account_free(Accounts *accounts)
{
    if (!accounts)
        return;
    account_end_first_admin(accounts);
    passwords_free(accounts->passwords);
    brake_free(accounts->brake);
    g_hash_table_unref(accounts->otp_steps);
    g_clear_pointer(&accounts->rules, g_hash_table_unref);
    pthread_mutex_destroy(&accounts->rules_lock);
    pthread_mutex_destroy(&accounts->first_lock);
    pthread_mutex_destroy(&accounts->lock);
    g_free(accounts);
}

const char *field(json_t *record, const char *name)
{
    const char *value = json_string_value(json_object_get(record, name));
    return value ? value : "";
}

gint64 account_now(void)
{
    return g_get_real_time() / 1000;
}

char *account_random(gsize n_bytes)
{
    g_autofree guint8 *bytes = g_malloc(n_bytes);
    if (sodium_init() < 0)
        g_error("libsodium cannot start");
    randombytes_buf(bytes, n_bytes);
    gsize n = sodium_base64_ENCODED_LEN(n_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *text = g_malloc(n);
    return sodium_bin2base64(text, n, bytes, n_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

/* --- Records --- */

json_t *account_record(Accounts *accounts, const char *id, GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *record = store_get(accounts->store, "users", id, &problem);
    if (!record && err_is(problem, ERR_NOT_FOUND))
        err_set(error, ERR_NOT_FOUND, "no such user %s", id);
    else if (!record)
        g_propagate_error(error, g_steal_pointer(&problem));
    return record;
}

json_t *account_by_name(Accounts *accounts, const char *name, GError **error)
{
    json_t *users = store_list(accounts->store, "users", error), *user, *found = NULL;
    g_autofree char *wanted = g_utf8_casefold(name, -1);
    gsize i;
    json_array_foreach (users, i, user) {
        g_autofree char *folded = g_utf8_casefold(field(user, "email"), -1);
        if (!found && strcmp(folded, wanted) == 0)
            found = json_incref(user);
    }
    json_decref(users);
    return found;
}

/* What may be shown; the record's reference is taken. */
static json_t *publish(json_t *record, json_t *groups)
{
    json_t *user = json_pack(
        "{s:s, s:s, s:o, s:s, s:O*}", "id", field(record, "id"), "email", field(record, "email"),
        "groups", account_groups_of(groups, field(record, "id")), "permission",
        field(record, "permission"), "authProviders", json_object_get(record, "authProviders"));
    json_t *preferences = json_object_get(record, "preferences");
    json_object_set_new(user, "preferences",
                        preferences ? json_deep_copy(preferences) : json_object());
    json_decref(record);
    return user;
}

static json_t *publish_one(Accounts *accounts, json_t *record, GError **error)
{
    json_t *groups = store_list(accounts->store, "groups", error);
    if (!groups) {
        json_decref(record);
        return NULL;
    }
    json_t *user = publish(record, groups);
    json_decref(groups);
    return user;
}

json_t *account_user(Accounts *accounts, const char *id, GError **error)
{
    json_t *record = account_record(accounts, id, error);
    return record ? publish_one(accounts, record, error) : NULL;
}

json_t *account_users(Accounts *accounts, GError **error)
{
    json_t *records = store_list(accounts->store, "users", error), *record;
    json_t *groups = records ? store_list(accounts->store, "groups", error) : NULL;
    json_t *users = groups ? json_array() : NULL;
    gsize i;
    if (users)
        json_array_foreach (records, i, record)
            json_array_append_new(users, publish(json_incref(record), groups));
    json_decref(records);
    json_decref(groups);
    return users;
}

bool account_is_admin(json_t *user)
{
    return strcmp(field(user, "permission"), "admin") == 0;
}

/* --- Signing in --- */

static gint64 monotonic_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* Whoever has a secret for one-time passwords gives one that fits, each only once. */
static bool otp_fits(Accounts *accounts, json_t *record, const char *otp)
{
    const char *secret =
        json_string_value(json_object_get(json_object_get(record, "preferences"), "otp"));
    if (!secret)
        return true;
    gint64 step = otp_step(secret, otp ? otp : "", account_now());
    pthread_mutex_lock(&accounts->lock);
    gint64 *last = g_hash_table_lookup(accounts->otp_steps, field(record, "id"));
    bool fits = step &&
                (!last || step > *last || MUTANT(account_otp_again)); /* mutant: account:test_otp */
    if (fits)
        g_hash_table_replace(accounts->otp_steps, g_strdup(field(record, "id")),
                             g_memdup2(&step, sizeof step));
    pthread_mutex_unlock(&accounts->lock);
    return fits || MUTANT(account_any_otp); /* mutant: account:test_otp */
}

json_t *account_sign_in(Accounts *accounts, const char *name, const char *password, const char *otp,
                        const char *peer, GError **error)
{
    if (!brake_may_try(accounts->brake, name, peer, monotonic_ms(), error))
        return NULL;
    account_end_first_admin(accounts);
    g_autoptr(GError) problem = NULL;
    json_t *record = account_by_name(accounts, name, &problem);
    if (problem) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return NULL;
    }
    const char *hash = json_string_value(json_object_get(record, "pw_hash"));
    if (password_fits(accounts->passwords, hash, password) && record &&
        otp_fits(accounts, record, otp)) {
        brake_succeeded(accounts->brake, name, peer);
        return publish_one(accounts, record, error);
    }
    json_decref(record);
    brake_failed(accounts->brake, name, peer, monotonic_ms());
    log_warning("account", "wrong name or password from %s", peer ? peer : "an unknown address");
    err_set(error, ERR_BAD_LOGIN, "invalid credentials");
    return NULL;
}

/* --- Changing users --- */

static bool check_permission(const char *permission, GError **error)
{
    if (strcmp(permission, "admin") == 0 || strcmp(permission, "none") == 0)
        return true;
    err_set(error, ERR_INVALID, "permission: expected \"admin\" or \"none\"");
    return false;
}

static bool check_name(const char *name, GError **error)
{
    gsize n = strlen(name);
    if (n > 0 && n <= MAX_NAME_BYTES && g_utf8_validate(name, -1, NULL))
        return true;
    err_set(error, ERR_INVALID, "email: expected 1 to %d bytes", MAX_NAME_BYTES);
    return false;
}

/* The name is free, or held by `id`. Lock held. */
static bool check_free(Accounts *accounts, const char *name, const char *id, GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *holder = account_by_name(accounts, name, &problem);
    bool ok = !problem && (!holder || g_strcmp0(field(holder, "id"), id) == 0);
    if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    else if (!ok)
        err_set(error, ERR_EXISTS, "the user %s already exists", name);
    json_decref(holder);
    return ok;
}

static char *add_user(Accounts *accounts, const char *name, const char *hash,
                      const char *permission, GError **error)
{
    g_autofree char *id = g_uuid_string_random();
    json_t *record = json_pack("{s:s, s:s, s:s, s:{}, s:s}", "id", id, "email", name, "permission",
                               permission, "preferences", "pw_hash", hash);
    pthread_mutex_lock(&accounts->lock);
    bool ok = check_free(accounts, name, NULL, error) &&
              store_add(accounts->store, "users", id, record, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(record);
    return ok ? g_steal_pointer(&id) : NULL;
}

char *account_create_user(Accounts *accounts, json_t *params, GError **error)
{
    const char *name = field(params, "email"), *password = field(params, "password");
    const char *permission = field(params, "permission");
    permission = *permission ? permission : "none";
    if (!check_name(name, error) || !password_check(password, error) ||
        !check_permission(permission, error))
        return NULL;
    g_autofree char *hash = password_hash(accounts->passwords, password, error);
    return hash ? add_user(accounts, name, hash, permission, error) : NULL;
}

static void merge_preferences(json_t *record, json_t *changes)
{
    json_t *preferences = json_object_get(record, "preferences"), *value;
    const char *name;
    if (!json_is_object(preferences)) {
        preferences = json_object();
        json_object_set_new(record, "preferences", preferences);
    }
    json_object_foreach (changes, name, value) {
        if (json_is_null(value))
            json_object_del(preferences, name);
        else
            json_object_set(preferences, name, value);
    }
}

/* Whether another administrator remains. Lock held. */
static bool has_other_admin(Accounts *accounts, const char *id, GError **error)
{
    json_t *users = store_list(accounts->store, "users", error), *user;
    bool any = false;
    gsize i;
    json_array_foreach (users, i, user)
        any |= account_is_admin(user) && strcmp(field(user, "id"), id) != 0;
    if (users && !any)
        err_set(error, ERR_STATE, "user %s is the last administrator: make another one first", id);
    json_decref(users);
    return any || MUTANT(account_last_admin); /* mutant: account */
}

/* Lock held. */
static bool apply_changes(Accounts *accounts, json_t *record, json_t *changes, const char *hash,
                          GError **error)
{
    const char *id = field(record, "id"), *name = field(changes, "email");
    const char *permission = field(changes, "permission");
    if (*name && !check_free(accounts, name, id, error))
        return false;
    if (strcmp(permission, "none") == 0 && account_is_admin(record) &&
        !has_other_admin(accounts, id, error))
        return false;
    if (*name)
        json_object_set_new(record, "email", json_string(name));
    if (*permission)
        json_object_set_new(record, "permission", json_string(permission));
    if (hash)
        json_object_set_new(record, "pw_hash", json_string(hash));
    merge_preferences(record, json_object_get(changes, "preferences"));
    return true;
}

bool account_set_user(Accounts *accounts, const char *id, json_t *changes, GError **error)
{
    const char *name = field(changes, "email"), *permission = field(changes, "permission");
    const char *password = json_string_value(json_object_get(changes, "password"));
    g_autofree char *hash = NULL;
    if ((*name && !check_name(name, error)) ||
        (*permission && !check_permission(permission, error)) ||
        (password && !password_check(password, error)))
        return false;
    if (password && !(hash = password_hash(accounts->passwords, password, error)))
        return false;
    pthread_mutex_lock(&accounts->lock);
    json_t *record = account_record(accounts, id, error);
    bool ok = record && apply_changes(accounts, record, changes, hash, error) &&
              store_put(accounts->store, "users", id, record, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(record);
    return ok;
}

bool account_delete_user(Accounts *accounts, const char *id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *record = account_record(accounts, id, error);
    bool ok = record && (!account_is_admin(record) || has_other_admin(accounts, id, error)) &&
              account_forget_subject(accounts, id, error) &&
              store_drop(accounts->store, "users", id, NULL, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(record);
    return ok;
}

bool account_change_password(Accounts *accounts, const char *id, const char *old_password,
                             const char *new_password, GError **error)
{
    json_t *record = account_record(accounts, id, error);
    if (!record ||
        !brake_may_try(accounts->brake, field(record, "email"), "", monotonic_ms(), error)) {
        json_decref(record);
        return false;
    }
    const char *hash = json_string_value(json_object_get(record, "pw_hash"));
    bool ok = password_fits(accounts->passwords, hash, old_password);
    if (!ok) {
        brake_failed(accounts->brake, field(record, "email"), "", monotonic_ms());
        err_set(error, ERR_BAD_LOGIN, "invalid credentials");
    }
    json_decref(record);
    json_t *changes = json_pack("{s:s}", "password", new_password);
    ok = ok && account_set_user(accounts, id, changes, error);
    json_decref(changes);
    return ok;
}

bool account_remove_provider(Accounts *accounts, const char *id, const char *provider,
                             GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *record = account_record(accounts, id, error);
    bool ok = record != NULL;
    json_t *providers = json_object_get(record, "authProviders");
    if (json_object_del(providers, provider) == 0) {
        if (json_object_size(providers) == 0)
            json_object_del(record, "authProviders");
        ok = store_put(accounts->store, "users", id, record, error);
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(record);
    return ok;
}
