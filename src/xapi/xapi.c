/* A session's calls, and what they do when the pool changes its mind: an expired session is renewed
 * once, a master that has moved is followed, a busy pool is asked again, a getter whose connection
 * broke is repeated. Nothing else is ever sent twice. */
#include "xapi/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>
#include <time.h>

Xapi *xapi_new(const XapiConfig *config)
{
    Xapi *xapi = g_new0(Xapi, 1);
    xapi_address_parse(config->host ? config->host : "", &xapi->address, &xapi->unusable);
    xapi->username = g_strdup(config->username);
    xapi->password = g_strdup(config->password);
    xapi->fingerprint = g_strdup(config->fingerprint);
    xapi->originator = g_strdup(config->originator ? config->originator : "cadenza");
    xapi->trust = config->trust;
    xapi->left = cancel_new();
    xapi->cut = cancel_new();
    pthread_mutex_init(&xapi->login_lock, NULL);
    pthread_mutex_init(&xapi->lock, NULL);
    xapi->candidates = g_ptr_array_new_with_free_func(g_free);
    if (xapi->address.host) {
        xapi->host = g_strdup(xapi->address.host);
        g_ptr_array_add(xapi->candidates, g_strdup(xapi->host));
    }
    return xapi;
}

static void log_out(Xapi *xapi)
{
    Reply reply = { 0 };
    json_t *params = json_pack("[s]", xapi->session);
    reply_begin(&reply);
    xapi_request(xapi, xapi->host, "session.logout", params, &reply, XAPI_LOGOUT_TIMEOUT_MS, NULL,
                 NULL);
    reply_clear(&reply);
    json_decref(params);
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    g_free(secret);
}

void xapi_free(Xapi *xapi)
{
    if (!xapi)
        return;
    if (xapi->session)
        log_out(xapi);
    cancel_unref(xapi->cancel);
    cancel_unref(xapi->left);
    cancel_unref(xapi->cut);
    wipe(xapi->session);
    wipe(xapi->password);
    g_free(xapi->address.host);
    g_free(xapi->username);
    g_free(xapi->fingerprint);
    g_free(xapi->originator);
    g_free(xapi->host);
    g_clear_error(&xapi->unusable);
    g_ptr_array_unref(xapi->candidates);
    pthread_mutex_destroy(&xapi->lock);
    pthread_mutex_destroy(&xapi->login_lock);
    g_free(xapi);
}

void xapi_set_cancel(Xapi *xapi, Cancel *cancel)
{
    pthread_mutex_lock(&xapi->lock);
    cancel_unref(xapi->cancel);
    xapi->cancel = cancel_ref(cancel);
    pthread_mutex_unlock(&xapi->lock);
}

Cancel *xapi_cancel(Xapi *xapi)
{
    pthread_mutex_lock(&xapi->lock);
    Cancel *cancel = cancel_ref(xapi->cancel);
    pthread_mutex_unlock(&xapi->lock);
    return cancel;
}

void xapi_leave(Xapi *xapi, bool transfers)
{
    cancel_set(xapi->left);
    if (transfers)
        cancel_set(xapi->cut);
}

bool xapi_has_left(const Xapi *xapi)
{
    return cancel_is_set(xapi->left);
}

void xapi_explain_left(const Xapi *xapi, const char *method, Cancel *cancel, GError **error)
{
    if (!error || !xapi_has_left(xapi) || cancel_is_set(cancel) ||
        !(err_is(*error, ERR_CANCELLED) || err_is(*error, ERR_TIMEOUT)))
        return;
    g_clear_error(error);
    err_set(error, ERR_INTERRUPTED,
            "%s: the server is stopping and does not wait for it; the pool goes on with it",
            method);
}

char *xapi_base_url(Xapi *xapi)
{
    pthread_mutex_lock(&xapi->lock);
    char *url = xapi_address_url(&xapi->address, xapi->host ? xapi->host : "");
    pthread_mutex_unlock(&xapi->lock);
    return url;
}

char *xapi_session(Xapi *xapi)
{
    pthread_mutex_lock(&xapi->lock);
    char *session = g_strdup(xapi->session);
    pthread_mutex_unlock(&xapi->lock);
    return session;
}

bool xapi_snapshot(Xapi *xapi, char **host, char **session, unsigned *generation, Cancel *cancel,
                   GError **error)
{
    for (;;) {
        pthread_mutex_lock(&xapi->lock);
        *generation = xapi->generation;
        bool in = xapi->session != NULL;
        if (in) {
            *host = g_strdup(xapi->host);
            *session = g_strdup(xapi->session);
        }
        pthread_mutex_unlock(&xapi->lock);
        if (in)
            return true;
        if (!xapi_login_since(xapi, *generation, cancel, error))
            return false;
    }
}

bool xapi_pause(unsigned ms, Cancel *cancel)
{
    for (unsigned slept = 0; slept < ms; slept += 100) {
        if (cancel_is_set(cancel))
            return false;
        struct timespec step = { .tv_nsec = (long) MIN(100, ms - slept) * 1000000 };
        nanosleep(&step, NULL);
    }
    return !cancel_is_set(cancel);
}

/* --- one request --- */

/* A refused certificate is shown to the person who may decide to trust it. */
static void show_certificate(Xapi *xapi, const char *url, GError **error)
{
    XapiAddress address;
    if (!error || !err_is(*error, ERR_TLS) || err_detail(*error) ||
        !xapi_address_parse(url, &address, NULL))
        return;
    g_autofree char *host_port = xapi_address_host_port(&address, address.host);
    g_autofree char *fingerprint = http_fingerprint(host_port, NULL);
    g_free(address.host);
    if (!fingerprint)
        return;
    g_autofree char *message = g_strdup((*error)->message);
    const char *detail[] = { fingerprint, NULL };
    g_clear_error(error);
    err_set_detail(error, ERR_TLS, detail, "%s", message);
}

int xapi_http(Xapi *xapi, HttpCall *call, GError **error)
{
    g_autoptr(GError) failure = NULL;
    call->trust = xapi->trust;
    call->fingerprint = xapi->fingerprint;
    int status = http_call(call, &failure);
    if (!failure)
        return status;
    show_certificate(xapi, call->url, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return 0;
}

/* May be asked twice. */
static bool is_read(const char *method)
{
    const char *dot = strchr(method, '.');
    return dot && g_str_has_prefix(dot, ".get_");
}

/* Does nothing to the pool: may be sent again, or be broken off. */
static bool is_harmless(const char *method)
{
    return is_read(method) || g_str_has_prefix(method, "event.");
}

static char *make_request(const char *method, json_t *params)
{
    json_t *request = json_pack("{s:s, s:s, s:O, s:i}", "jsonrpc", "2.0", "method", method,
                                "params", params, "id", 0);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    return text;
}

bool xapi_request(Xapi *xapi, const char *host, const char *method, json_t *params, Reply *reply,
                  unsigned timeout_ms, Cancel *cancel, GError **error)
{
    static const char *const headers[] = { "Content-Type: application/json",
                                           "Accept: application/json", NULL };
    g_autofree char *base = xapi_address_url(&xapi->address, host);
    g_autofree char *url = g_strconcat(base, "/jsonrpc", NULL);
    char *body = make_request(method, params);
    if (!body) {
        err_set(error, ERR_INVALID, "%s: a parameter is not valid UTF-8", method);
        return false;
    }
    HttpCall call = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = body,
        .body_bytes = strlen(body),
        .once = !is_harmless(method),
        .sink = reply_sink,
        .header_seen = reply_header,
        .user = reply,
        .connect_timeout_ms = XAPI_LOGIN_TIMEOUT_MS,
        .stall_timeout_ms = timeout_ms,
        .total_timeout_ms = timeout_ms,
        .cancel = cancel,
    };
    bool ok = xapi_http(xapi, &call, error) != 0;
    explicit_bzero(body, strlen(body)); /* it may hold the password */
    free(body);
    if (!ok) {
        g_prefix_error(error, "%s: ", method);
        return false;
    }
    return reply_end(reply, host, method, error);
}

/* --- recovery --- */

typedef struct {
    bool logged_in_again;
    unsigned n_redirects, n_busy, n_reads;
} Recovery;

static bool follow_master(Xapi *xapi, const char *master, unsigned generation, Cancel *cancel,
                          GError **error)
{
    pthread_mutex_lock(&xapi->lock);
    if (xapi->generation == generation) {
        g_free(xapi->host);
        xapi->host = g_strdup(master);
        xapi_add_candidate(xapi, master);
    }
    pthread_mutex_unlock(&xapi->lock);
    return xapi_login_since(xapi, generation, cancel, error);
}

/* Whether the call may be repeated after this failure, having done what that needs. */
static bool recover(Xapi *xapi, const char *method, const GError *failure, Recovery *recovery,
                    unsigned generation, Cancel *cancel, GError **error)
{
    const char *code = err_xapi_code(failure);
    const char *const *detail = err_detail(failure);
    bool again = !recovery->logged_in_again;
    if (strcmp(code, "SESSION_INVALID") == 0 && again) {
        recovery->logged_in_again = true;
        return !MUTANT(xapi_session_stays_invalid) && /* mutant: xapi_calls */
               xapi_login_since(xapi, generation, cancel, error);
    }
    if (strcmp(code, "HOST_IS_SLAVE") == 0 && detail[1] &&
        recovery->n_redirects++ < XAPI_MAX_REDIRECTS)
        return follow_master(xapi, detail[1], generation, cancel, error);
    if (strcmp(code, "TOO_MANY_PENDING_TASKS") == 0 && recovery->n_busy++ < XAPI_MAX_BUSY_RETRIES)
        return xapi_pause(XAPI_BUSY_PAUSE_MS, cancel);
    bool broken = err_is(failure, ERR_NETWORK) || err_is(failure, ERR_TRUNCATED);
    if (broken && (is_read(method) || MUTANT(xapi_repeats_writes)) && /* mutant: xapi_calls */
        recovery->n_reads++ < XAPI_MAX_READ_RETRIES)
        return xapi_pause(XAPI_READ_PAUSE_MS, cancel);
    return false;
}

static json_t *with_session(const char *session, json_t *params)
{
    json_t *all = json_array(), *value;
    size_t i;
    json_array_append_new(all, json_string(session));
    json_array_foreach (params, i, value)
        json_array_append(all, value);
    return all;
}

bool xapi_run(Xapi *xapi, const char *method, json_t *params, Reply *reply, unsigned timeout_ms,
              Cancel *cancel, GError **error)
{
    Recovery recovery = { 0 };
    for (;;) {
        g_autofree char *host = NULL, *session = NULL;
        unsigned generation;
        if (!xapi_snapshot(xapi, &host, &session, &generation, cancel, error))
            return false;
        g_autoptr(GError) failure = NULL, second = NULL;
        json_t *all = with_session(session, params);
        reply_clear(reply);
        reply_begin(reply);
        bool ok = xapi_request(xapi, host, method, all, reply, timeout_ms, cancel, &failure);
        json_decref(all);
        if (ok)
            return true;
        if (!recover(xapi, method, failure, &recovery, generation, cancel, &second)) {
            g_propagate_error(error, second ? g_steal_pointer(&second) : g_steal_pointer(&failure));
            return false;
        }
    }
}

/* --- the public calls --- */

static json_t *run_whole(Xapi *xapi, const char *method, json_t *params, GError **error)
{
    Reply reply = { .mode = REPLY_WHOLE };
    bool late = xapi_has_left(xapi);
    unsigned timeout_ms = late ? XAPI_LEFT_MS : XAPI_CALL_TIMEOUT_MS;
    g_autoptr(Cancel) own = is_harmless(method) ? xapi_cancel(xapi) : NULL;
    g_autoptr(Cancel) cancel = cancel_new_under(own, late ? NULL : xapi->left);
    g_autoptr(GError) failure = NULL;
    bool ok = xapi_run(xapi, method, params, &reply, timeout_ms, cancel, &failure);
    json_t *result = ok ? g_steal_pointer(&reply.result) : NULL;
    if (ok && !result)
        err_set(&failure, ERR_PROTOCOL, "%s: the answer has no result", method);
    xapi_explain_left(xapi, method, own, &failure);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    reply_clear(&reply);
    return result;
}

json_t *xapi_call(Xapi *xapi, const char *method, json_t *params, GError **error)
{
    json_t *result = run_whole(xapi, method, params, error);
    json_decref(params);
    return result;
}

bool xapi_do(Xapi *xapi, const char *method, json_t *params, GError **error)
{
    json_t *result = xapi_call(xapi, method, params, error);
    json_decref(result);
    return result != NULL;
}

char *xapi_call_string(Xapi *xapi, const char *method, json_t *params, GError **error)
{
    json_t *result = xapi_call(xapi, method, params, error);
    char *text = g_strdup(json_string_value(result));
    if (result && !text)
        err_set(error, ERR_PROTOCOL, "%s: the answer is no text", method);
    json_decref(result);
    return text;
}

bool xapi_all_record_texts(Xapi *xapi, const char *cls, XapiRecordTaken taken, XapiRecordSeen seen,
                           void *user, GError **error)
{
    g_autofree char *method = g_strconcat(cls, ".get_all_records", NULL);
    Reply reply = {
        .mode = REPLY_RECORDS, .cls = cls, .taken = taken, .seen = seen, .seen_user = user
    };
    g_autoptr(Cancel) cancel = xapi_cancel(xapi);
    bool ok = xapi_run(xapi, method, NULL, &reply, XAPI_CALL_TIMEOUT_MS, cancel, error);
    reply_clear(&reply);
    return ok;
}

bool xapi_all_records(Xapi *xapi, const char *cls, XapiRecordSeen seen, void *user, GError **error)
{
    return xapi_all_record_texts(xapi, cls, NULL, seen, user, error);
}

enum { EVENT_GRACE_MS = 6 * 1000 }; /* of the network, beyond the time the pool was given */

bool xapi_events(Xapi *xapi, const char *const *classes, double timeout_s, char **token,
                 const XapiEventOps *ops, Cancel *cancel, GError **error)
{
    json_t *list = json_array();
    for (const char *const *cls = classes; *cls; cls++)
        json_array_append_new(list, json_string(*cls));
    json_t *params = json_pack("[o, s, f]", list, *token ? *token : "", timeout_s);
    Reply reply = { .mode = REPLY_EVENTS, .events = ops };
    unsigned timeout_ms = (unsigned) (timeout_s * 1000) + EVENT_GRACE_MS;
    bool ok = xapi_run(xapi, "event.from", params, &reply, timeout_ms, cancel, error);
    if (ok && !json_is_string(reply.result)) {
        err_set(error, ERR_PROTOCOL, "event.from: the answer has no token");
        ok = false;
    }
    if (ok) {
        g_free(*token);
        *token = g_strdup(json_string_value(reply.result));
    }
    reply_clear(&reply);
    json_decref(params);
    return ok;
}
