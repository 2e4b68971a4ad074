/* One operation for each route: its names in the path, the query of lists, the parameters of a
 * method in REST's words. */
#include "api/rest_openapi.h"
#include "api/method.h"
#include "api/rest_call.h"
#include "api/rest_example.h"

#include <string.h>

/* --- Values --- */

static const struct {
    unsigned bit;
    const char *name;
} types[] = {
    { P_STRING, "string" },   { P_INTEGER, "integer" }, { P_NUMBER, "number" },
    { P_BOOLEAN, "boolean" }, { P_OBJECT, "object" },   { P_ARRAY, "array" },
};

static json_t *schema_of_type(const Param *param, unsigned i)
{
    json_t *schema = json_pack("{s:s}", "type", types[i].name);
    if (types[i].bit == P_ARRAY) {
        json_t *items = json_object();
        for (unsigned k = 0; k < G_N_ELEMENTS(types); k++)
            if (param->items == types[k].bit)
                json_object_set_new(items, "type", json_string(types[k].name));
        json_object_set_new(schema, "items", items);
    }
    if (types[i].bit == P_STRING && param->pattern)
        json_object_set_new(schema, "pattern", json_string(param->pattern));
    if (types[i].bit == P_STRING && param->choices) {
        g_auto(GStrv) words = g_strsplit(param->choices, "|", -1);
        json_t *list = json_array();
        for (unsigned k = 0; words[k]; k++)
            json_array_append_new(list, json_string(words[k]));
        json_object_set_new(schema, "enum", list);
    }
    return schema;
}

static json_t *schema_of(const Param *param)
{
    json_t *any = json_array();
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++)
        if (param->types & types[i].bit)
            json_array_append_new(any, schema_of_type(param, i));
    json_t *one;
    size_t k;
    json_array_foreach (any, k, one) /* beside a type, OpenAPI says; what has none may be null */
        if (param->nullable || param->types & P_NULL)
            json_object_set_new(one, "nullable", json_true());
    json_t *schema = json_array_size(any) == 1  ? json_incref(json_array_get(any, 0))
                     : json_array_size(any) > 1 ? json_pack("{s:O}", "anyOf", any)
                                                : json_object();
    if (param->words)
        json_object_set_new(schema, "description", json_string(param->words));
    if (param->fallback)
        json_object_set_new(schema, "default", json_loads(param->fallback, JSON_DECODE_ANY, NULL));
    json_decref(any);
    return schema;
}

static json_t *parameter(const char *in, const char *name, bool required, json_t *schema)
{
    return json_pack("{s:s, s:s, s:b, s:o}", "name", name, "in", in, "required", required, "schema",
                     schema);
}

/* --- Parameters --- */

/* "{id*}" is "{id}" there; *names gets what the path has. */
static char *shown_path(const char *path, GPtrArray *names)
{
    GString *shown = g_string_new("/");
    for (const char *at = path; *at; at++) {
        if (*at == '{') {
            size_t n = strcspn(at + 1, "*}");
            g_ptr_array_add(names, g_strndup(at + 1, n));
        }
        if (*at != '*')
            g_string_append_c(shown, *at);
    }
    return g_string_free(shown, FALSE);
}

static bool is_named(const GPtrArray *names, const char *name)
{
    for (unsigned i = 0; i < names->len; i++)
        if (g_str_equal(names->pdata[i], name))
            return true;
    return false;
}

static void add_list_parameters(json_t *list)
{
    static const struct {
        const char *name, *type;
    } rows[] = { { "fields", "string" },
                 { "filter", "string" },
                 { "limit", "integer" },
                 { "ndjson", "boolean" },
                 { "markdown", "boolean" } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        json_array_append_new(list, parameter("query", rows[i].name, false,
                                              json_pack("{s:s}", "type", rows[i].type)));
}

/* Those of the method that the path does not have: in the query of reads, else in the body. */
static void add_call_parameters(const RestCall *call, const GPtrArray *names, json_t *list,
                                json_t *operation)
{
    json_t *members = json_object(), *required = json_array();
    const Method *method = method_find(call->method);
    bool reads = g_str_equal(call->verb, "GET");
    for (const Param *param = method->params; param && param->name; param++) {
        g_autofree char *name = rest_call_name(call, param->name);
        bool needed = !param->optional && !param->fallback && !call->prepare;
        if (!*name || g_str_equal(name, "*") || is_named(names, name))
            continue;
        if (reads) {
            json_array_append_new(list, parameter("query", name, needed, schema_of(param)));
            continue;
        }
        json_object_set_new(members, name, schema_of(param));
        if (needed)
            json_array_append_new(required, json_string(name));
    }
    if (strstr(call->path, "/actions/"))
        json_array_append_new(
            list, parameter("query", "sync", false, json_pack("{s:s}", "type", "boolean")));
    if (json_object_size(members) > 0) {
        json_t *schema = json_pack("{s:s, s:O}", "type", "object", "properties", members);
        if (json_array_size(required) > 0)
            json_object_set(schema, "required", required);
        json_object_set_new(
            operation, "requestBody",
            json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema));
    }
    json_decref(members);
    json_decref(required);
}

/* --- Answers --- */

static void add_answer(json_t *answers, const char *status, const char *words)
{
    json_object_set_new(answers, status, json_pack("{s:s}", "description", words));
}

static json_t *answers_of(const RestRoute *route)
{
    json_t *answers = json_object();
    const RestCall *call = route->shape == REST_CALLS ? route->with : NULL;
    bool is_action = call && strstr(call->path, "/actions/");
    bool reads = g_str_equal(route->verb, "GET");
    if (is_action)
        add_answer(answers, "202", "It goes on; Location is its task.");
    if (reads || (call && !call->makes && is_action))
        add_answer(answers, "200", "The answer.");
    if (call && call->makes)
        add_answer(answers, "201", "Made; Location is where.");
    if (!reads && !(call && call->makes))
        add_answer(answers, "204", "Done.");
    if (!route->is_public)
        add_answer(answers, "401", "Who are you?");
    add_answer(answers, "4XX", "Wrong, or not allowed: {error, data?}.");
    add_answer(answers, "default", "An error: {error, data?}.");
    return answers;
}

/* --- The document --- */

/* As pages that show such documents know it, and the method behind the route. */
static void add_example(json_t *operation, const RestRoute *route)
{
    g_autofree char *example = rest_example(route);
    const RestCall *call = route->shape == REST_CALLS ? route->with : NULL;
    if (example)
        json_object_set_new(operation, "x-codeSamples",
                            json_pack("[{s:s, s:s}]", "lang", "shell", "source", example));
    if (call)
        json_object_set_new(operation, "x-method", json_string(call->method));
}

static json_t *operation_of(const RestRoute *route, const GPtrArray *names)
{
    g_autofree char *id = g_strdup_printf("%s_%s", route->verb, route->path);
    g_autofree char *tag = g_strndup(route->path, strcspn(route->path, "/"));
    json_t *list = json_array();
    g_strcanon(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-", '_');
    json_t *operation = json_pack("{s:s, s:s*, s:[s], s:o}", "operationId", id, "summary",
                                  route->summary, "tags", tag, "responses", answers_of(route));
    for (unsigned i = 0; i < names->len; i++)
        json_array_append_new(
            list, parameter("path", names->pdata[i], true, json_pack("{s:s}", "type", "string")));
    if (route->shape == REST_LIST)
        add_list_parameters(list);
    else if (route->shape == REST_CALLS)
        add_call_parameters(route->with, names, list, operation);
    json_object_set_new(operation, "parameters", list);
    add_example(operation, route);
    if (route->is_public)
        json_object_set_new(operation, "security", json_array());
    return operation;
}

/* The first route of a path and verb is the one that answers. */
static void add_route(json_t *paths, const RestRoute *route)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = shown_path(route->path, names);
    g_autofree char *verb = g_ascii_strdown(route->verb, -1);
    json_t *item = json_object_get(paths, path);
    if (!item)
        json_object_set_new(paths, path, item = json_object());
    if (!json_object_get(item, verb))
        json_object_set_new(item, verb, operation_of(route, names));
}

json_t *rest_openapi(const RestRouter *router)
{
    json_t *paths = json_object();
    for (unsigned i = 0; i < rest_router_n(router); i++)
        add_route(paths, rest_router_nth(router, i));
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{s:[]}, {s:[]}], "
                     "s:{s:{s:{s:s, s:s, s:s}, "
                     "s:{s:s, s:s}}}, s:o}",
                     "openapi", "3.0.3", "info", "title", "Cadenza", "version", CADENZA_VERSION,
                     "description", "XO's REST API v0", "license", "name", "Apache-2.0", "url",
                     "https://www.apache.org/licenses/LICENSE-2.0", "servers", "url", REST_BASE,
                     "security", "token", "basic", "components", "securitySchemes", "token", "type",
                     "apiKey", "in", "cookie", "name", "authenticationToken", "basic", "type",
                     "http", "scheme", "basic", "paths", paths);
}

static void document(RestRequest *request)
{
    rest_reply(request, 200, rest_openapi(request->rest->router));
}

static void page(RestRequest *request)
{
    http_reply_header(request->http, "Content-Security-Policy",
                      "default-src 'none'; style-src 'unsafe-inline'; script-src "
                      "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'");
    http_reply_text(request->http, 200, "text/html; charset=utf-8", rest_page);
}

const RestRoute rest_openapi_routes[] = {
    { "GET", "docs", page, .is_public = true, .summary = "A page to read and try the API.",
      .example = "" },
    { "GET", "docs/swagger.json", document, .is_public = true,
      .summary = "This description (OpenAPI 3.0).", .example = "" },
    { NULL },
};
