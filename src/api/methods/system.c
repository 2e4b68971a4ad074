/* system.*: what the server is and can do; api.*: who is connected. */
#include "api/method.h"

#include "api/parts.h"

#include <string.h>
#include <unistd.h>

static void add_name(const Method *method, void *user)
{
    json_array_append_new(user, json_string(method->name));
}

static json_t *list_methods(ApiCall *call, GError **error)
{
    json_t *names = json_array();
    method_each(add_name, names);
    return names;
}

static void add_info(const Method *method, void *user)
{
    json_object_set_new(user, method->name, method_info(method));
}

static json_t *methods_info(ApiCall *call, GError **error)
{
    json_t *all = json_object();
    method_each(add_info, all);
    return all;
}

static json_t *method_signature(ApiCall *call, GError **error)
{
    const char *name = call_string(call, "method");
    const Method *method = method_find(name);
    if (!method) {
        api_error_no_such(error, name, "method");
        return NULL;
    }
    json_t *info = method_info(method);
    json_object_set_new(info, "name", json_string(name));
    return json_pack("[o]", info);
}

static json_t *server_version(ApiCall *call, GError **error)
{
    return json_string(CADENZA_VERSION);
}

/* Of the API, for ever the same. */
static json_t *version(ApiCall *call, GError **error)
{
    return json_string("0.1");
}

static json_t *server_timezone(ApiCall *call, GError **error)
{
    const char *variable = g_getenv("TZ");
    g_autofree char *link = g_file_read_link("/etc/localtime", NULL);
    const char *name = link ? strstr(link, "zoneinfo/") : NULL;
    g_autofree char *file = NULL;
    if (variable && *variable)
        return json_string(variable[0] == ':' ? variable + 1 : variable);
    if (name)
        return json_string(name + strlen("zoneinfo/"));
    if (g_file_get_contents("/etc/timezone", &file, NULL, NULL) && *g_strstrip(file))
        return json_string(file);
    return json_string("UTC");
}

static json_t *connections(ApiCall *call, GError **error)
{
    return hub_list(call_parts(call)->hub);
}

static json_t *close_connections(ApiCall *call, GError **error)
{
    hub_close_all(call_parts(call)->hub);
    return NULL;
}

/* What is going on in memory: every worker with the bound that it keeps. */
static json_t *server_status(ApiCall *call, GError **error)
{
    json_t *workers = runs_workers(call_parts(call)->runs), *worker;
    json_int_t bound_bytes = 0;
    gsize i;
    json_array_foreach (workers, i, worker)
        bound_bytes += json_integer_value(json_object_get(worker, "boundBytes"));
    return json_pack("{s:s, s:I, s:I, s:o}", "version", CADENZA_VERSION, "residentBytes",
                     (json_int_t) runs_resident_bytes(getpid()), "workersBoundBytes", bound_bytes,
                     "workers", workers);
}

const Method methods_system[] = {
    { "system.listMethods", list_methods, NULL, .access = ACCESS_ANYONE, .example = "",
      .summary = "The names of all methods." },
    { "system.getMethodsInfo", methods_info, NULL, .access = ACCESS_ANYONE, .example = "",
      .summary = "All methods with their parameters." },
    { "system.methodSignature", method_signature, PARAMS(REQ(STR("method"))),
      .access = ACCESS_ANYONE, .example = "method=vm.start",
      .summary = "One method with its parameters." },
    { "system.getServerVersion", server_version, NULL, .access = ACCESS_ANYONE, .example = "",
      .summary = "The version of the server." },
    { "system.getServerStatus", server_status, NULL, .example = "",
      .summary = "The memory of the server and its workers, and the bounds they keep." },
    { "system.getVersion", version, NULL, .access = ACCESS_ANYONE, .example = "",
      .summary = "The version of the API." },
    { "system.getServerTimezone", server_timezone, NULL, .access = ACCESS_USER, .example = "",
      .summary = "The time zone of the server." },
    { "api.getConnections", connections, NULL, .example = "", .summary = "The connected clients." },
    { "api.closeAllConnections", close_connections, NULL, .example = "",
      .summary = "Disconnect all clients, oneself included." },
    { NULL },
};
