/* What XO's clients draw a plug-in's page from. */
#include "plugin/descriptor.h"

#include "plugin/secrets.h"

static void add_form(json_t *shown, const char *key, const char *text)
{
    if (text)
        json_object_set_new(shown, key, json_loads(text, 0, NULL));
}

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

json_t *plugin_descriptor(const Plugin *plugin, json_t *record, const bool *loaded)
{
    json_t *shown = json_pack("{s:s, s:s, s:O, s:s}", "id", plugin->id, "name", plugin->id,
                              "autoload", json_object_get(record, "autoload"), "description",
                              plugin->description);
    if (loaded)
        json_object_set_new(shown, "loaded", json_boolean(*loaded));
    if (plugin->keywords)
        json_object_set_new(shown, "keywords", texts(plugin->keywords));
    json_object_set_new(shown, "unloadable", json_true());
    json_object_set_new(shown, "version", json_string(CADENZA_VERSION));
    json_t *configuration = json_object_get(record, "configuration");
    if (configuration)
        json_object_set_new(shown, "configuration", secrets_hide(configuration));
    add_form(shown, "configurationPresets", plugin->presets);
    add_form(shown, "configurationSchema", plugin->configuration_schema);
    json_object_set_new(shown, "testable", json_boolean(plugin->test != NULL));
    add_form(shown, "testSchema", plugin->test_schema);
    return shown;
}
