/* Records are read and written whole; only their configurations are sealed. */
#include "plugin/record.h"

#include "base/error.h"
#include "base/json_text.h"

bool plugin_record_open(Store *store, json_t *record, GError **error)
{
    const char *sealed = json_string_value(json_object_get(record, "configuration"));
    g_autofree char *text = sealed ? store_unseal(store, sealed, error) : NULL;
    if (sealed && !text)
        return false;
    json_t *configuration = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (text && !configuration) {
        err_set(error, ERR_CORRUPT, "the stored configuration of plugin %s is damaged: purge it",
                json_text(record, "id"));
        return false;
    }
    if (configuration)
        json_object_set_new(record, "configuration", configuration);
    return true;
}

json_t *plugin_record_sealed(Store *store, const Plugin *plugin, GError **error)
{
    g_autoptr(GError) missing = NULL;
    json_t *record = store_get(store, PLUGINS, plugin->id, &missing);
    if (!record && err_is(missing, ERR_NOT_FOUND))
        return json_pack("{s:s, s:b}", "id", plugin->id, "autoload", 1);
    if (!record)
        g_propagate_error(error, g_steal_pointer(&missing));
    return record;
}

json_t *plugin_record_get(Store *store, const Plugin *plugin, GError **error)
{
    json_t *record = plugin_record_sealed(store, plugin, error);
    if (record && !plugin_record_open(store, record, error))
        g_clear_pointer(&record, json_decref);
    return record;
}

char *plugin_record_text(json_t *configuration)
{
    return json_dumps(configuration, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

bool plugin_record_put(Store *store, json_t *record, GError **error)
{
    json_t *stored = json_copy(record), *configuration = json_object_get(record, "configuration");
    bool ok = true;
    if (configuration) {
        g_autofree char *text = plugin_record_text(configuration);
        g_autofree char *sealed = store_seal(store, text, error);
        json_object_set_new(stored, "configuration", json_string(sealed));
        ok = sealed != NULL;
    }
    ok = ok && store_put(store, PLUGINS, json_text(record, "id"), stored, error);
    json_decref(stored);
    return ok;
}

bool plugin_record_forget(Store *store, const Plugin *plugin, GError **error)
{
    json_t *record = plugin_record_sealed(store, plugin, error);
    json_object_del(record, "configuration");
    bool ok = record && store_put(store, PLUGINS, plugin->id, record, error);
    json_decref(record);
    return ok;
}
