/* plugin.*: none exists in this server; the list is what a client finds. */
#include "api/method.h"

static json_t *get(ApiCall *call, GError **error)
{
    return json_array();
}

/* Nothing is there to be configured, loaded, enabled or tested. */
static json_t *unknown(ApiCall *call, GError **error)
{
    api_error_no_such(error, call_string(call, "id"), "plugin");
    return NULL;
}

#define OF_ONE(name, words)                                                                        \
    {                                                                                              \
        name, unknown, PARAMS(REQ(STR("id"))), .example = "id=$PLUGIN", .summary = words           \
    }

const Method methods_plugin[] = {
    { "plugin.get", get, NULL, .example = "", .summary = "All plug-ins." },
    { "plugin.configure", unknown, PARAMS(REQ(STR("id")), REQ(ANY("configuration"))),
      .example = "id=$PLUGIN configuration=json:'{}'", .summary = "Configure a plug-in." },
    OF_ONE("plugin.load", "Load a plug-in."),
    OF_ONE("plugin.unload", "Unload a plug-in."),
    OF_ONE("plugin.enableAutoload", "Load a plug-in whenever the server starts."),
    OF_ONE("plugin.disableAutoload", "Load a plug-in only when asked."),
    OF_ONE("plugin.purgeConfiguration", "Forget a plug-in's configuration."),
    { "plugin.test", unknown, PARAMS(REQ(STR("id")), OPT(ANY("data"))), .example = "id=$PLUGIN",
      .summary = "Test a plug-in." },
    { NULL },
};
