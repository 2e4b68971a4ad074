/* The count, and the plug-in's own load and unload at its two ends. */
#include "plugin/instance.h"

PluginInstance *plugin_instance_new(const Plugin *plugin, json_t *configuration, GError **error)
{
    void *state = plugin->load(configuration, error);
    if (!state)
        return NULL;
    PluginInstance *instance = g_atomic_rc_box_new0(PluginInstance);
    instance->plugin = plugin;
    instance->state = state;
    return instance;
}

PluginInstance *plugin_instance_ref(PluginInstance *instance)
{
    return g_atomic_rc_box_acquire(instance);
}

static void instance_end(void *user)
{
    PluginInstance *instance = user;
    if (instance->plugin->unload)
        instance->plugin->unload(instance->state);
}

void plugin_instance_unref(PluginInstance *instance)
{
    if (instance)
        g_atomic_rc_box_release_full(instance, instance_end);
}
