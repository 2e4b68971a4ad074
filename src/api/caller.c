/* A call of a job comes through the same gate as any other, with the rights of the job's user. */
#include "api/caller.h"
#include "api/call.h"
#include "base/pattern.h"

static json_t *value_of(const ApiResult *result)
{
    g_autoptr(GBytes) text = result->text ? rope_flat(result->text) : NULL;
    if (text)
        return json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), JSON_DECODE_ANY,
                          NULL);
    return result->value ? json_incref(result->value) : json_true();
}

static bool call_as(const char *user_id, const char *method, json_t *params, json_t **result,
                    void *user)
{
    const ApiParts *parts = user;
    g_autoptr(Session) session = session_new_as(parts->accounts, user_id);
    g_auto(ApiResult) got = { NULL, NULL };
    g_autoptr(GError) error = NULL;
    bool ok = call_run(parts, session, method, params, &got, &error);
    *result = ok ? value_of(&got) : call_error_json(parts, session, error);
    return ok;
}

typedef struct {
    json_t *pattern, *found;
} Search;

static void add_match(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    json_t *view = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    if (view && pattern_match(search->pattern, view))
        json_array_append(search->found, view);
    json_decref(view);
}

static json_t *objects(json_t *pattern, void *user)
{
    const ApiParts *parts = user;
    Search search = { pattern, json_array() };
    servers_each(parts->servers, NULL, add_match, &search);
    return search.found;
}

void caller_install(const ApiParts *parts)
{
    RunsCaller caller = { call_as, objects, (void *) parts };
    runs_set_caller(parts->runs, &caller);
}
