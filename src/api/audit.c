/* One entry for each call of a method: who, from where, what with (secrets left out), and how it
 * ended. */
#include "api/audit.h"
#include "base/log.h"
#include "base/mutant.h"
#include "remote/remote.h"
#include "store/audit.h"

#include <stdlib.h>
#include <string.h>

#define JOURNAL "api"
#define HIDDEN  "* obfuscated *" /* as XO writes it */

enum { MAX_JOURNAL = 2000, TRIM_ONE_IN = 100 };

/* --- Secrets --- */

/* Parts of the names of what nobody else should read, wherever it is nested. */
static const char *const secret_parts[] = { "password", "passphrase", "passwd", "secret", "token" };
static const char *const secret_names[] = {
    "otp",           "pwhash",       "credentials", "pass",
    "encryptionkey", "privatekey",   "accesskey",   "cloudconfig",
    "networkconfig", "xenstoredata", NULL
};

/* "cloudConfig", and "cloud_config" all the same. */
static char *fold(const char *name)
{
    GString *folded = g_string_new(NULL);
    for (const char *c = name; *c; c++)
        if ((*c != '_' && *c != '-') || MUTANT(audit_one_spelling)) /* mutant: api_audit */
            g_string_append_c(folded, g_ascii_tolower(*c));
    return g_string_free(folded, FALSE);
}

static bool is_secret_name(const char *name)
{
    g_autofree char *folded = fold(name);
    for (unsigned i = 0; i < G_N_ELEMENTS(secret_parts); i++)
        if (strstr(folded, secret_parts[i]))
            return true;
    return g_strv_contains(secret_names, folded);
}

static json_t *redact_value(json_t *value);

static json_t *redact_object(const Param *rows, json_t *object)
{
    json_t *shown = json_object(), *value;
    const char *name;
    json_object_foreach (object, name, value) {
        bool secret = is_secret_name(name);
        for (const Param *row = rows; row && row->name; row++)
            secret = secret || (row->secret && g_str_equal(row->name, name));
        if (MUTANT(audit_secrets)) /* mutant: api_audit */
            secret = false;
        json_object_set_new(shown, name,
                            secret && !json_is_null(value) ? json_string(HIDDEN)
                                                           : redact_value(value));
    }
    return shown;
}

/* Addresses of pools and services keep all but who signs in; others are repositories. */
static char *redact_url(const char *url)
{
    if (!g_str_has_prefix(url, "http://") && !g_str_has_prefix(url, "https://"))
        return remote_redact_url(url);
    const char *host = strstr(url, "://") + 3;
    size_t n_authority = strcspn(host, "/?#");
    const char *at = g_strrstr_len(host, (gssize) n_authority, "@");
    return at ? g_strdup_printf("%.*s***%s", (int) (host - url), url, at) : g_strdup(url);
}

static json_t *redact_text(json_t *text)
{
    if (!strstr(json_string_value(text), "://"))
        return json_incref(text);
    g_autofree char *shown = redact_url(json_string_value(text));
    return json_string(shown);
}

static json_t *redact_value(json_t *value)
{
    size_t i;
    json_t *item;
    if (json_is_string(value))
        return redact_text(value);
    if (json_is_object(value))
        return redact_object(NULL, value);
    if (!json_is_array(value))
        return json_incref(value);
    json_t *shown = json_array();
    json_array_foreach (value, i, item)
        json_array_append_new(shown, redact_value(item));
    return shown;
}

json_t *audit_redact(const Param *rows, json_t *params)
{
    json_t *shown = !params                  ? json_object() /* nothing was sent */
                    : json_is_object(params) ? redact_object(rows, params)
                                             : redact_value(params);
    size_t n = json_dumpb(shown, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    if (n <= AUDIT_MAX_PARAMS_BYTES)
        return shown;
    json_decref(shown);
    return json_pack("{s:I}", "tooLongBytes", (json_int_t) n);
}

/* --- What is told --- */

bool audit_wants(const Method *method)
{
    static const char *const readers[] = {
        "get", "list", "is", "stats", "probe", "check", "method"
    };
    const char *verb = strrchr(method->name, '.');
    for (unsigned i = 0; verb && i < G_N_ELEMENTS(readers); i++)
        if (g_str_has_prefix(verb + 1, readers[i]))
            return false;
    return true;
}

static bool is_refusal(const GError *failure)
{
    return failure && (api_error_is(failure, API_UNAUTHORIZED) || err_is(failure, ERR_DENIED));
}

static json_t *subject_of(json_t *user, const char *peer)
{
    return json_pack("{s:s*, s:s*, s:s*}", "userId", json_string_value(json_object_get(user, "id")),
                     "userName", json_string_value(json_object_get(user, "email")), "userIp", peer);
}

static json_t *error_of(const GError *failure)
{
    ApiErrorView view = { .admin = true };
    json_t *error = failure ? api_error_json(failure, &view) : NULL;
    json_object_del(error, "data");
    return error;
}

/* The ids of what was made are told; nothing that could be a secret is. */
static json_t *result_of(const Method *method, json_t *result)
{
    bool plain = json_is_boolean(result) || json_is_number(result) ||
                 (json_is_string(result) && json_string_length(result) <= 64);
    return plain && !method->secret_result ? result : NULL;
}

/* As XO's journal has it, for administrators to find out why something does not work. */
static void journal(const ApiParts *parts, const Method *method, json_t *user, json_t *params,
                    const GError *failure, gint64 took_ms)
{
    const char *who = json_string_value(json_object_get(user, "email"));
    g_autofree char *message = g_strdup_printf("%s | %s(...) [%" G_GINT64_FORMAT "ms] =!> %s", who,
                                               method->name, took_ms, failure->message);
    gint64 now_ms = g_get_real_time() / 1000;
    json_t *entry = json_pack("{s:s, s:s, s:s, s:I, s:{s:O, s:s, s:s, s:o, s:I, s:o}}", "level",
                              "error", "message", message, "namespace", JOURNAL, "time",
                              (json_int_t) now_ms, "data", "userId", json_object_get(user, "id"),
                              "userName", who, "method", method->name, "params",
                              audit_redact(method->params, params), "duration",
                              (json_int_t) took_ms, "error", error_of(failure));
    g_free(store_log_add(parts->store, JOURNAL, now_ms, entry, NULL));
    json_decref(entry);
    if (g_random_int_range(0, TRIM_ONE_IN) == 0)
        store_log_trim(parts->store, JOURNAL, MAX_JOURNAL, NULL);
}

void audit_call(const ApiParts *parts, const Method *method, json_t *user, Session *session,
                json_t *params, json_t *result, const GError *failure, gint64 took_ms)
{
    bool signs_in = g_str_has_prefix(method->name, "session.signIn");
    if (user && failure)
        journal(parts, method, user, params, failure, took_ms);
    if (!audit_wants(method) && !is_refusal(failure))
        return;
    if (!user && !(signs_in && failure))
        return; /* strangers could fill the log */
    json_t *data = json_pack("{s:s, s:o, s:I, s:o*, s:O*}", "method", method->name, "params",
                             audit_redact(method->params, params), "duration", (json_int_t) took_ms,
                             "error", error_of(failure), "result", result_of(method, result));
    g_autoptr(GError) error = NULL;
    if (!audit_add(parts->store, "apiCall", subject_of(user, session_peer(session)), data, &error))
        log_error("audit", "%s: %s", method->name, error->message);
}

void audit_event(const ApiParts *parts, const char *event, json_t *user, const char *peer,
                 json_t *data)
{
    g_autoptr(GError) error = NULL;
    if (!audit_add(parts->store, event, subject_of(user, peer), data, &error))
        log_error("audit", "%s: %s", event, error->message);
}
