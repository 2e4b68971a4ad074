/* What the store keeps of a plug-in: {id, autoload, configuration?}, the configuration sealed.
 * Callers hold the lock of the frame; returned JSON is a new reference. */
#pragma once

#include "plugin/plugin.h"
#include "store/store.h"

#define PLUGINS "plugins" /* their collection */

/* As it is stored, or that of a plug-in that nobody has touched. */
json_t *plugin_record_sealed(Store *store, const Plugin *plugin, GError **error);
/* Opens the configuration of a sealed record; CORRUPT when it is damaged. */
bool plugin_record_open(Store *store, json_t *record, GError **error);
/* Both. */
json_t *plugin_record_get(Store *store, const Plugin *plugin, GError **error);
/* Takes an open record, which stays as it is. */
bool plugin_record_put(Store *store, json_t *record, GError **error);
/* Without opening it: a configuration that cannot be opened is forgotten as well. */
bool plugin_record_forget(Store *store, const Plugin *plugin, GError **error);
/* The text of a configuration that is sealed; free with free. */
char *plugin_record_text(json_t *configuration);
