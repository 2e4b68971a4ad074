/* server.*: the pools to manage. */
#include "api/method.h"

static Servers *servers(ApiCall *call)
{
    return call_parts(call)->servers;
}

static json_t *get_all(ApiCall *call, GError **error)
{
    return servers_list(servers(call), error);
}

static json_t *add(ApiCall *call, GError **error)
{
    g_autofree char *id = servers_add(servers(call), call_params(call), error);
    return id ? json_string(id) : NULL;
}

static json_t *set(ApiCall *call, GError **error)
{
    servers_set(servers(call), call_string(call, "id"), call_params(call), error);
    return NULL;
}

static json_t *enable(ApiCall *call, GError **error)
{
    servers_enable(servers(call), call_string(call, "id"), error);
    return NULL;
}

static json_t *disable(ApiCall *call, GError **error)
{
    servers_disable(servers(call), call_string(call, "id"), error);
    return NULL;
}

static json_t *drop(ApiCall *call, GError **error)
{
    servers_remove(servers(call), call_string(call, "id"), error);
    return NULL;
}

#define FINGERPRINT                                                                                \
    OPT(TYPED("fingerprint", P_STRING | P_NULL),                                                   \
        .words = "SHA-256 of the only certificate to accept, as shown by the error of a refused "  \
                 "connection")

const Method methods_server[] = {
    { "server.getAll", get_all, NULL, .example = "", .summary = "All servers with their state." },
    { "server.add", add,
      PARAMS(REQ(STR("host")), REQ(STR("username")), REQ(SECRET("password")), OPT(STR("label")),
             DEF("true", BOOL("autoConnect")), OPT(BOOL("allowUnauthorized")),
             OPT(BOOL("readOnly")), OPT(STR("httpProxy")), FINGERPRINT),
      .example = "host=pool.example.org username=root password='the password' autoConnect=false",
      .summary = "Add a server (a pool's master or any of its hosts); it is connected in the "
                 "background." },
    { "server.set", set,
      PARAMS(REQ(STR("id")), OPT(STR("host")), OPT(STR("username")), OPT(SECRET("password")),
             OPT(TYPED("label", P_STRING | P_NULL)), OPT(BOOL("allowUnauthorized")),
             OPT(BOOL("readOnly")), OPT(TYPED("httpProxy", P_STRING | P_NULL)), FINGERPRINT),
      .example = "id=$SERVER label='the first pool'", .summary = "Change a server." },
    { "server.enable", enable, PARAMS(REQ(STR("id"))), .long_running = true,
      .example = "id=$SPARE_SERVER", .summary = "Connect a server, now and after each start." },
    { "server.disable", disable, PARAMS(REQ(STR("id"))), .long_running = true,
      .example = "id=$CONNECTED_SERVER", .summary = "Disconnect a server and keep it so." },
    { "server.remove", drop, PARAMS(REQ(STR("id"))), .long_running = true,
      .example = "id=$SPARE_SERVER", .summary = "Disconnect a server and forget it." },
    { NULL },
};
