/* The forms of a plug-in filled in: does a configuration, or what a test is given, fit its schema?
 * No I/O. `violations` (may be NULL) is set to an array of what is wrong (plugin/schema.h), and
 * *error to INVALID naming the first. */
#pragma once

#include "plugin/plugin.h"

/* Changed: defaults are filled in. */
bool plugin_form_configuration(const Plugin *plugin, json_t *configuration, json_t **violations,
                               GError **error);
bool plugin_form_test(const Plugin *plugin, json_t *data, json_t **violations, GError **error);
/* What to load with: a copy of what is kept, or nothing at all where that will do; `kept` may be
 * NULL. A new reference; NULL with INVALID. */
json_t *plugin_form_kept(const Plugin *plugin, json_t *kept, GError **error);
/* What was sent, with the hidden secrets of `kept` (may be NULL) and defaults: a new reference. */
json_t *plugin_form_sent(const Plugin *plugin, json_t *sent, json_t *kept, json_t **violations,
                         GError **error);
