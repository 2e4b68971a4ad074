/* plugin.*: the frame of plugin/plugins.h, with XO's errors. */
#include "api/method.h"

static Plugins *plugins(ApiCall *call)
{
    return call_parts(call)->plugins;
}

/* The id of a plug-in that is there; NULL with an error. */
static const char *plugin(ApiCall *call, GError **error)
{
    const char *id = call_string(call, "id");
    if (plugins_has(plugins(call), id))
        return id;
    api_error_no_such(error, id, "plugin");
    return NULL;
}

/* What does not fit a form is told to programs, too; the references are taken. */
static void tell(json_t *violations, GError *failure, GError **error)
{
    if (violations)
        api_error_set(error, API_INVALID_PARAMETERS, json_pack("{s:o}", "errors", violations), "%s",
                      failure->message);
    else if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    g_clear_error(&failure);
}

static json_t *get(ApiCall *call, GError **error)
{
    return plugins_list(plugins(call), error);
}

static json_t *configure(ApiCall *call, GError **error)
{
    const char *id = plugin(call, error);
    json_t *violations = NULL;
    GError *failure = NULL;
    if (id)
        plugins_configure(plugins(call), id, call_get(call, "configuration"), &violations,
                          &failure);
    tell(violations, failure, error);
    return NULL;
}

static json_t *load(ApiCall *call, GError **error)
{
    const char *id = plugin(call, error);
    if (id)
        plugins_load(plugins(call), id, error);
    return NULL;
}

static json_t *unload(ApiCall *call, GError **error)
{
    const char *id = plugin(call, error);
    if (id)
        plugins_unload(plugins(call), id, error);
    return NULL;
}

static json_t *set_autoload(ApiCall *call, bool autoload, GError **error)
{
    const char *id = plugin(call, error);
    if (id)
        plugins_set_autoload(plugins(call), id, autoload, error);
    return NULL;
}

static json_t *enable_autoload(ApiCall *call, GError **error)
{
    return set_autoload(call, true, error);
}

static json_t *disable_autoload(ApiCall *call, GError **error)
{
    return set_autoload(call, false, error);
}

static json_t *purge(ApiCall *call, GError **error)
{
    const char *id = plugin(call, error);
    if (id)
        plugins_purge(plugins(call), id, error);
    return NULL;
}

static json_t *test(ApiCall *call, GError **error)
{
    const char *id = plugin(call, error);
    json_t *violations = NULL;
    GError *failure = NULL;
    if (id)
        plugins_test(plugins(call), id, call_get(call, "data"), call_cancel(call), &violations,
                     &failure);
    tell(violations, failure, error);
    return NULL;
}

#define OF_ONE(name, run, which, words)                                                            \
    {                                                                                              \
        name, run, PARAMS(REQ(STR("id"))), .example = "id=" which, .summary = words                \
    }

const Method methods_plugin[] = {
    { "plugin.get", get, NULL, .example = "", .summary = "All plug-ins." },
    { "plugin.configure", configure, PARAMS(REQ(STR("id")), REQ(ANY("configuration"))),
      .example = "id=$PLUGIN configuration=json:'{\"from\": {\"address\": \"xo@example.org\"}, "
                 "\"transport\": {\"host\": \"mail.example.org\"}}'",
      .summary = "Configure a plug-in." },
    OF_ONE("plugin.load", load, "$UNLOADED_PLUGIN", "Load a plug-in."),
    OF_ONE("plugin.unload", unload, "$PLUGIN", "Unload a plug-in."),
    OF_ONE("plugin.enableAutoload", enable_autoload, "$MANUAL_PLUGIN",
           "Load a plug-in whenever the server starts."),
    OF_ONE("plugin.disableAutoload", disable_autoload, "$PLUGIN",
           "Load a plug-in only when asked."),
    OF_ONE("plugin.purgeConfiguration", purge, "$PLUGIN", "Forget a plug-in's configuration."),
    { "plugin.test", test, PARAMS(REQ(STR("id")), OPT(ANY("data"))), .long_running = true,
      .example = "id=$PLUGIN data=json:'{\"to\": \"ann@example.org\"}'",
      .summary = "Test a plug-in." },
    { NULL },
};
