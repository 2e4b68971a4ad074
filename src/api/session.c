/* The user record is read anew for each call, so that a lost permission counts at once. */
#include "api/session.h"
#include "base/mutant.h"

struct Session {
    gint n_refs;
    Accounts *accounts;
    char *peer;
    GMutex mutex; /* guards what follows */
    char *user_id;
    char *token;           /* NULL: signed in otherwise */
    gint64 expires_ms;     /* of the token; 0: never */
    guint64 token_stamp;   /* when the token was last seen to be there */
    AccountRights *rights; /* as of the stamp; NULL: not known */
    guint64 stamp;
};

Session *session_new(Accounts *accounts, const char *peer)
{
    Session *session = g_new0(Session, 1);
    session->n_refs = 1;
    session->accounts = accounts;
    session->peer = g_strdup(peer);
    g_mutex_init(&session->mutex);
    return session;
}

Session *session_ref(Session *session)
{
    g_atomic_int_inc(&session->n_refs);
    return session;
}

void session_unref(Session *session)
{
    if (!g_atomic_int_dec_and_test(&session->n_refs))
        return;
    g_mutex_clear(&session->mutex);
    rights_unref(session->rights);
    g_free(session->user_id);
    g_free(session->token);
    g_free(session->peer);
    g_free(session);
}

static void set_user(Session *session, const char *user_id, const char *token, gint64 expires_ms)
{
    g_mutex_lock(&session->mutex);
    g_free(session->user_id);
    g_free(session->token);
    session->user_id = g_strdup(user_id);
    session->token = g_strdup(token);
    session->token_stamp = 0;
    session->expires_ms = expires_ms;
    g_clear_pointer(&session->rights, rights_unref);
    g_mutex_unlock(&session->mutex);
}

json_t *session_sign_in_otp(Session *session, const char *name, const char *password,
                            const char *otp, GError **error)
{
    json_t *user = account_sign_in(session->accounts, name, password, otp, session->peer, error);
    if (user)
        set_user(session, json_string_value(json_object_get(user, "id")), NULL, 0);
    return user;
}

Session *session_new_as(Accounts *accounts, const char *user_id)
{
    Session *session = session_new(accounts, "job");
    set_user(session, user_id, NULL, 0);
    return session;
}

json_t *session_sign_in(Session *session, const char *name, const char *password, GError **error)
{
    return session_sign_in_otp(session, name, password, NULL, error);
}

static gint64 expiry_of(Session *session, const char *user_id, const char *token)
{
    json_t *tokens = account_tokens(session->accounts, user_id, NULL);
    gint64 expires_ms = 0;
    size_t i;
    json_t *record;
    json_array_foreach (tokens, i, record)
        if (g_strcmp0(json_string_value(json_object_get(record, "id")), token) == 0)
            expires_ms = json_integer_value(json_object_get(record, "expiration"));
    json_decref(tokens);
    return expires_ms;
}

json_t *session_sign_in_token(Session *session, const char *token, GError **error)
{
    json_t *user = account_sign_in_token(session->accounts, token, session->peer, error);
    if (!user)
        return NULL;
    const char *id = json_string_value(json_object_get(user, "id"));
    set_user(session, id, token, expiry_of(session, id, token));
    return user;
}

void session_sign_out(Session *session)
{
    set_user(session, NULL, NULL, 0);
}

bool session_is_signed_in(Session *session)
{
    g_mutex_lock(&session->mutex);
    bool is = session->user_id != NULL;
    g_mutex_unlock(&session->mutex);
    return is;
}

/* Somebody has deleted the token by which it signed in. Looked up again after a change of tokens.
 */
static bool is_revoked(Session *session)
{
    guint64 stamp = account_token_stamp(session->accounts);
    g_mutex_lock(&session->mutex);
    bool is_known = !session->token || session->token_stamp == stamp;
    g_autofree char *token = is_known ? NULL : g_strdup(session->token);
    g_mutex_unlock(&session->mutex);
    if (is_known)
        return false;
    if (!account_has_token(session->accounts, token))
        return true;
    g_mutex_lock(&session->mutex);
    if (g_strcmp0(session->token, token) == 0)
        session->token_stamp = stamp;
    g_mutex_unlock(&session->mutex);
    return false;
}

bool session_has_expired(Session *session)
{
    g_mutex_lock(&session->mutex);
    bool has = session->expires_ms > 0 && session->expires_ms <= g_get_real_time() / 1000;
    g_mutex_unlock(&session->mutex);
    if (has)
        return !MUTANT(session_never_expires);               /* mutant: api_session */
    return is_revoked(session) && !MUTANT(session_outlives); /* mutant: api_session */
}

json_t *session_user(Session *session)
{
    g_mutex_lock(&session->mutex);
    g_autofree char *id = g_strdup(session->user_id);
    g_mutex_unlock(&session->mutex);
    return id ? account_user(session->accounts, id, NULL) : NULL;
}

/* Kept under the user it was made for: another may have signed in meanwhile. */
static void keep_rights(Session *session, const char *user_id, AccountRights *rights, guint64 stamp)
{
    g_mutex_lock(&session->mutex);
    if (g_strcmp0(session->user_id, user_id) == 0) {
        g_clear_pointer(&session->rights, rights_unref);
        session->rights = rights_ref(rights);
        session->stamp = stamp;
    }
    g_mutex_unlock(&session->mutex);
}

AccountRights *session_rights(Session *session)
{
    guint64 stamp = account_stamp(session->accounts);
    g_mutex_lock(&session->mutex);
    AccountRights *rights = session->rights && session->stamp == stamp ? rights_ref(session->rights)
                                                                       : NULL;
    g_mutex_unlock(&session->mutex);
    json_t *user = rights ? NULL : session_user(session);
    if (user) {
        rights = account_rights(session->accounts, user);
        keep_rights(session, json_string_value(json_object_get(user, "id")), rights, stamp);
    }
    json_decref(user);
    return rights;
}

char *session_user_id(Session *session)
{
    g_mutex_lock(&session->mutex);
    char *id = g_strdup(session->user_id);
    g_mutex_unlock(&session->mutex);
    return id;
}

const char *session_peer(const Session *session)
{
    return session->peer;
}
