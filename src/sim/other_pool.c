/* Calls to another simulated pool. */
#include "sim/other_pool.h"

#include "base/error.h"
#include "http/client.h"

#include <string.h>

enum { MAX_ANSWER_BYTES = 64 << 20, CALL_TIMEOUT_MS = 120 * 1000 };

/* {code, params} of a JSON-RPC error as our own. */
static void pass_error(json_t *answer, GError **error)
{
    json_t *failure = json_object_get(answer, "error"), *param;
    const char *code = json_string_value(json_object_get(failure, "message"));
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    size_t i;
    g_ptr_array_add(all, (void *) (code ? code : "INTERNAL_ERROR"));
    json_array_foreach (json_object_get(failure, "data"), i, param)
        if (json_is_string(param))
            g_ptr_array_add(all, (void *) json_string_value(param));
    g_ptr_array_add(all, NULL);
    err_set_detail(error, ERR_XAPI, (const char *const *) all->pdata, "%s",
                   (const char *) all->pdata[0]);
}

json_t *other_pool_ask(const char *url, const char *session, const char *method, json_t *params,
                       GError **error)
{
    if (session)
        json_array_insert_new(params, 0, json_string(session));
    json_t *body = json_pack("{s:s, s:i, s:s, s:o}", "jsonrpc", "2.0", "id", 0, "method", method,
                             "params", params);
    g_autofree char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    g_autofree char *whole = g_strconcat(url, "jsonrpc", NULL);
    static const char *const headers[] = { "Content-Type: application/json", NULL };
    const HttpCall call = { .method = "POST",
                            .url = whole,
                            .headers = headers,
                            .body = text,
                            .body_bytes = strlen(text),
                            .total_timeout_ms = CALL_TIMEOUT_MS };
    g_autoptr(GBytes) bytes = NULL;
    if (!http_fetch(&call, MAX_ANSWER_BYTES, &bytes, error))
        return NULL;
    json_t *answer = json_loads(g_bytes_get_data(bytes, NULL), 0, NULL);
    json_t *result = json_incref(json_object_get(answer, "result"));
    if (!result)
        pass_error(answer, error);
    json_decref(answer);
    return result;
}
