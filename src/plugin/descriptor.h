/* A plug-in as plugin.get shows it, in XO's words and order, secrets hidden. No I/O. */
#pragma once

#include "plugin/plugin.h"

/* `record` is open (plugin/record.h). `loaded` is NULL for one that was never loaded, of which
 * nothing is said. A new reference. */
json_t *plugin_descriptor(const Plugin *plugin, json_t *record, const bool *loaded);
