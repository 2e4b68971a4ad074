/* What a person may do about itself, an administrator may do about everybody. */
#include "api/rest_people.h"
#include "api/audit.h"
#include "api/error.h"
#include "base/error.h"
#include "base/json_list.h"
#include "base/mutant.h"

#include <string.h>

static const char *own_id(const RestRequest *request)
{
    return json_string_value(json_object_get(request->user, "id"));
}

static bool may_ask_about(RestRequest *request, const char *id, GError **error)
{
    if (request->is_admin || g_strcmp0(id, own_id(request)) == 0 ||
        MUTANT(rest_tokens_of_all)) /* mutant: system:test_rest.People.test_own */
        return true;
    api_error_unauthorized(error, "admin", NULL);
    return false;
}

/* A new reference; API_NO_SUCH_OBJECT. */
static json_t *find_user(RestRequest *request, const char *id, GError **error)
{
    g_autoptr(GError) missing = NULL;
    json_t *user = account_user(request->parts->accounts, id, &missing);
    if (!user && err_is(missing, ERR_NOT_FOUND))
        api_error_no_such(error, id, "user");
    else if (!user)
        g_propagate_error(error, g_steal_pointer(&missing));
    return user;
}

char *rest_one_user(RestRequest *request, const char *id, GError **error)
{
    json_t *user = may_ask_about(request, id, error) ? find_user(request, id, error) : NULL;
    if (!user)
        return NULL;
    rest_adapt_user(request, user);
    char *text = json_dumps(user, JSON_COMPACT);
    json_decref(user);
    return text;
}

/* "users/me/…" → "users/<id>/…", for every verb. */
static void redirect_me(RestRequest *request)
{
    const char *below = rest_arg(request, "below"), *query = http_query_text(request->http);
    g_autofree char *path = g_strdup_printf(REST_BASE "/users/%s%s%s%s%s", own_id(request),
                                            below ? "/" : "", below ? below : "", *query ? "?" : "",
                                            query);
    rest_redirect(request, 307, path);
}

/* --- Groups and their members --- */

/* Each record of the list whose id is among `ids`. */
static bool see_those(json_t *records, json_t *ids, void (*adapt)(RestRequest *, json_t *),
                      RestRequest *request, RestSeen seen, void *user)
{
    size_t i;
    json_t *record;
    bool goes_on = true;
    json_array_foreach (records, i, record) {
        if (!goes_on || !json_list_has(ids, json_object_get(record, "id")))
            continue;
        adapt(request, record);
        g_autofree char *text = json_dumps(record, JSON_COMPACT);
        goes_on = seen(json_string_value(json_object_get(record, "id")), text, strlen(text), user);
    }
    json_decref(records);
    return true;
}

bool rest_each_own_group(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error)
{
    json_t *person = find_user(request, rest_arg(request, "id"), error);
    json_t *groups = person ? account_groups(request->parts->accounts, error) : NULL;
    bool ok = groups && see_those(groups, json_object_get(person, "groups"), rest_adapt_group,
                                  request, seen, user);
    json_decref(person);
    return ok;
}

bool rest_each_member(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error)
{
    json_t *groups = rest_call(request, "group.getAll", NULL, error);
    json_t *users = groups ? rest_call(request, "user.getAll", NULL, error) : NULL;
    json_t *group, *members = NULL;
    size_t i;
    json_array_foreach (groups, i, group)
        if (g_strcmp0(json_string_value(json_object_get(group, "id")), rest_arg(request, "id")) ==
            0)
            members = json_object_get(group, "users");
    bool ok = users && see_those(users, members, rest_adapt_user, request, seen, user);
    json_decref(groups);
    return ok;
}

/* --- Tokens --- */

static void list_tokens(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    const char *id = rest_arg(request, "id");
    json_t *tokens = may_ask_about(request, id, &error)
                         ? account_tokens(request->parts->accounts, id, &error)
                         : NULL;
    if (tokens)
        rest_reply(request, 200, tokens);
    else
        rest_fail(request, error);
}

static json_t *token_record(RestRequest *request, const char *user_id, const char *token)
{
    json_t *tokens = account_tokens(request->parts->accounts, user_id, NULL);
    json_t *found = NULL, *record;
    size_t i;
    json_array_foreach (tokens, i, record)
        if (g_strcmp0(json_string_value(json_object_get(record, "id")), token) == 0)
            found = json_incref(record);
    json_decref(tokens);
    return found;
}

/* {client?, description?, expiresIn?} → 201 {token: record}. */
static void make_token(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    const char *id = rest_arg(request, "id") ? rest_arg(request, "id") : own_id(request);
    json_t *user = may_ask_about(request, id, &error) ? find_user(request, id, &error) : NULL;
    json_t *params = user ? rest_body(request, &error) : NULL;
    g_autofree char *token =
        params ? account_create_token(request->parts->accounts, id, params, &error) : NULL;
    if (params)
        audit_call(request->parts, method_find("token.create"), request->user, request->session,
                   params, NULL, error, 0);
    json_t *record = token ? token_record(request, id, token) : NULL;
    if (record)
        rest_reply(request, 201, json_pack("{s:o}", "token", record));
    else
        rest_fail(request, error);
    json_decref(params);
    json_decref(user);
}

const RestRoute rest_people_routes[] = {
    { "GET", "users/me", redirect_me, .summary = "Oneself.", .example = "" },
    { "PATCH", "users/me", redirect_me, .summary = "Oneself.",
      .example = "preferences=json:'{\"lang\":\"en\"}'", .untold = true },
    { "GET", "users/me/{below*}", redirect_me, .summary = "What belongs to oneself.",
      .example = "groups" },
    { "POST", "users/me/{below*}", redirect_me, .summary = "What belongs to oneself.",
      .example = "authentication_tokens description=laptop", .untold = true },
    { "GET", "users/{id}/authentication_tokens", list_tokens, .summary = "A user's tokens.",
      .example = "$USER" },
    { "POST", "users/{id}/authentication_tokens", make_token, .summary = "Create a token.",
      .example = "$USER description=laptop", .untold = true },
    { "POST", "users/authentication_tokens", make_token, .summary = "Create a token of one's own.",
      .example = "description=laptop", .untold = true },
    { NULL },
};

/* --- Signing in --- */

static void give_cookie(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    json_t *none = json_object();
    g_autofree char *token =
        account_create_token(request->parts->accounts, own_id(request), none, &error);
    json_decref(none);
    if (!token) {
        rest_fail(request, error);
        return;
    }
    g_autofree char *cookie =
        g_strdup_printf("authenticationToken=%s; Path=/; HttpOnly; SameSite=Lax", token);
    http_reply_header(request->http, "Set-Cookie", cookie);
    rest_reply(request, 200, json_incref(request->user));
}

void rest_login(HttpRequest *http, const ApiParts *parts)
{
    RestRequest request = { .parts = parts, .http = http };
    g_autoptr(GError) error = NULL;
    if (!g_str_equal(http_method(http), "POST")) {
        http_reply_header(http, "Allow", "POST");
        rest_refuse(&request, 405, "POST {username, password} here", NULL);
        return;
    }
    request.session = session_new(parts->accounts, http_peer(http));
    json_t *body = rest_body(&request, &error);
    const char *name = json_string_value(json_object_get(body, "username"));
    const char *password = json_string_value(json_object_get(body, "password"));
    if (name && password)
        request.user = session_sign_in(request.session, name, password, &error);
    else if (body)
        api_error_invalid(&error, "expected username and password");
    if (request.user)
        give_cookie(&request);
    else
        rest_refuse_login(&request, error);
    json_decref(body);
    json_decref(request.user);
    g_clear_error(&request.failure);
    session_unref(request.session);
}
