/* Tokens: 32 random bytes that stand for a user until they expire. */
#include "account/private.h"

#include "base/date.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/pattern.h"

#include <string.h>

enum { TOKEN_BYTES = 32, MIN_LIFE_MS = 60000, USE_MS = 60000, MAX_USES = 10 };

static bool is_live(json_t *token, gint64 now)
{
    return json_integer_value(json_object_get(token, "expiration")) > now ||
           MUTANT(account_token_never_expires); /* mutant: account */
}

static bool life_of(json_t *params, gint64 *life_ms, GError **error)
{
    json_t *wanted = json_object_get(params, "expiresIn");
    *life_ms = ACCOUNT_TOKEN_DEFAULT_MS;
    if (!wanted || json_is_null(wanted))
        return true;
    if (!date_duration(wanted, life_ms, error)) {
        g_prefix_error(error, "expiresIn: ");
        return false;
    }
    if (*life_ms >= MIN_LIFE_MS && *life_ms <= ACCOUNT_TOKEN_MAX_MS)
        return true;
    g_autofree char *text = json_is_string(wanted) ? g_strdup(json_string_value(wanted))
                                                   : g_strdup_printf("%" G_GINT64_FORMAT, *life_ms);
    err_set(error, ERR_INVALID, "too %s expiresIn duration: %s",
            *life_ms < MIN_LIFE_MS ? "low" : "high", text);
    return false;
}

/* Calls back for each live token of the user; drops the expired ones of everybody. Lock held. */
static json_t *live_tokens(Accounts *accounts, const char *user_id, GError **error)
{
    json_t *all = store_list(accounts->store, "tokens", error), *token;
    json_t *live = all ? json_array() : NULL;
    gint64 now = account_now();
    gsize i;
    json_array_foreach (all, i, token) {
        if (!is_live(token, now))
            store_drop(accounts->store, "tokens", field(token, "id"), NULL, NULL);
        else if (!user_id || strcmp(field(token, "user_id"), user_id) == 0)
            json_array_append(live, token);
    }
    json_decref(all);
    return live;
}

static json_t *find_of_client(json_t *tokens, const char *client_id)
{
    gsize i;
    json_t *token;
    json_array_foreach (tokens, i, token)
        if (*client_id && strcmp(field(json_object_get(token, "client"), "id"), client_id) == 0)
            return token;
    return NULL;
}

static json_t *new_token(const char *user_id, json_t *params, gint64 now)
{
    g_autofree char *id = account_random(TOKEN_BYTES);
    json_t *token =
        json_pack("{s:s, s:s, s:I}", "id", id, "user_id", user_id, "created_at", (json_int_t) now);
    json_t *client = json_object_get(params, "client");
    if (json_is_object(client))
        json_object_set_new(token, "client", json_deep_copy(client));
    return token;
}

static char *save_token(Accounts *accounts, json_t *token, json_t *params, gint64 expiration,
                        GError **error)
{
    json_t *description = json_object_get(params, "description");
    json_object_set_new(token, "expiration", json_integer(expiration));
    if (json_is_string(description))
        json_object_set(token, "description", description);
    return store_put(accounts->store, "tokens", field(token, "id"), token, error)
               ? g_strdup(field(token, "id"))
               : NULL;
}

static gint64 last_use(json_t *token)
{
    gint64 last = json_integer_value(json_object_get(token, "created_at"));
    const char *peer;
    json_t *use;
    json_object_foreach (json_object_get(token, "last_uses"), peer, use)
        last = MAX(last, json_integer_value(json_object_get(use, "timestamp")));
    return last;
}

static bool is_nameless(json_t *token)
{
    return !*field(token, "description") && !json_object_get(token, "client");
}

/* Programs make a nameless token at each start and leave it (Terraform's provider, several times a
 * minute): when there are too many, the one that was not used for longest makes room. */
static bool make_room(Accounts *accounts, json_t *tokens, const char *user_id, GError **error)
{
    json_t *token, *idle = NULL;
    gsize i;
    if (json_array_size(tokens) < ACCOUNT_TOKENS_MAX)
        return true;
    json_array_foreach (tokens, i, token)
        if (is_nameless(token) && (!idle || last_use(token) < last_use(idle)))
            idle = token;
    if (idle && !MUTANT(account_tokens_full)) /* mutant: account */
        return store_drop(accounts->store, "tokens", field(idle, "id"), NULL, error);
    err_set(error, ERR_LIMIT, "user %s has %d tokens: delete some", user_id, ACCOUNT_TOKENS_MAX);
    return false;
}

char *account_create_token(Accounts *accounts, const char *user_id, json_t *params, GError **error)
{
    gint64 life_ms, now = account_now();
    char *id = NULL;
    if (!life_of(params, &life_ms, error))
        return NULL;
    pthread_mutex_lock(&accounts->lock);
    json_t *tokens = live_tokens(accounts, user_id, error);
    json_t *token =
        json_incref(find_of_client(tokens, field(json_object_get(params, "client"), "id")));
    if (tokens && (token || make_room(accounts, tokens, user_id, error)))
        id = save_token(accounts, token ? token : (token = new_token(user_id, params, now)), params,
                        now + life_ms, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(token);
    json_decref(tokens);
    return id;
}

/* --- Use --- */

static const char *oldest_use(json_t *uses)
{
    const char *peer, *oldest = NULL;
    gint64 first = G_MAXINT64;
    json_t *use;
    json_object_foreach (uses, peer, use) {
        gint64 at = json_integer_value(json_object_get(use, "timestamp"));
        if (at < first) {
            first = at;
            oldest = peer;
        }
    }
    return oldest;
}

static void record_use(Accounts *accounts, json_t *token, const char *peer)
{
    gint64 now = account_now();
    json_t *uses = json_object_get(token, "last_uses");
    gint64 last = json_integer_value(json_object_get(json_object_get(uses, peer), "timestamp"));
    if (now - last < USE_MS)
        return;
    if (!uses)
        json_object_set_new(token, "last_uses", uses = json_object());
    json_object_set_new(uses, peer, json_pack("{s:I}", "timestamp", (json_int_t) now));
    if (json_object_size(uses) > MAX_USES)
        json_object_del(uses, oldest_use(uses));
    store_put(accounts->store, "tokens", field(token, "id"), token, NULL);
}

json_t *account_sign_in_token(Accounts *accounts, const char *id, const char *peer, GError **error)
{
    json_t *user = NULL;
    gint64 now_ms = g_get_monotonic_time() / 1000;
    pthread_mutex_lock(&accounts->lock);
    json_t *token = store_get(accounts->store, "tokens", id, NULL);
    if (token && is_live(token, account_now())) {
        user = account_user(accounts, field(token, "user_id"), NULL);
        if (user && peer)
            record_use(accounts, token, peer);
    }
    pthread_mutex_unlock(&accounts->lock);
    json_decref(token);
    /* Nobody guesses a token: one that is right counts whatever others try from that address. */
    if (user || !brake_may_try(accounts->brake, NULL, peer, now_ms, error))
        return user;
    brake_failed(accounts->brake, NULL, peer, now_ms);
    log_warning("account", "unknown or expired token from %s", peer ? peer : "an unknown address");
    err_set(error, ERR_BAD_LOGIN, "invalid credentials");
    return NULL;
}

/* --- Listing and changing --- */

json_t *account_tokens(Accounts *accounts, const char *user_id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *tokens = live_tokens(accounts, user_id, error);
    pthread_mutex_unlock(&accounts->lock);
    return tokens;
}

bool account_has_token(Accounts *accounts, const char *id)
{
    json_t *token = store_get(accounts->store, "tokens", id, NULL);
    bool has = token && is_live(token, account_now());
    json_decref(token);
    return has;
}

guint64 account_token_stamp(Accounts *accounts)
{
    return store_version(accounts->store, "tokens") + 1;
}

/* Lock held. */
static json_t *own_token(Accounts *accounts, const char *id, const char *user_id, GError **error)
{
    json_t *token = store_get(accounts->store, "tokens", id, NULL);
    if (token && (!user_id || strcmp(field(token, "user_id"), user_id) == 0))
        return token;
    json_decref(token);
    err_set(error, ERR_NOT_FOUND, "no such authenticationToken");
    return NULL;
}

bool account_delete_token(Accounts *accounts, const char *id, const char *user_id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *token = own_token(accounts, id, user_id, error);
    bool ok = token && store_drop(accounts->store, "tokens", id, NULL, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(token);
    return ok;
}

bool account_delete_tokens(Accounts *accounts, json_t *pattern, const char *user_id, GError **error)
{
    pthread_mutex_lock(&accounts->lock);
    json_t *tokens = live_tokens(accounts, user_id, error), *token;
    bool ok = tokens != NULL;
    gsize i;
    json_array_foreach (tokens, i, token)
        if (ok && pattern_match(pattern, token))
            ok = store_drop(accounts->store, "tokens", field(token, "id"), NULL, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(tokens);
    return ok;
}

bool account_set_token(Accounts *accounts, const char *id, const char *user_id, json_t *changes,
                       GError **error)
{
    json_t *description = json_object_get(changes, "description");
    pthread_mutex_lock(&accounts->lock);
    json_t *token = own_token(accounts, id, user_id, error);
    if (token && json_is_null(description))
        json_object_del(token, "description");
    else if (token && json_is_string(description))
        json_object_set(token, "description", description);
    bool ok = token && store_put(accounts->store, "tokens", id, token, error);
    pthread_mutex_unlock(&accounts->lock);
    json_decref(token);
    return ok;
}
