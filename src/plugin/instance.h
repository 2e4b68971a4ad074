/* A loaded plug-in: what its load gave for one configuration, counted, so that a test which runs
 * outlasts the plug-in's being unloaded or configured anew. */
#pragma once

#include "plugin/plugin.h"

typedef struct {
    const Plugin *plugin;
    void *state;
} PluginInstance;

/* NULL with the plug-in's error. */
PluginInstance *plugin_instance_new(const Plugin *plugin, json_t *configuration, GError **error);
PluginInstance *plugin_instance_ref(PluginInstance *instance);
/* The last one unloads it. NULL is none. */
void plugin_instance_unref(PluginInstance *instance);
