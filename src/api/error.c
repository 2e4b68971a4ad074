/* How errors of ours and of pools look to XO's clients.
 *
 * Three sources meet here: errors that a method raises with a number of XO, errors of the pool
 * (a table maps the codes that XO gives a number), and our own general errors. What has no number
 * is -32000, with details for administrators only. */
#include "api/error.h"

#include <stdarg.h>
#include <string.h>

typedef struct {
    json_t *data;
} ApiErrorPrivate;

static void api_error_private_init(ApiErrorPrivate *priv)
{
    priv->data = NULL;
}

static void api_error_private_copy(const ApiErrorPrivate *from, ApiErrorPrivate *to)
{
    to->data = json_incref(from->data);
}

static void api_error_private_clear(ApiErrorPrivate *priv)
{
    json_decref(priv->data);
}

G_DEFINE_EXTENDED_ERROR(ApiError, api_error)

static const char *general_message(ApiErrorCode code)
{
    switch (code) {
#define A(number, name, message)                                                                   \
    case number:                                                                                   \
        return message;
#include "api/errors.def"
#undef A
    }
    return "unknown error from the peer";
}

static void set_text(GError **error, ApiErrorCode code, json_t *data, const char *text)
{
    if (!error) {
        json_decref(data);
        return;
    }
    GError *made = g_error_new_literal(API_ERROR, code, text);
    api_error_get_private(made)->data = data;
    g_propagate_error(error, made);
}

void api_error_set(GError **error, ApiErrorCode code, json_t *data, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    set_text(error, code, data, text);
}

void api_error_plain(GError **error, ApiErrorCode code, json_t *data)
{
    set_text(error, code, data, general_message(code));
}

bool api_error_is(const GError *error, ApiErrorCode code)
{
    return g_error_matches(error, API_ERROR, code);
}

json_t *api_error_data(const GError *error)
{
    return error && error->domain == API_ERROR ? api_error_get_private(error)->data : NULL;
}

void api_error_no_such(GError **error, const char *id, const char *type)
{
    json_t *data = json_pack("{s:s, s:s*}", "id", id, "type", type);
    api_error_set(error, API_NO_SUCH_OBJECT, data, "no such %s %s", type ? type : "object", id);
}

void api_error_unauthorized(GError **error, const char *permission, const char *id)
{
    json_t *data = json_pack("{s:s*, s:{s:s*}}", "permission", permission, "object", "id", id);
    api_error_plain(error, API_UNAUTHORIZED, data);
}

void api_error_invalid(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    set_text(error, API_INVALID_PARAMETERS, json_object(), text);
}

/* --- Errors of the pool --- */

/* `keys` names the data fields of the pool's parameters in order, "-" skips one, a leading '@' says
 * that the parameter is a reference, to be shown as an id. `extra` is one more "key=value". */
static const struct {
    const char *xapi;
    ApiErrorCode code;
    const char *keys[4];
    const char *extra;
} xapi_rows[] = {
    { "EHOSTUNREACH", API_SERVER_UNREACHABLE, { "@objectId" }, NULL },
    { "HOST_OFFLINE", API_HOST_OFFLINE, { "@objectId" }, NULL },
    { "NO_HOSTS_AVAILABLE", API_NO_HOSTS_AVAILABLE, { NULL }, NULL },
    { "NOT_SUPPORTED_DURING_UPGRADE", API_NOT_SUPPORTED_DURING_UPGRADE, { NULL }, NULL },
    { "OPERATION_BLOCKED", API_OPERATION_BLOCKED, { "@objectId", "code" }, NULL },
    { "PATCH_PRECHECK_FAILED_ISO_MOUNTED",
      API_PATCH_PRECHECK_FAILED,
      { "@objectId" },
      "errorType=ISO_MOUNTED" },
    { "PIF_VLAN_EXISTS", API_OBJECT_ALREADY_EXISTS, { "@objectId" }, "objectType=PIF" },
    { "SESSION_AUTHENTICATION_FAILED", API_AUTHENTICATION_FAILED, { NULL }, NULL },
    { "VDI_IN_USE", API_VDI_IN_USE, { "@objectId", "operation" }, NULL },
    { "VM_BAD_POWER_STATE", API_VM_BAD_POWER_STATE, { "@objectId", "expected", "actual" }, NULL },
    { "VM_IS_TEMPLATE", API_VM_IS_TEMPLATE, { "@objectId" }, NULL },
    { "VM_LACKS_FEATURE", API_VM_LACKS_FEATURE, { "@objectId", "feature" }, NULL },
    { "VM_LACKS_FEATURE_SHUTDOWN", API_VM_LACKS_FEATURE, { "@objectId" }, "feature=shutdown" },
    { "VM_MISSING_PV_DRIVERS", API_VM_MISSING_PV_DRIVERS, { "@objectId" }, NULL },
};

static void set_param(json_t *data, const char *key, const char *value, const ApiErrorView *view)
{
    if (key[0] != '@') {
        json_object_set_new(data, key, json_string(value));
        return;
    }
    g_autofree char *id = view->id_of ? view->id_of(value, view->user) : NULL;
    json_object_set_new(data, key + 1, json_string(id ? id : value));
}

static json_t *xapi_data(unsigned row, const char *const *params, const ApiErrorView *view)
{
    json_t *data = json_object();
    for (unsigned i = 0; i < 4 && xapi_rows[row].keys[i] && params && params[i]; i++)
        set_param(data, xapi_rows[row].keys[i], params[i], view);
    if (xapi_rows[row].extra) {
        g_auto(GStrv) pair = g_strsplit(xapi_rows[row].extra, "=", 2);
        json_object_set_new(data, pair[0], json_string(pair[1]));
    }
    return data;
}

static char *xapi_message(ApiErrorCode code, json_t *data)
{
    const char *actual = json_string_value(json_object_get(data, "actual"));
    const char *expected = json_string_value(json_object_get(data, "expected"));
    const char *feature = json_string_value(json_object_get(data, "feature"));
    if (code == API_VM_BAD_POWER_STATE && actual && expected)
        return g_strdup_printf("VM state is %s but should be %s", actual, expected);
    if (code == API_VM_LACKS_FEATURE && feature)
        return g_strdup_printf("VM lacks feature %s", feature);
    if (code == API_OBJECT_ALREADY_EXISTS)
        return g_strdup("PIF already exists");
    if (code == API_PATCH_PRECHECK_FAILED)
        return g_strdup("patch precheck failed: ISO_MOUNTED");
    return g_strdup(general_message(code));
}

/* NULL when XO gives the code no number. */
static json_t *xapi_json(const GError *error, const ApiErrorView *view)
{
    const char *code = err_xapi_code(error);
    for (unsigned i = 0; i < G_N_ELEMENTS(xapi_rows); i++) {
        if (!g_str_equal(xapi_rows[i].xapi, code))
            continue;
        json_t *data = xapi_data(i, err_detail(error) + 1, view);
        g_autofree char *text = xapi_message(xapi_rows[i].code, data);
        return json_pack("{s:i, s:s, s:o}", "code", xapi_rows[i].code, "message", text, "data",
                         data);
    }
    return NULL;
}

/* --- Our own errors --- */

/* What of ours has a number of XO; our text is kept, because it names the object and the cause. */
static const struct {
    ErrCode ours;
    ApiErrorCode code;
} err_rows[] = {
    { ERR_INVALID, API_INVALID_PARAMETERS },   { ERR_NOT_FOUND, API_NO_SUCH_OBJECT },
    { ERR_EXISTS, API_OBJECT_ALREADY_EXISTS }, { ERR_BAD_LOGIN, API_AUTHENTICATION_FAILED },
    { ERR_NETWORK, API_SERVER_UNREACHABLE },   { ERR_DENIED, API_UNAUTHORIZED },
    { ERR_UNSUPPORTED, API_NOT_IMPLEMENTED },  { ERR_NO_MATCH, API_NO_MATCHING_VM },
};

static json_t *details(const GError *error)
{
    json_t *data = json_pack("{s:s, s:s}", "message", error->message, "name", "Error");
    const char *const *list = err_detail(error);
    if (err_is(error, ERR_XAPI) && list && list[0]) {
        json_object_set_new(data, "code", json_string(list[0]));
        json_object_set_new(data, "name", json_string("XapiError"));
        json_t *params = json_array();
        for (unsigned i = 1; list[i]; i++)
            json_array_append_new(params, json_string(list[i]));
        json_object_set_new(data, "params", params);
    } else if (error->domain == ERR) {
        json_object_set_new(data, "code", json_string(err_name(error)));
        if (list && list[0] && err_is(error, ERR_TLS))
            json_object_set_new(data, "fingerprint", json_string(list[0]));
    }
    if (error->domain == ERR)
        json_object_set_new(data, "remedy", json_string(err_remedy(error)));
    return data;
}

/* The message of a refusal with the names of objects in place of their references. */
static char *named(const char *message, const ApiErrorView *view)
{
    GString *out = g_string_new(NULL);
    const char *at = message, *ref;
    while ((ref = strstr(at, "OpaqueRef:"))) {
        g_string_append_len(out, at, ref - at);
        at = ref + strlen("OpaqueRef:");
        while (g_ascii_isalnum(*at) || *at == '-')
            at++;
        g_autofree char *text = g_strndup(ref, (gsize) (at - ref));
        g_autofree char *name = view->name_of ? view->name_of(text, view->user) : NULL;
        g_string_append(out, name ? name : text);
    }
    return g_string_free(g_string_append(out, at), FALSE);
}

/* So, too, where the words of a refusal name no object: the one that it is about follows. */
static char *named_refusal(const GError *error, const ApiErrorView *view)
{
    const char *const *detail = err_is(error, ERR_XAPI) ? err_detail(error) : NULL;
    bool names_one = strstr(error->message, "OpaqueRef:") != NULL;
    for (unsigned i = 1; detail && detail[0] && detail[i] && !names_one && view->name_of; i++) {
        g_autofree char *name =
            g_str_has_prefix(detail[i], "OpaqueRef:") ? view->name_of(detail[i], view->user) : NULL;
        if (name)
            return g_strdup_printf("%s: %s", error->message, name);
    }
    return named(error->message, view);
}

static json_t *own_json(const GError *error, const ApiErrorView *view)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(err_rows); i++)
        if (err_is(error, err_rows[i].ours))
            return json_pack("{s:i, s:s, s:o}", "code", err_rows[i].code, "message", error->message,
                             "data", details(error));
    if (!view->admin)
        return json_pack("{s:i, s:s}", "code", API_INTERNAL, "message",
                         general_message(API_INTERNAL));
    g_autofree char *message = named_refusal(error, view);
    return json_pack("{s:i, s:s, s:o}", "code", API_INTERNAL, "message", message, "data",
                     details(error));
}

json_t *api_error_json(const GError *error, const ApiErrorView *view)
{
    if (error->domain == API_ERROR) {
        json_t *json = json_pack("{s:i, s:s}", "code", error->code, "message", error->message);
        json_t *data = api_error_get_private((GError *) error)->data;
        if (data)
            json_object_set(json, "data", data);
        return json;
    }
    json_t *json = err_is(error, ERR_XAPI) ? xapi_json(error, view) : NULL;
    return json ? json : own_json(error, view);
}
