/* The first administrator: made at the first start, given a new password by whoever has the
 * machine. */
#include "account/private.h"

#include "base/log.h"

#include <string.h>

#define FIRST_ADMIN "admin@admin.net"

static bool make_admin(Accounts *accounts, const char *password, GError **error)
{
    json_t *params = json_pack("{s:s, s:s, s:s}", "email", FIRST_ADMIN, "password", password,
                               "permission", "admin");
    g_autofree char *id = account_create_user(accounts, params, error);
    json_decref(params);
    return id != NULL;
}

static bool reset(Accounts *accounts, const char *password, GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *record = account_by_name(accounts, FIRST_ADMIN, &problem);
    if (!record && problem) {
        g_propagate_error(error, g_steal_pointer(&problem));
        return false;
    }
    if (!record)
        return make_admin(accounts, password, error);
    json_t *changes = json_pack("{s:s, s:s}", "password", password, "permission", "admin");
    bool ok = account_set_user(accounts, field(record, "id"), changes, error);
    json_decref(changes);
    json_decref(record);
    return ok;
}

bool account_reset_admin(Accounts *accounts, const char *password, char **made, GError **error)
{
    g_autofree char *generated = password ? NULL : account_random(15);
    *made = NULL;
    if (!reset(accounts, password ? password : generated, error))
        return false;
    *made = g_steal_pointer(&generated);
    return true;
}

/* -1 with an error: it cannot be told. */
static int has_users(Accounts *accounts, GError **error)
{
    json_t *users = store_list(accounts->store, "users", error);
    int has = users ? json_array_size(users) > 0 : -1;
    json_decref(users);
    return has;
}

bool account_begin_first_admin(Accounts *accounts, const char *password, char **made,
                               GError **error)
{
    *made = NULL;
    int has = has_users(accounts, error);
    if (has)
        return has > 0;
    if (password && !password_check(password, error))
        return false;
    char *chosen = password ? g_strdup(password) : account_random(15);
    if (!password)
        *made = g_strdup(chosen);
    pthread_mutex_lock(&accounts->first_lock);
    accounts->first_password = chosen;
    pthread_mutex_unlock(&accounts->first_lock);
    return true;
}

void account_end_first_admin(Accounts *accounts)
{
    g_autoptr(GError) error = NULL;
    pthread_mutex_lock(&accounts->first_lock);
    char *password = g_steal_pointer(&accounts->first_password);
    if (password && !make_admin(accounts, password, &error))
        log_error("account", "the first administrator cannot be made: %s", error->message);
    if (password)
        explicit_bzero(password, strlen(password));
    g_free(password);
    pthread_mutex_unlock(&accounts->first_lock);
}
