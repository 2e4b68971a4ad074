/* Each form is checked against its schema; a plug-in without a schema takes anything. */
#include "plugin/form.h"

#include "base/error.h"
#include "plugin/schema.h"
#include "plugin/secrets.h"

static bool fits(const Plugin *plugin, const char *what, const char *schema_text, json_t *value,
                 json_t **violations, GError **error)
{
    if (!schema_text)
        return true;
    json_t *schema = json_loads(schema_text, 0, NULL);
    json_t *list = schema_check(schema, value);
    bool ok = json_array_size(list) == 0;
    json_decref(schema);
    if (!ok) {
        g_autofree char *words = schema_words(list);
        err_set(error, ERR_INVALID, "the %s of plugin %s: %s", what, plugin->id, words);
    }
    if (!ok && violations)
        *violations = json_incref(list);
    json_decref(list);
    return ok;
}

bool plugin_form_configuration(const Plugin *plugin, json_t *configuration, json_t **violations,
                               GError **error)
{
    return fits(plugin, "configuration", plugin->configuration_schema, configuration, violations,
                error);
}

bool plugin_form_test(const Plugin *plugin, json_t *data, json_t **violations, GError **error)
{
    return fits(plugin, "test", plugin->test_schema, data, violations, error);
}

json_t *plugin_form_kept(const Plugin *plugin, json_t *kept, GError **error)
{
    json_t *configuration = kept ? json_deep_copy(kept) : json_object();
    g_autoptr(GError) wrong = NULL;
    if (plugin_form_configuration(plugin, configuration, NULL, &wrong))
        return configuration;
    json_decref(configuration);
    if (kept)
        g_propagate_error(error, g_steal_pointer(&wrong));
    else
        err_set(error, ERR_INVALID, "plugin not configured: %s", plugin->id);
    return NULL;
}

json_t *plugin_form_sent(const Plugin *plugin, json_t *sent, json_t *kept, json_t **violations,
                         GError **error)
{
    g_autoptr(GError) hidden = NULL;
    json_t *whole = secrets_restore(sent, kept, &hidden);
    if (!whole)
        err_set(error, ERR_INVALID, "the configuration of plugin %s: %s", plugin->id,
                hidden->message);
    else if (!plugin_form_configuration(plugin, whole, violations, error))
        g_clear_pointer(&whole, json_decref);
    return whole;
}
