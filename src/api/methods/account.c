/* token.*, user.*: XO's words over the records of account/. */
#include "api/method.h"

static json_t *text_or_null(char *text)
{
    json_t *json = text ? json_string(text) : NULL;
    g_free(text);
    return json;
}

static Accounts *accounts(ApiCall *call)
{
    return call_parts(call)->accounts;
}

static json_t *without_id(ApiCall *call)
{
    json_t *changes = json_copy(call_params(call));
    json_object_del(changes, "id");
    return changes;
}

/* --- token.* --- */

/* What XO has no number for: the text alone. The failure is taken. */
static void tell_plainly(GError *failure, GError **error)
{
    api_error_set(error, API_INTERNAL,
                  json_pack("{s:s, s:s}", "message", failure->message, "name", "Error"), "%s",
                  failure->message);
    g_error_free(failure);
}

/* Not number 10 for a wrong lifetime: xo-cli would try again without half of what it was asked. */
static json_t *token_create(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *token = text_or_null(
        account_create_token(accounts(call), call_user_id(call), call_params(call), &failure));
    if (failure && err_is(failure, ERR_INVALID))
        tell_plainly(failure, error);
    else if (failure)
        g_propagate_error(error, failure);
    return token;
}

static void delete_tokens(ApiCall *call, const char *user_id, GError **error)
{
    json_t *pattern = call_get(call, "pattern");
    size_t i;
    json_t *token;
    if (pattern && !account_delete_tokens(accounts(call), pattern, user_id, error))
        return;
    json_array_foreach (call_get(call, "tokens"), i, token)
        if (!account_delete_token(accounts(call), json_string_value(token), user_id, error))
            return;
}

static json_t *token_delete(ApiCall *call, GError **error)
{
    delete_tokens(call, NULL, error);
    return NULL;
}

static json_t *token_delete_own(ApiCall *call, GError **error)
{
    delete_tokens(call, call_user_id(call), error);
    return NULL;
}

static json_t *token_set(ApiCall *call, GError **error)
{
    json_t *changes = without_id(call);
    account_set_token(accounts(call), call_string(call, "id"), call_user_id(call), changes, error);
    json_decref(changes);
    return NULL;
}

static json_t *own_tokens(ApiCall *call, GError **error)
{
    return account_tokens(accounts(call), call_user_id(call), error);
}

/* --- user.* --- */

static json_t *user_create(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *id = text_or_null(account_create_user(accounts(call), call_params(call), &failure));
    if (failure && err_is(failure, ERR_EXISTS))
        tell_plainly(failure, error);
    else if (failure)
        g_propagate_error(error, failure);
    return id;
}

static json_t *user_get_all(ApiCall *call, GError **error)
{
    return account_users(accounts(call), error);
}

static json_t *user_delete(ApiCall *call, GError **error)
{
    const char *id = call_string(call, "id");
    if (g_str_equal(id, call_user_id(call)))
        api_error_invalid(error, "a user cannot delete itself");
    else
        account_delete_user(accounts(call), id, error);
    return NULL;
}

/* Others than administrators may change their own preferences, and nothing else. */
static bool may_set_user(ApiCall *call, GError **error)
{
    bool itself = g_str_equal(call_string(call, "id"), call_user_id(call));
    bool admin = account_is_admin(call_user(call));
    if (admin && itself && call_get(call, "permission")) {
        api_error_invalid(error, "a user cannot change its own permission");
        return false;
    }
    const char *const kept[] = { "email", "password", "permission" };
    for (unsigned i = 0; !admin && i < G_N_ELEMENTS(kept); i++)
        if (call_get(call, kept[i])) {
            api_error_invalid(error, "this properties can only changed by an administrator");
            return false;
        }
    if (!admin && !itself)
        api_error_unauthorized(error, "admin", NULL);
    return admin || itself;
}

static json_t *user_set(ApiCall *call, GError **error)
{
    if (!may_set_user(call, error))
        return NULL;
    json_t *changes = without_id(call);
    account_set_user(accounts(call), call_string(call, "id"), changes, error);
    json_decref(changes);
    return NULL;
}

static json_t *user_change_password(ApiCall *call, GError **error)
{
    account_change_password(accounts(call), call_user_id(call), call_string(call, "oldPassword"),
                            call_string(call, "newPassword"), error);
    return NULL;
}

static json_t *user_remove_provider(ApiCall *call, GError **error)
{
    account_remove_provider(accounts(call), call_string(call, "id"),
                            call_string(call, "authProvider"), error);
    return NULL;
}

#define DELETION PARAMS(OPT(ARR("tokens", P_STRING)), OPT(OBJ("pattern")))

const Method methods_account[] = {
    { "token.create", token_create,
      PARAMS(OPT(OBJ("client")), OPT(STR("description")),
             OPT(TYPED("expiresIn", P_NUMBER | P_STRING))),
      .access = ACCESS_USER, .secret_result = true,
      .example = "description=laptop expiresIn='30 days'",
      .summary = "Create an authentication token." },
    { "token.delete", token_delete, DELETION, .example = "tokens=json:\"[\\\"$SPARE_TOKEN\\\"]\"",
      .summary = "Delete authentication tokens." },
    { "token.deleteOwn", token_delete_own, DELETION, .access = ACCESS_USER,
      .example = "tokens=json:\"[\\\"$SPARE_TOKEN\\\"]\"",
      .summary = "Delete authentication tokens of one's own." },
    { "token.set", token_set,
      PARAMS(REQ(SECRET("id")), OPT(TYPED("description", P_STRING | P_NULL), .may_be_empty = true)),
      .access = ACCESS_USER, .example = "id=$SPARE_TOKEN description='of the laptop'",
      .summary = "Change an authentication token of one's own." },
    { "user.getAuthenticationTokens", own_tokens, NULL, .access = ACCESS_USER, .example = "",
      .summary = "One's own authentication tokens." },
    { "user.create", user_create,
      PARAMS(REQ(STR("email")), REQ(SECRET("password")), OPT(STR("permission"))),
      .example = "email=ann password='of her choice' permission=none",
      .summary = "Create a user." },
    { "user.getAll", user_get_all, NULL, .example = "", .summary = "All users." },
    { "user.delete", user_delete, PARAMS(REQ(STR("id"))), .example = "id=$SPARE_USER",
      .summary = "Delete a user." },
    { "user.set", user_set,
      PARAMS(REQ(STR("id")), OPT(STR("email")), OPT(SECRET("password")), OPT(STR("permission")),
             OPT(OBJ("preferences"))),
      .access = ACCESS_USER, .example = "id=$USER preferences=json:'{\"lang\":\"en\"}'",
      .summary = "Change a user." },
    { "user.removeAuthProvider", user_remove_provider,
      PARAMS(REQ(STR("id")), REQ(STR("authProvider"))), .example = "id=$USER authProvider=oidc",
      .summary = "Forget that a user signs in through another service." },
    { "user.changePassword", user_change_password,
      PARAMS(REQ(SECRET("oldPassword")), REQ(SECRET("newPassword"))), .access = ACCESS_USER,
      .example = "oldPassword=$PASSWORD newPassword=$PASSWORD",
      .summary = "Change one's own password." },
    { NULL },
};
