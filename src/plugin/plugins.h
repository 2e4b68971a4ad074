/* The frame of plug-ins: which there are, what they are configured with (plugin/record.h), which of
 * them are loaded. Thread-safe; returned JSON is a new reference.
 * Source of the descriptors, records and rules: XO's plugin.*.
 *
 * An id that is none is NOT_FOUND; what the state of a plug-in does not allow is INVALID, as in XO.
 * Functions with `violations` set that to an array of what is wrong with a form, each as XO's
 * validator tells it, and *error to INVALID naming the first. */
#pragma once

#include "plugin/plugin.h"
#include "store/store.h"

typedef struct Plugins Plugins;

/* `table` ends with NULL; NULL: those of plugins.def. Neither is taken over. */
Plugins *plugins_new(Store *store, const Plugin *const *table);
/* Loads what is configured and to be loaded at start; what fails is said in the log. */
void plugins_start(Plugins *plugins);
/* Unloads all; calls of plugins_test must have returned. */
void plugins_free(Plugins *plugins);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plugins, plugins_free)

/* As plugin.get shows them, secrets hidden. */
json_t *plugins_list(Plugins *plugins, GError **error);
bool plugins_has(Plugins *plugins, const char *id);
/* Defaults are filled in; a hidden secret means the one before. One that is loaded goes on with the
 * new configuration. */
bool plugins_configure(Plugins *plugins, const char *id, json_t *configuration, json_t **violations,
                       GError **error);
bool plugins_load(Plugins *plugins, const char *id, GError **error);
bool plugins_unload(Plugins *plugins, const char *id, GError **error);
/* Whether it is loaded when the server starts; so it is until somebody says otherwise. */
bool plugins_set_autoload(Plugins *plugins, const char *id, bool autoload, GError **error);
/* Unloads it and forgets its configuration. */
bool plugins_purge(Plugins *plugins, const char *id, GError **error);
/* `data` may be NULL. Blocks; one that is unloaded meanwhile ends its test first. */
bool plugins_test(Plugins *plugins, const char *id, json_t *data, Cancel *cancel,
                  json_t **violations, GError **error);

/* The records were changed in the store by somebody else: what is loaded goes on with its new
 * configuration, and what is to be loaded at start is loaded. */
void plugins_look_again(Plugins *plugins);
/* Whether a plug-in of plugins.def can be configured so; true when there is none of that id. */
bool plugins_check(const char *id, json_t *configuration, GError **error);
/* Whether plugins.def has it. */
bool plugins_know(const char *id);
