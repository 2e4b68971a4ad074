/* Who asks: a token in a cookie, or a name and a password (RFC 7617), never both. */
#include "api/rest_request.h"
#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

/* A browser says where a page that sends something comes from: other pages may not use its cookie.
 */
static bool is_foreign(RestRequest *request)
{
    const char *origin = http_header(request->http, "origin");
    const char *host = http_header(request->http, "host");
    const char *verb = http_method(request->http);
    const char *authority = origin ? strstr(origin, "://") : NULL;
    if (!origin || g_str_equal(verb, "GET") || g_str_equal(verb, "HEAD") ||
        MUTANT(rest_any_origin)) /* mutant: system:test_rest.Door.test_sign_in */
        return false;
    return !authority || !host || g_ascii_strcasecmp(authority + 3, host) != 0;
}

/* "name:password" of "Basic <base64>", or NULL. */
static char *credentials_of(const char *header)
{
    if (g_ascii_strncasecmp(header, "Basic ", 6) != 0)
        return NULL;
    gsize n;
    g_autofree guchar *bytes = g_base64_decode(header + 6, &n);
    g_autofree char *text = g_strndup((const char *) bytes, n);
    bool good = memchr(text, ':', strlen(text)) && g_utf8_validate(text, (gssize) n, NULL);
    return good ? g_steal_pointer(&text) : NULL;
}

static json_t *by_password(RestRequest *request, const char *header, GError **error)
{
    g_autofree char *credentials = credentials_of(header);
    char *colon = credentials ? strchr(credentials, ':') : NULL;
    if (!colon) {
        err_set(error, ERR_INVALID, "the header Authorization is not \"Basic <name:password>\"");
        return NULL;
    }
    *colon = 0;
    return session_sign_in_otp(request->session, credentials, colon + 1,
                               http_query(request->http, "otp"), error);
}

void rest_refuse_login(RestRequest *request, const GError *error)
{
    if (err_is(error, ERR_BUSY))
        rest_refuse(request, 429, error->message, NULL);
    else if (err_is(error, ERR_BAD_LOGIN))
        rest_refuse(request, 401, "invalid credentials", NULL);
    else
        rest_fail(request, error);
}

static void refuse(RestRequest *request, const GError *error)
{
    if (err_is(error, ERR_INVALID))
        rest_refuse(request, 400, error->message, NULL);
    else
        rest_refuse_login(request, error);
}

static void set_rights(RestRequest *request)
{
    g_autoptr(AccountRights) rights = session_rights(request->session);
    request->is_admin = account_is_admin(request->user);
    if (!rights || !rights_see_all(rights))
        request->viewer = viewer_new(rights, servers_text, request->parts->servers);
    if (!request->is_admin)
        request->grants = grants_new(request->parts->accounts, request->user);
}

bool rest_sign_in(RestRequest *request)
{
    const char *token = http_cookie(request->http, "authenticationToken");
    const char *header = http_header(request->http, "authorization");
    if (!token)
        token = http_cookie(request->http, "token");
    if (token && header) {
        rest_refuse(request, 400, "both a cookie and the header Authorization say who you are",
                    NULL);
        return false;
    }
    if (token && is_foreign(request)) {
        rest_refuse(request, 403, "a page of another site may not do this", NULL);
        return false;
    }
    g_autoptr(GError) error = NULL;
    request->session = session_new(request->parts->accounts, http_peer(request->http));
    if (token)
        request->user = session_sign_in_token(request->session, token, &error);
    else if (header)
        request->user = by_password(request, header, &error);
    else
        err_set(&error, ERR_BAD_LOGIN, "invalid credentials");
    if (request->user)
        set_rights(request);
    else
        refuse(request, error);
    return request->user != NULL;
}
