/* Logging in: at the present master, or at any other host ever seen, following HOST_IS_SLAVE. */
#include "xapi/private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

void xapi_add_candidate(Xapi *xapi, const char *host)
{
    for (guint i = 0; i < xapi->candidates->len; i++)
        if (strcmp(xapi->candidates->pdata[i], host) == 0)
            return;
    if (xapi->candidates->len >= XAPI_MAX_CANDIDATES)
        g_ptr_array_remove_index(xapi->candidates, 1); /* the configured one stays */
    g_ptr_array_add(xapi->candidates, g_strdup(host));
}

void xapi_add_hosts(Xapi *xapi, const char *const *addresses)
{
    pthread_mutex_lock(&xapi->lock);
    for (; *addresses; addresses++)
        if (**addresses)
            xapi_add_candidate(xapi, *addresses);
    pthread_mutex_unlock(&xapi->lock);
}

/* The present host, then every other candidate. */
static GPtrArray *hosts_to_try(Xapi *xapi)
{
    GPtrArray *hosts = g_ptr_array_new_with_free_func(g_free);
    pthread_mutex_lock(&xapi->lock);
    g_ptr_array_add(hosts, g_strdup(xapi->host));
    for (guint i = 0; i < xapi->candidates->len; i++)
        if (strcmp(xapi->candidates->pdata[i], xapi->host) != 0)
            g_ptr_array_add(hosts, g_strdup(xapi->candidates->pdata[i]));
    pthread_mutex_unlock(&xapi->lock);
    return hosts;
}

static char *login_at(Xapi *xapi, const char *host, Cancel *caller, GError **error)
{
    Reply reply = { .mode = REPLY_WHOLE };
    g_autoptr(Cancel) own = xapi_cancel(xapi);
    g_autoptr(Cancel) cancel = cancel_new_under(own, caller);
    json_t *params = json_pack("[s, s, s, s]", xapi->username ? xapi->username : "",
                               xapi->password ? xapi->password : "", "1.1", xapi->originator);
    reply_begin(&reply);
    bool ok = params && xapi_request(xapi, host, "session.login_with_password", params, &reply,
                                     XAPI_LOGIN_TIMEOUT_MS, cancel, error);
    char *session = ok ? g_strdup(json_string_value(reply.result)) : NULL;
    if (!params)
        err_set(error, ERR_INVALID, "the user name or the password of %s is not valid UTF-8", host);
    else if (ok && !session)
        err_set(error, ERR_PROTOCOL, "%s answered the login with no session", host);
    reply_clear(&reply);
    json_decref(params);
    return session;
}

/* A refused password is BAD_LOGIN, whatever the host says about it. */
static void judge(const char *host, GError **error)
{
    if (strcmp(err_xapi_code(*error), "SESSION_AUTHENTICATION_FAILED") != 0)
        return;
    g_clear_error(error);
    err_set(error, ERR_BAD_LOGIN, "%s: wrong user name or password", host);
}

/* Logs in at the host, or at the master that it names; *host is then that one. */
static char *login_following(Xapi *xapi, char **host, Cancel *cancel, GError **error)
{
    for (unsigned n = 0;; n++) {
        g_autoptr(GError) failure = NULL;
        char *session = login_at(xapi, *host, cancel, &failure);
        if (session)
            return session;
        const char *const *detail = err_detail(failure);
        bool elsewhere = strcmp(err_xapi_code(failure), "HOST_IS_SLAVE") == 0 && detail[1];
        if (!elsewhere || n >= XAPI_MAX_REDIRECTS ||
            MUTANT(xapi_stays_at_member)) { /* mutant: xapi_calls */
            judge(*host, &failure);
            g_propagate_error(error, g_steal_pointer(&failure));
            return NULL;
        }
        log_debug("xapi", "%s is a member, its master is %s", *host, detail[1]);
        g_free(*host);
        *host = g_strdup(detail[1]);
    }
}

static void keep_session(Xapi *xapi, char *session, const char *host)
{
    pthread_mutex_lock(&xapi->lock);
    g_free(xapi->session);
    xapi->session = session;
    xapi->generation++;
    g_free(xapi->host);
    xapi->host = g_strdup(host);
    xapi_add_candidate(xapi, host);
    pthread_mutex_unlock(&xapi->lock);
}

static bool login_anywhere(Xapi *xapi, Cancel *cancel, GError **error)
{
    g_autoptr(GPtrArray) hosts = hosts_to_try(xapi);
    g_autoptr(GError) first = NULL;
    for (guint i = 0; i < hosts->len; i++) {
        g_autofree char *host = g_strdup(hosts->pdata[i]);
        g_autoptr(GError) failure = NULL;
        char *session = login_following(xapi, &host, cancel, &failure);
        if (session) {
            keep_session(xapi, session, host);
            return true;
        }
        bool final = err_is(failure, ERR_BAD_LOGIN) || err_is(failure, ERR_CANCELLED);
        if (final)
            g_clear_error(&first);
        if (!first)
            first = g_steal_pointer(&failure);
        if (final || MUTANT(xapi_forgets_hosts)) /* mutant: xapi_calls */
            break;
    }
    g_propagate_error(error, g_steal_pointer(&first));
    return false;
}

bool xapi_login_since(Xapi *xapi, unsigned generation, Cancel *cancel, GError **error)
{
    if (xapi->unusable) {
        g_propagate_error(error, g_error_copy(xapi->unusable));
        return false;
    }
    pthread_mutex_lock(&xapi->login_lock);
    pthread_mutex_lock(&xapi->lock);
    bool done = xapi->session && xapi->generation != generation;
    pthread_mutex_unlock(&xapi->lock);
    bool ok = done || login_anywhere(xapi, cancel, error);
    pthread_mutex_unlock(&xapi->login_lock);
    return ok;
}

bool xapi_login_cancellable(Xapi *xapi, Cancel *cancel, GError **error)
{
    pthread_mutex_lock(&xapi->lock);
    unsigned generation = xapi->generation;
    pthread_mutex_unlock(&xapi->lock);
    return xapi_login_since(xapi, generation, cancel, error);
}

bool xapi_login(Xapi *xapi, GError **error)
{
    return xapi_login_cancellable(xapi, NULL, error);
}
