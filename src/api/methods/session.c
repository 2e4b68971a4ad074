/* session.*: who the caller is. */
#include "api/method.h"

/* Wrong credentials have a number of their own; being too fast is told as it is. */
static json_t *signed_in(json_t *user, GError *failure, GError **error)
{
    if (user)
        return user;
    if (err_is(failure, ERR_BAD_LOGIN)) {
        api_error_plain(error, API_INVALID_CREDENTIALS, NULL);
    } else {
        api_error_set(error, API_INTERNAL, NULL, "%s", failure->message);
    }
    g_error_free(failure);
    return NULL;
}

static json_t *by_password(ApiCall *call, const char *name, const char *password, GError **error)
{
    GError *failure = NULL;
    json_t *user =
        session_sign_in_otp(call_session(call), name, password, call_string(call, "otp"), &failure);
    return signed_in(user, failure, error);
}

static json_t *by_token(ApiCall *call, const char *token, GError **error)
{
    GError *failure = NULL;
    json_t *user = session_sign_in_token(call_session(call), token, &failure);
    return signed_in(user, failure, error);
}

static json_t *sign_in(ApiCall *call, GError **error)
{
    const char *token = call_string(call, "token");
    const char *email = call_string(call, "email");
    const char *name = email ? email : call_string(call, "username");
    const char *password = call_string(call, "password");
    if (token)
        return by_token(call, token, error);
    if (name && password)
        return by_password(call, name, password, error);
    api_error_plain(error, API_INVALID_CREDENTIALS, NULL);
    return NULL;
}

static json_t *sign_in_with_password(ApiCall *call, GError **error)
{
    return by_password(call, call_string(call, "email"), call_string(call, "password"), error);
}

static json_t *sign_in_with_token(ApiCall *call, GError **error)
{
    return by_token(call, call_string(call, "token"), error);
}

static json_t *sign_out(ApiCall *call, GError **error)
{
    session_sign_out(call_session(call));
    return NULL;
}

static json_t *get_user(ApiCall *call, GError **error)
{
    if (call_user(call))
        return json_incref(call_user(call));
    api_error_plain(error, API_INTERNAL, NULL);
    return NULL;
}

const Method methods_session[] = {
    { "session.signIn", sign_in, NULL, .access = ACCESS_ANYONE,
      .example = "email=$LOGIN password=$PASSWORD",
      .summary = "Sign in with email (or username) and password, or with token." },
    { "session.signInWithPassword", sign_in_with_password,
      PARAMS(REQ(STR("email")), REQ(SECRET("password"))), .access = ACCESS_ANYONE,
      .example = "email=$LOGIN password=$PASSWORD", .summary = "Sign in with a password." },
    { "session.signInWithToken", sign_in_with_token, PARAMS(REQ(SECRET("token"))),
      .access = ACCESS_ANYONE, .example = "token=$SPARE_TOKEN",
      .summary = "Sign in with a token." },
    { "session.signOut", sign_out, NULL, .access = ACCESS_USER, .example = "",
      .summary = "Sign out." },
    { "session.getUser", get_user, NULL, .access = ACCESS_ANYONE, .example = "",
      .summary = "The user who is signed in." },
    { NULL },
};
