/* How errors look over REST: the status of each of the API's numbers, and XO's words. What a pool
 * refuses is told as the pool says it. */
#include "api/call.h"
#include "api/method.h"
#include "api/rest_call.h"
#include "api/rest_request.h"
#include "base/mutant.h"

#include <string.h>

static const struct {
    ErrCode ours;
    int status;
} own_rows[] = {
    { ERR_BUSY, 409 },    { ERR_STATE, 409 }, { ERR_RUNNING, 409 }, { ERR_EXISTS, 409 },
    { ERR_TIMEOUT, 504 }, { ERR_LIMIT, 422 }, { ERR_NETWORK, 502 },
};

static const struct {
    ApiErrorCode code;
    int status;
} api_rows[] = {
    { API_NOT_IMPLEMENTED, 501 },       { API_NO_SUCH_OBJECT, 404 },
    { API_UNAUTHORIZED, 403 },          { API_INVALID_CREDENTIALS, 401 },
    { API_FORBIDDEN_OPERATION, 403 },   { API_INVALID_PARAMETERS, 422 },
    { API_OBJECT_ALREADY_EXISTS, 409 }, { API_INCORRECT_STATE, 409 },
    { API_FEATURE_UNAUTHORIZED, 403 },  { API_SERVICE_UNAVAILABLE, 503 },
    { API_METHOD_NOT_FOUND, 501 },
};

static int status_of(const GError *error, json_t *json)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(own_rows); i++)
        if (err_is(error, own_rows[i].ours))
            return own_rows[i].status;
    json_int_t code = json_integer_value(json_object_get(json, "code"));
    for (unsigned i = 0; i < G_N_ELEMENTS(api_rows); i++)
        if (code == api_rows[i].code)
            return api_rows[i].status;
    return 500;
}

/* "VM_BAD_POWER_STATE(OpaqueRef:…, halted, running)" */
static void fail_of_pool(RestRequest *request, const GError *error)
{
    const char *const *detail = err_detail(error);
    g_autofree char *params = g_strjoinv(", ", (char **) detail + 1);
    g_autofree char *text = g_strdup_printf("%s(%s)", detail[0], params);
    rest_reply(request, 500,
               json_pack("{s:s, s:s}", "error", text, "info",
                         "This is a XenServer/XCP-ng error, not an XO error"));
}

void rest_note_failure(RestRequest *request, const GError *error)
{
    if (error && !request->failure)
        request->failure = g_error_copy(error);
}

/* --- The client's words --- */

/* A parameter of the method as the route calls it; NULL when it has no other name there. */
static char *other_name(const RestCall *call, const char *name, size_t n)
{
    g_autofree char *ours = g_strndup(name, n);
    g_autofree char *theirs = rest_call_name(call, ours);
    if (!*ours || !*theirs || g_str_equal(ours, theirs) ||
        MUTANT(rest_methods_words)) /* mutant: system:test_rest.Actions.test_words */
        return NULL;
    return g_steal_pointer(&theirs);
}

/* A member of `json` that has the name after `head`, which ends with one of `ends`. */
static void reword_member(const RestCall *call, json_t *json, const char *member, const char *head,
                          const char *ends)
{
    const char *text = json_string_value(json_object_get(json, member));
    if (!text || !g_str_has_prefix(text, head))
        return;
    const char *name = text + strlen(head), *rest = name + strcspn(name, ends);
    g_autofree char *other = other_name(call, name, (size_t) (rest - name));
    if (other)
        json_object_set_new(json, member, json_sprintf("%s%s%s", head, other, rest));
}

/* Refusals name what the client has sent, or should. */
static void reword(const RestCall *call, json_t *json)
{
    json_t *violations = json_object_get(json_object_get(json, "data"), "errors"), *one;
    size_t i;
    json_array_foreach (violations, i, one) {
        reword_member(call, json_object_get(one, "params"), "missingProperty", "", "");
        reword_member(call, one, "message", "must have required property '", "'");
        reword_member(call, one, "instancePath", "/", "/");
        reword_member(call, one, "schemaPath", "#/properties/", "/");
    }
    const Method *method = method_find(call->method);
    const char *text = json_string_value(json_object_get(json, "message"));
    for (const Param *param = method->params; text && param && param->name; param++) {
        const char *rest = g_str_has_prefix(text, param->name) ? text + strlen(param->name) : "";
        if (*rest == ':') {
            reword_member(call, json, "message", "", ":");
            return;
        }
    }
}

void rest_call_fail(RestRequest *request, const RestCall *call, const GError *error)
{
    rest_note_failure(request, error);
    if (err_is(error, ERR_XAPI) && err_detail(error) && *err_detail(error)) {
        fail_of_pool(request, error);
        return;
    }
    json_t *json = call_error_json(request->parts, request->session, error);
    if (call) {
        json_t *own = json_deep_copy(json);
        json_decref(json);
        reword(call, json = own);
    }
    rest_refuse(request, status_of(error, json),
                json_string_value(json_object_get(json, "message")),
                json_incref(json_object_get(json, "data")));
    json_decref(json);
}

void rest_fail(RestRequest *request, const GError *error)
{
    rest_call_fail(request, NULL, error);
}

void rest_refuse(RestRequest *request, int status, const char *text, json_t *data)
{
    if (!request->failure)
        api_error_set(&request->failure, API_INTERNAL, NULL, "%s", text ? text : "refused");
    if (status == 401)
        http_reply_header(request->http, "WWW-Authenticate", "Basic realm=\"xo\"");
    rest_reply(request, status, json_pack("{s:s, s:o*}", "error", text, "data", data));
}
